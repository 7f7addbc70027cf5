"""Batches: folders of the inbox, their files and what the sender's manifest says of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.refusals import Refusal
from etl.contracts.senders import contracts_of
from etl.errors import BatchError, one_line, some_of
from etl.inbox import manifest
from etl.inbox.delivery import FeedFile, feed_file, in_parts
from etl.inbox.folder import (
    Contents,
    Meaning,
    Named,
    is_passed_over,
    kind_of,
    leads_out,
    look_into,
    meanings_of,
    missing_part,
    part_key,
    unreadable,
)
from etl.inbox.manifest import Entry, Expected, Manifest

# How many things of the inbox itself a message names.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Batch:
    """A folder of the inbox. ``as_of``: when its facts became true, UTC."""

    batch_id: str
    as_of: datetime
    files: tuple[FeedFile, ...]

    @property
    def folder(self) -> str:
        """Name of the folder in the inbox."""
        return self.files[0].path.parent.name if self.files else self.batch_id


def find_batches(inbox: Path) -> list[Batch]:
    """Every batch of the inbox in ``as_of`` order; hidden folders are not batches.

    Raises the ``BatchError`` of the first that cannot be read.
    """
    batches, refused = look_through(inbox)
    if refused:
        raise refused[0]
    return batches


def look_through(inbox: Path) -> tuple[list[Batch], list[BatchError]]:
    """The batches of the inbox in ``as_of`` order, and why the others cannot be read."""
    found: list[tuple[Path, Batch]] = []
    refused: list[BatchError] = []
    for folder in _entries_of(inbox):
        try:
            if _is_folder(folder, inbox):
                found.append((folder, read_batch(folder, inbox)))
        except (BatchError, OSError) as error:
            refusal = unreadable(folder, error) if isinstance(error, OSError) else error
            refusal.folder = folder.name
            refused.append(refusal)
    batches, twice = _each_once(found)
    batches.sort(key=lambda b: (b.as_of, b.batch_id))
    return batches, refused + twice


def strays(inbox: Path) -> BatchError | None:
    """What lies in the inbox itself and is no batch, so that no run would ever load it."""
    odd = []
    for path in _entries_of(inbox):
        try:
            if _is_folder(path, inbox):
                continue
            _, what = kind_of(path, inbox)
        except BatchError:
            continue  # named where batches are looked through
        except OSError as error:
            what = f"not to be read ({error.strerror})"
        odd.append(one_line(path.name) + ("" if what == "a file" else f", {what}"))
    if not odd:
        return None
    return BatchError(
        Refusal.FILE_OUTSIDE_BATCHES,
        f"The inbox itself contains what is in no batch and was not loaded: "
        f"{some_of(odd, _NAMED)}.",
        "Put files into a folder that is named by their day (2025-01-31/claims.csv), or take them "
        "away.",
    )


def is_empty(inbox: Path) -> bool:
    """Whether an inbox has nothing but hidden names: a generator that was killed leaves such."""
    return all(path.name[0] in "._" for path in _listed(inbox))


def _entries_of(inbox: Path) -> list[Path]:
    """What the inbox contains, apart from what is hidden and what says nothing."""
    return [path for path in _listed(inbox) if not is_passed_over(path.name)]


def _listed(inbox: Path) -> list[Path]:
    try:
        return sorted(inbox.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BatchError(
            Refusal.UNREADABLE_INBOX,
            f"The inbox {inbox} cannot be read: {error.strerror}.",
            "See that INBOX names a folder that whoever runs this may read.",
        ) from error


def _is_folder(path: Path, inbox: Path) -> bool:
    """Whether a path is a folder; ``BatchError`` if it leads to one that is out of the inbox."""
    if path.is_dir() and leads_out(path, inbox):
        raise BatchError(
            Refusal.LINK_OUT_OF_INBOX,
            f"Batch {one_line(path.name)} is a link that leads out of the inbox.",
            "Put the folder itself there, or let INBOX name the folder it is in; nothing of it "
            "was loaded.",
        )
    return path.is_dir()


def _each_once(found: list[tuple[Path, Batch]]) -> tuple[list[Batch], list[BatchError]]:
    """The batches whose name no other folder bears, and why the others are refused."""
    folders: dict[str, list[str]] = {}
    for folder, batch in found:
        folders.setdefault(batch.batch_id, []).append(one_line(folder.name))
    twice = []
    for name, names in folders.items():
        if len(names) > 1:
            error = BatchError(
                Refusal.REPEATED_BATCH_ID,
                f"The folders {', '.join(names)} all say that they are the batch {one_line(name)}.",
                "Leave one of them, or give each a batch_id of its own; nothing of them was "
                "loaded.",
            )
            error.folder = names[0]
            twice.append(error)
    return [batch for _, batch in found if len(folders[batch.batch_id]) == 1], twice


def in_arrival_order(
    batches: list[Batch], known: Iterable[tuple[int, str, str]]
) -> list[tuple[int | None, Batch, list[FeedFile]]]:
    """The files of these batches in the order in which a warehouse came to know them.

    Args:
        batches: The batches in their own order.
        known: (load, batch_id, feed) of files that the warehouse has, in the order of its loads.

    Returns:
        What to load one after the other: for each of the loads those of its files that are still
        there, then, without a load, whatever none had, batch by batch. A file is listed once, where
        it came first.
    """
    waiting = {
        (batch.batch_id, file.feed.name): (number, file)
        for number, batch in enumerate(batches)
        for file in batch.files
    }
    in_order: dict[tuple[int | None, int], list[FeedFile]] = {}
    for load_id, batch_id, feed in known:
        if found := waiting.pop((batch_id, feed), None):
            number, file = found
            in_order.setdefault((load_id, number), []).append(file)
    for number, file in waiting.values():
        in_order.setdefault((None, number), []).append(file)
    return [(load_id, batches[number], files) for (load_id, number), files in in_order.items()]


def read_batch(folder: Path, inbox: Path | None = None) -> Batch:
    """Read a batch folder's names and manifest; the feeds themselves are not opened.

    ``inbox``: where links may lead, by default only into the folder's own.
    """
    where = one_line(folder.name)
    contents = look_into(folder, inbox or folder.parent)
    said = manifest.read_manifest(folder, contents.manifest) if contents.manifest else Manifest()
    entries = _entries(where, said, contents)
    batch_id = said.batch_id or manifest.checked_batch_id(where, folder.name)
    as_of = said.as_of or _as_of(folder)
    if not contents.files:
        raise BatchError(
            Refusal.MISSING_FILE,
            f"Batch {where} contains no file of a feed.",
            "Put its files there, or take the folder away; there is nothing to load.",
        )
    files = tuple(
        _feed(where, feed, contents.files[feed.name], entries.get(feed.name, {}))
        for feed in FEEDS.values()
        if feed.name in contents.files
    )
    return Batch(batch_id, as_of, files)


def _entries(where: str, said: Manifest, contents: Contents) -> dict[str, dict[str, Entry]]:
    """What the manifest says, by feed and part; every file that it names has to be there."""
    entries: dict[str, dict[str, Entry]] = {}
    for entry in said.files:
        meant = [meaning for meaning in meanings_of(entry.name) if _is_there(meaning, contents)]
        if not meant:
            raise BatchError(
                Refusal.MISSING_FILE,
                f"The manifest of batch {where} names {one_line(entry.name)}, which is not there.",
                "Ask the sender for the missing file, or take its name out of the manifest.",
            )
        for meaning in meant:
            of_feed = entries.setdefault(meaning.feed, {})
            if meaning.part in of_feed:
                raise manifest.error(where, f"it names {one_line(entry.name)} twice")
            of_feed[meaning.part] = _of_feed(entry, meaning, is_one_of_several=len(meant) > 1)
    return entries


def _is_there(meaning: Meaning, contents: Contents) -> bool:
    """Whether the folder has what a name means: the feed's own name is any file of it."""
    there = contents.files.get(meaning.feed, [])
    return bool(there) and (
        meaning.part == "" or part_key(meaning.part) in {one.key for one in there}
    )


