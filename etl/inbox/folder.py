"""Folder: what lies in a batch's folder, name by name, so that nothing is passed over in silence.

A name is a feed's, the manifest's, one that is known to say nothing (a read-me, checksums), or
the batch is refused. Names are taken without regard to case.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.refusals import Refusal
from etl.contracts.senders import SENDERS
from etl.errors import BatchError, one_line, some_of
from etl.inbox.manifest import MANIFEST

# claims.csv, CLAIMS_2.CSV, claims-part3.csv.gz, claims.FL.csv, claims.zip, claims.xlsx: a feed, and
# maybe a sign and a part. What the name ends in is none.
_FEED_FILE = re.compile(
    rf"({'|'.join(FEEDS)})(?:[-_. ]([a-z0-9]+(?:[-_. ][a-z0-9]+)*?))??"
    r"\.(?:csv(?:\.gz|\.zip)?|zip|xlsx)",
    re.ASCII | re.IGNORECASE,
)
# Words of a part's name that say that the file is another edition of a feed and no part of it.
_EDITION = re.compile(
    "old|new|copy|backup|bak|orig|original|tmp|temp|draft|test|sample|example|prev|previous|final|"
    "fixed|correct|corrected|correction|update|updated|replace|replacement|resend|resent|v[0-9]+|"
    + "|".join(FEEDS),
    re.ASCII,
)
_NUMBERED = re.compile(
    r"(?:part|file|chunk|seg|p)?[-_. ]?([0-9]{1,3})(?:[-_. ]?of[-_. ]?([0-9]{1,3}))?", re.ASCII
)
# What people and programs leave next to the feeds, and what says nothing of them.
_HARMLESS = re.compile(
    r"(?:read ?me(?:\.(?:txt|md|pdf|html?))?|thumbs\.db|desktop\.ini"
    r"|(?:md5|sha1|sha256|sha512|b2|xxh)sums?(?:\.txt)?|checksums?(?:\.txt)?"
    r"|.*\.(?:md5|sha1|sha256|sha512|xxh3|xxh128|asc|sig))",
    re.ASCII | re.IGNORECASE,
)
# Of packed files, whose names before that are those of plain ones.
_PACKED = re.compile(r"(?:\.gz|(?:\.csv)?\.zip|\.xlsx)$", re.ASCII | re.IGNORECASE)
# What other programs and other times pack and calculate with; with what to ask for instead.
_OTHER_KINDS = {
    ".xls": "an Excel workbook of the old kind: save it as .xlsx",
    ".xlsm": "an Excel workbook with macros: save it as .xlsx",
    ".xlsb": "an Excel workbook in binary form: save it as .xlsx",
    ".ods": "a spreadsheet of another program: save it as .xlsx",
    ".7z": "an archive of 7-Zip: pack it as .zip or .gz",
    ".rar": "an archive of RAR: pack it as .zip or .gz",
    ".tar": "an archive: pack its files as .zip or .gz, each by itself",
    ".tgz": "an archive: pack its files as .zip or .gz, each by itself",
}
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# How many odd things a message names.
_NAMED = 3

# (0, number, "") or (1, 0, word): names of parts in the order in which people count.
PartKey = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A file of a feed. ``part``: what follows the feed's name, or nothing.

    ``contract``: the one by whose names of files it is known, if it does not bear the feed's name.
    """

    path: Path
    part: str
    found: os.stat_result
    contract: str | None = None

    @property
    def key(self) -> PartKey:
        """The part's place among the others; a file without a part comes first."""
        return part_key(self.part)

    @property
    def number(self) -> tuple[int, int | None] | None:
        """Which part it says it is, and of how many where it says that too."""
        found = _NUMBERED.fullmatch(self.part)
        return found and (int(found[1]), int(found[2]) if found[2] else None)


@dataclass(slots=True)
class Contents:
    """What lies in a batch's folder: the manifest if there is one, and files by feed, in order."""

    manifest: Path | None = None
    files: dict[str, list[Named]] = field(default_factory=dict)


def is_passed_over(name: str) -> bool:
    """Whether a name says nothing: hidden, or known to say nothing of the feeds."""
    return name[:1] in ("", ".", "_") or _HARMLESS.fullmatch(name) is not None


def feed_and_part(name: str) -> tuple[str, str] | None:
    """The feed and the part that a file's name says, in lower case, if it says any."""
    found = _FEED_FILE.fullmatch(name)
    return (found[1].lower(), (found[2] or "").lower()) if found else None


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a file's name says: a feed, a part of it, or a contract that names its files so."""

    feed: str
    part: str = ""
    contract: str | None = None


def meanings_of(name: str) -> list[Meaning]:
    """The feeds whose file a name may be: one by the feed's own name, or those of contracts."""
    if named := feed_and_part(name):
        return [Meaning(*named)]
    names = names_unpacked(name)
    return [
        Meaning(contract.feed.name, contract=contract.name)
        for contract in SENDERS.values()
        if any(fnmatchcase(n, pattern.lower()) for pattern in contract.files for n in names)
    ]


def names_unpacked(name: str) -> tuple[str, ...]:
    """What a file may be called, in small letters: as it is, and without what packed it."""
    lowered = name.lower()
    plain = lowered.removesuffix(".gz").removesuffix(".zip")
    if lowered.endswith(".zip") and not plain.endswith(".csv"):
        return lowered, f"{plain}.csv"
    return lowered, plain


def part_key(part: str) -> PartKey:
    """Sorts parts as people count them: 2 before 10."""
    tokens = re.findall(r"[0-9]+|[a-z]+", part)
    return tuple((0, int(t), "") if t.isdigit() else (1, 0, t) for t in tokens)


