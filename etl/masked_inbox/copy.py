"""The inbox once more with invented people, in a folder that is there whole or not at all.

Only what a load would read is copied: files of feeds and manifests. What is hidden, a read-me or a
sender's checksum stays behind, since nothing says what is in it, and so does a batch that a load
would refuse before it looks at the rows.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from etl.errors import BatchError, UsageError
from etl.files.whole import may_write, whole_folder
from etl.inbox import folder, manifest
from etl.inbox.batch import Batch, look_through
from etl.inbox.delivery import FeedFile, feed_file
from etl.inbox.header import Header
from etl.masked_inbox import files
from etl.masked_inbox.people import People
from etl.masked_inbox.shared_keys import SharedKeys

README = "README.txt"
LIMITED_DATA_SET = (
    "It is a limited data set (45 CFR 164.514(e)): dates, cities and ZIP codes are real, so it is "
    "still health information, for use under a data use agreement alone."
)
_README_TEXT = f"""\
An inbox of the ACA warehouse with invented people.

{LIMITED_DATA_SET}

Invented: names, streets, telephone numbers, e-mail addresses and the numbers of members, claims
and enrollments. The same value is replaced by the same one in every file; nothing that was kept
leads back. Columns that no contract knows are empty.
As they were: every other value, so that a load of this inbox gives as many versions, rows and
rejected rows as one of the original, and the same money.

Who receives it may use it for research, public health or health care operations, may not try to
find out who a person is or get in touch with one, and may not pass it on without the same terms
(45 CFR 164.514(e)(3) and (4)).

To load it: make full-load INBOX=this-folder
"""
_COMMAND = "make masked-inbox TO=folder"


@dataclass(slots=True)
class MaskedCopy:
    """What was copied; ``left_out``: why batches were not."""

    folder: Path
    batches: int = 0
    files: int = 0
    left_out: list[BatchError] = field(default_factory=list)


def make(inbox: Path, to: Path) -> MaskedCopy:
    """Write the inbox with invented people into a folder that is new or empty.

    Raises ``UsageError`` if the folder cannot be written, is not empty or lies in the inbox, or
    if the inbox contains no batch.
    """
    to = to.resolve()
    may_write(to, {inbox: "the inbox, which would load it"}, _COMMAND)
    batches, refused = look_through(inbox)
    copied = MaskedCopy(to, left_out=refused)
    if not batches and not refused:
        raise UsageError(
            f"The inbox {inbox} contains no batch to copy.", "Name one with INBOX=folder."
        )
    people = People()
    shared = SharedKeys(people, _headers(batches))
    with whole_folder(to, _COMMAND) as partial:
        (partial / README).write_text(_README_TEXT, encoding="utf-8")
        for batch in batches:
            try:
                copied.files += _copy_batch(batch, inbox, people, shared, partial / batch.folder)
                copied.batches += 1
            except BatchError as error:
                error.folder = batch.folder
                copied.left_out.append(error)
                shutil.rmtree(partial / batch.folder)
    return copied


def _headers(batches: Iterable[Batch]) -> Iterator[list[Header]]:
    """The headers of each file that can be copied; of another a batch is left out later."""
    for batch in batches:
        for feeds in _feeds_of(batch).values():
            if feeds[0].is_workbook:
                continue
            with suppress(BatchError):
                yield files.headers(batch, feeds)


def _feeds_of(batch: Batch) -> dict[str, list[FeedFile]]:
    """The files of a batch by name, each as all feeds have it that read it."""
    found: dict[str, list[FeedFile]] = {}
    for part in (part for file in batch.files for part in file.files):
        found.setdefault(part.path.name, []).append(part)
    return found


def _copy_batch(batch: Batch, inbox: Path, people: People, shared: SharedKeys, to: Path) -> int:
    """Copy a batch; how many files it has."""
    to.mkdir()
    feeds_of = _feeds_of(batch)
    for name, feeds in feeds_of.items():
        files.write(batch, feeds, people, shared, to / name)
    original = batch.files[0].files[0].path.parent
    said_in = folder.look_into(original, inbox).manifest
    if said_in is not None:
        said = manifest.read_manifest(original, said_in)
        checksums = _checksums(batch, to) if any(entry.checksum for entry in said.files) else {}
        entries = tuple(
            # A checksum that did not fit still fits nothing.
            replace(entry, checksum=checksums.get(entry.checksum or "", entry.checksum))
            for entry in said.files
        )
        text = manifest.text_of(replace(said, files=entries))
        (to / said_in.name).write_text(text, encoding="utf-8")
    return len(feeds_of)


def _checksums(batch: Batch, to: Path) -> dict[str, str]:
    """The checksums of a batch's files, each with that of its copy."""
    found = {}
    for part in (part for file in batch.files for part in file.files):
        copy = to / part.path.name
        masked = feed_file(part.feed, copy, part.expected, copy.stat())
        found[part.checksum()] = masked.checksum()
    return found