def _of_feed(entry: Entry, meaning: Meaning, *, is_one_of_several: bool) -> Entry:
    """What the manifest says of a file, for one of the feeds that it is a file of."""
    money = FEEDS[meaning.feed].money
    totals = {c: amount for c, amount in entry.totals.items() if c in money}
    return replace(
        entry,
        contract=entry.contract or meaning.contract,
        totals=totals if is_one_of_several else entry.totals,
    )


def _feed(where: str, feed: Feed, files: list[Named], said: dict[str, Entry]) -> FeedFile:
    """A feed of a batch: its file, or its files as parts of one."""
    listed = {part_key(part) for part in said}
    if gone := missing_part(files, is_listed=listed >= {one.key for one in files}):
        raise BatchError(
            Refusal.MISSING_FILE,
            f"Batch {where} lacks {gone} of {feed.name}: it has "
            f"{', '.join(one_line(one.path.name) for one in files)}.",
            "Ask the sender for the missing file; if there is none, let the manifest name the "
            "files that there are.",
        )
    by_key = {part_key(part): entry for part, entry in said.items()}
    whole = _expected(where, feed, list(said.values()))
    if whole.contract is None:
        # All are named as one contract names its files, or as the feed.
        whole = replace(whole, contract=files[0].contract)
    parts = []
    for one in files:
        entry = by_key.get(one.key) or (by_key.get(()) if len(files) == 1 else None)
        of_part = entry or Entry(one.path.name)
        expected = replace(
            whole,
            rows=of_part.rows,
            checksum=of_part.checksum,
            totals=of_part.totals,
            member=of_part.member,
            sheet=of_part.sheet,
        )
        parts.append(feed_file(feed, one.path, expected, one.found))
    if len(parts) == 1:
        return parts[0]
    is_whole = () in by_key and files[0].key != ()
    return in_parts(feed, parts, _of_all(where, whole, parts, by_key[()] if is_whole else None))