def kind_of(path: Path, inbox: Path) -> tuple[os.stat_result | None, str]:
    """What a path is: its ``stat`` if it is a regular file, else what it is in words.

    A link counts as what it leads to if that lies in the inbox; one that leads out of it could
    show what its sender may not read.
    """
    try:
        if leads_out(path, inbox):
            return None, "a link that leads out of the inbox"
        found = path.stat()
    except OSError as error:
        if path.is_symlink():
            return None, "a link that leads nowhere"
        return None, f"not to be read ({error.strerror or 'it went away'})"
    if stat.S_ISREG(found.st_mode):
        return found, "a file"
    return None, next((words for is_kind, words in _KINDS if is_kind(found.st_mode)), "no file")


def leads_out(path: Path, inbox: Path) -> bool:
    """Whether a path is a link to something that is not in the inbox."""
    try:
        return path.is_symlink() and not path.resolve().is_relative_to(inbox.resolve())
    except RuntimeError:  # a link to itself
        return False


def look_into(folder: Path, inbox: Path) -> Contents:
    """Read the names of a batch's folder; ``BatchError`` if one of them is none that it may be."""
    contents = Contents()
    odd: list[str] = []
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise unreadable(folder, error) from error
    for path in paths:
        name = path.name
        if is_passed_over(name):
            continue
        found, what = kind_of(path, inbox)
        meant = meanings_of(name)
        feeds = [meaning.feed for meaning in meant]
        is_manifest = name.casefold() == MANIFEST
        if found is None:
            odd.append(f"{one_line(name)}, which is {what}{_inside(path, what)}")
        elif is_manifest and contents.manifest is None:
            contents.manifest = path
        elif not meant:
            what = "a second manifest" if is_manifest else _unknown(path)
            odd.append(f"{one_line(name)}, which is {what}")
        elif len(set(feeds)) < len(feeds):
            which = " and ".join(str(meaning.contract) for meaning in meant)
            odd.append(f"{one_line(name)}, which is named as files of {which} are")
        elif any(_EDITION.fullmatch(word) for word in re.split(r"[-_. ]", meant[0].part)):
            odd.append(f"{one_line(name)}, which may be a part or another edition of {feeds[0]}")
        else:
            for meaning in meant:
                of_feed = contents.files.setdefault(meaning.feed, [])
                of_feed.append(Named(path, meaning.part, found, meaning.contract))
    if odd:
        raise _odd(folder, odd)
    for feed, of_feed in contents.files.items():
        of_feed.sort(key=lambda one: one.key)
        _each_once(folder, FEEDS[feed], of_feed)
    return contents


def _inside(path: Path, what: str) -> str:
    """Whether a folder in a batch's folder contains the batch."""
    if what != "a folder":
        return ""
    try:
        names = sorted(inner.name for inner in path.iterdir())
    except OSError:
        names = []
    inner = next((name for name in names if feed_and_part(name)), None)
    return f" with {inner} in it, one level too deep" if inner else ""


def _unknown(path: Path) -> str:
    """What a file is whose name is none of a feed's."""
    return _OTHER_KINDS.get(path.suffix.lower(), "none of the names that its files have")


def _odd(folder: Path, odd: list[str]) -> BatchError:
    return BatchError(
        Refusal.UNEXPECTED_FILE,
        f"Batch {one_line(folder.name)} contains {some_of(odd, _NAMED)}.",
        "A batch's files are named as the feeds (members.csv, claims.csv.gz, claims.zip, "
        "claims.xlsx), their parts "
        "claims_1.csv, claims_2.csv: rename what is one, and take away the rest or let its name "
        "begin with an underscore; nothing of the batch was loaded.",
    )


def _each_once(folder: Path, feed: Feed, files: list[Named]) -> None:
    """No part may be there twice: one of the two is not meant."""
    for one, other in pairwise(files):
        if one.key != other.key:
            continue
        first, second = (one_line(n.path.name) for n in (one, other))
        packed = {_packed_as(n.path.name) for n in (one, other)}
        if "" in packed and len(packed) == 2 and one.part == other.part:
            plain = f"{feed.name}.csv" if not one.part else min(first, second, key=len)
            message = f"Batch {one_line(folder.name)} has {plain} both plain and as {max(packed)}."
        else:
            message = f"Batch {one_line(folder.name)} has two files for one: {first} and {second}."
        raise BatchError(
            Refusal.REPEATED_FILE, message, "Leave the one that is meant to be loaded."
        )


def _packed_as(name: str) -> str:
    """How a file is packed, empty if it is not."""
    found = _PACKED.search(name)
    return found.group().lower() if found else ""


def missing_part(files: list[Named], *, is_listed: bool) -> str | None:
    """Which part the numbers of the others say is missing.

    ``is_listed``: the manifest names the files that there are, so that a gap in their numbers says
    nothing; that a part is one of so many still does.
    """
    numbers = [n for n in (one.number for one in files) if n is not None]
    there = {number for number, _ in numbers}
    totals = {total for _, total in numbers if total is not None}
    low, high = (min(there), max(there)) if there else (0, 0)
    if totals:
        low = 0 if 0 in there else 1
        high = max(totals) + low - 1
    elif is_listed or len(there) < 2:
        return None
    gone = sorted(set(range(low, high + 1)) - there)
    return f"part {gone[0]}" if gone else None


def unreadable(folder: Path, error: OSError) -> BatchError:
    """A batch whose folder cannot be read, or vanished while it was."""
    return BatchError(
        Refusal.UNREADABLE_FOLDER,
        f"Batch {one_line(folder.name)} cannot be read: {error.strerror or 'it went away'}.",
        "See that whoever runs this may read the folder and its files; nothing of it was loaded.",
    )