def _of_all(where: str, whole: Expected, parts: list[FeedFile], entry: Entry | None) -> Expected:
    """What the manifest says of all parts together: under the feed's name, else as their sums."""
    if entry is not None and entry.checksum is not None:
        raise manifest.error(
            where,
            f"xxh3_128 of {one_line(entry.name)} cannot apply to {len(parts):,} files together",
        )
    if entry is not None:
        return replace(whole, rows=entry.rows, totals=entry.totals)
    rows = [part.expected.rows for part in parts]
    totals = [part.expected.totals for part in parts]
    return replace(
        whole,
        rows=None if None in rows else sum(n for n in rows if n is not None),
        totals={
            column: sum((of_part[column] for of_part in totals), Decimal(0))
            for column in totals[0]
            if all(column in of_part for of_part in totals)
        },
    )


def _expected(where: str, feed: Feed, entries: list[Entry]) -> Expected:
    """What is the same for all parts of a feed: its kind and contract."""
    known = [contract.name for contract in contracts_of(feed)]
    for entry in entries:
        name = one_line(entry.name)
        if entry.contract is not None and entry.contract not in known:
            raise manifest.error(
                where,
                f"contract of {name} is {one_line(entry.contract)!r}, which is none of "
                f"{', '.join(known)}",
            )
        for column in entry.totals:
            if column not in feed.money:
                near = manifest.meant(column, feed.money)
                raise manifest.error(
                    where,
                    f"totals of {name} have {one_line(column)}, which is no amount{near}",
                )
    kinds = {entry.kind for entry in entries if entry.kind}
    contracts = {entry.contract for entry in entries if entry.contract}
    values = [entry.values for entry in entries if entry.values]
    if len(kinds) > 1 or len(contracts) > 1 or values[1:] != values[:-1]:
        what = "kind" if len(kinds) > 1 else "contract" if len(contracts) > 1 else "values"
        raise manifest.error(where, f"the files of {feed.name} are said to differ in {what}")
    return Expected(
        kinds.pop() if kinds else "delta",
        contract=next(iter(contracts), None),
        values=values[0] if values else {},
    )


def _as_of(folder: Path) -> datetime:
    """When a batch without ``as_of`` in its manifest became true: its folder's name says it."""
    start = re.match(r"\d{4}-\d{2}-\d{2}", folder.name, re.ASCII)
    try:
        day = date.fromisoformat(start.group()) if start else None
    except ValueError:
        day = None
    if day is None or day.year not in manifest.YEARS:
        raise BatchError(
            Refusal.NO_DATE,
            f"Batch {one_line(folder.name)} does not say when it became true.",
            "Begin the folder's name with an ISO date (1900 to 2199), or give as_of in its "
            "manifest.json.",
        )
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
