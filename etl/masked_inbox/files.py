"""A file of the inbox once more, of which only the fields that are replaced differ.

What the reader leaves out (line ends, the header's spelling, the byte-order mark, the encoding, the
packing) is noted on its way in and put back on the way out, a block at a time.
"""

from __future__ import annotations

import gzip
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from etl.contracts.feed import Feed
from etl.contracts.file_form import FileForm
from etl.contracts.refusals import Refusal
from etl.errors import BatchError
from etl.inbox import encodings, header, unpacking
from etl.inbox.batch import Batch, FeedFile
from etl.inbox.csv_records import Block
from etl.inbox.limits import Unfit
from etl.inbox.manifest import open_regular
from etl.masked_inbox.people import People, is_replaced
from etl.masked_inbox.rows import Rows
from etl.masked_inbox.shared_keys import ApartError, SharedKeys
from etl.stages.stage.byte_count import Seen

_FEED, _RETURN = b"\n\r"
# Where a gzip file says when it was packed (RFC 1952); by this alone two of them may differ.
_PACKED_AT = slice(4, 8)
_PACKED_HEADER = 10


class LineEnds:
    """The line ends of a text on its way to the reader, which takes a return and a feed for one.

    ``header``: its first line with its end, as it is written.
    """

    def __init__(self) -> None:
        self.header = b""
        self._has_return: Iterator[bool] = iter(())
        self._last = b""

    def note(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The blocks of the text, noted."""
        for block in blocks:
            rest = block
            if not self.header.endswith(b"\n"):
                line, end, rest = block.partition(b"\n")
                self.header += line + end
            if rest:
                self._has_return = chain(self._has_return, self._returns(rest))
                self._last = rest[-1:]
            yield block

    def _returns(self, text: bytes) -> list[bool]:
        """For each feed of a text, whether there is a return before it."""
        # What is before the first byte is the last one of the block before.
        data = np.frombuffer((self._last or b"\n") + text, np.uint8)
        feeds = np.flatnonzero(data[1:] == _FEED)
        return (data[feeds] == _RETURN).tolist()

    def ends(self, lines: int) -> bytes:
        """The ends of the next lines; of the last line of a file there may be none."""
        found = (next(self._has_return, None) for _ in range(lines))
        return b"".join(b"\r\n" if is_two else b"\n" for is_two in found if is_two is not None)


def is_of_people(feed: Feed) -> bool:
    """Whether rows of a feed name a member; plans and providers are copied as they are."""
    return any(is_replaced(column) for column in feed.columns)


def headers(batch: Batch, feeds: list[FeedFile]) -> list[header.Header]:
    """The header of a file as each feed reads it. Raises ``BatchError`` if one cannot."""
    return [header.read(batch, part, part.blocks)[0] for part in feeds]


def write(
    batch: Batch, feeds: list[FeedFile], people: People, shared: SharedKeys, to: Path
) -> None:
    """Write a file with invented people; ``feeds``: the file as each feed reads it.

    Raises ``BatchError`` if it cannot be read as a file of its feed, changes meanwhile, joins keys
    that would not meet those of other files, or is a workbook: what else is in one, on other sheets
    and in its properties, may be of people.
    """
    try:
        _write(batch, feeds, people, shared, to)
    except ApartError as error:
        raise BatchError(
            Refusal.NOT_CSV,
            f"{feeds[0].name} of batch {batch.batch_id} joins a {error.column} of several fields, "
            "and other files have it whole: in a masked copy the two would not meet.",
            "Mask the batches of the two senders in inboxes of their own.",
        ) from error


def _write(
    batch: Batch, feeds: list[FeedFile], people: People, shared: SharedKeys, to: Path
) -> None:
    part = feeds[0]
    if part.is_workbook:
        raise _unwritable(
            batch, part, "is a workbook", "save the sheet that is loaded as a CSV file"
        )
    head, pieces = _pieces(batch, feeds, people, shared)
    if any(is_of_people(file.feed) for file in feeds):
        _refuse_other_form(batch, part, head)
        with _opened(part, head, to) as file:
            for piece in encodings.encoded(pieces, head.contract.parsing.encoding):
                file.write(piece)
    elif unpacking.ending(part.path) == unpacking.ZIP:
        # Not the file on disk: an archive may have other files in it.
        with _opened(part, head, to) as file:
            for block in part.blocks(head.contract):
                file.write(block)
    else:
        with open_regular(part.path) as original, to.open("wb") as file:
            shutil.copyfileobj(original, file)
    if not part.unchanged():
        raise BatchError(
            Refusal.CHANGED_FILE,
            f"{part.name} of batch {batch.batch_id} changed while it was being read.",
            "Let the sender finish writing, then run again.",
        )


def _refuse_other_form(batch: Batch, part: FeedFile, head: header.Header) -> None:
    """Rows are rewritten with commas between their fields, which a sender's form may not be."""
    # Of an archive the same file is written that was read.
    if replace(head.contract.form, member="", sheet="") == FileForm():
        return
    what = f"is laid out as the contract {head.contract.name} declares"
    raise _unwritable(batch, part, what, "make it a CSV file with commas")


def _unwritable(batch: Batch, part: FeedFile, what: str, instead: str) -> BatchError:
    return BatchError(
        Refusal.NOT_CSV,
        f"{part.name} of batch {batch.batch_id} {what}, in which no masked copy can be written.",
        f"Take the batch out of the inbox that is masked, or {instead} first.",
    )


def _pieces(
    batch: Batch, feeds: list[FeedFile], people: People, shared: SharedKeys
) -> tuple[header.Header, Iterator[bytes]]:
    """A file's header and its text with invented people, a block at a time."""
    part, *others = feeds
    ends = LineEnds()
    blocks = Seen(part).through(lambda _: None)
    head, records = header.read(batch, part, blocks, ends.note)
    heads = [head, *headers(batch, others)]
    return head, _rewritten(ends, Rows(heads, people, shared), records)


def _rewritten(ends: LineEnds, rows: Rows, records: Iterator[Block]) -> Iterator[bytes]:
    yield ends.header
    for _, block in records:
        written = []
        for record, new in zip(block, rows.rewritten(block), strict=True):
            if not record.strip() and b"\n" in record:
                # Very many empty lines, which are one record.
                written.append(ends.ends(record.count(b"\n") + 1))
                continue
            ends.ends(record.count(b"\n"))
            end = ends.ends(1)
            is_last = not end and record.endswith(b"\r")
            written.append(new + (b"\r" if is_last else end))
        yield b"".join(written)


def _packed_at(part: FeedFile) -> int:
    with open_regular(part.path) as file:
        return int.from_bytes(file.read(_PACKED_HEADER)[_PACKED_AT], "little")


@contextmanager
def _opened(part: FeedFile, head: header.Header, to: Path) -> Iterator[BinaryIO]:
    """The file to write, packed as the original is."""
    ending = unpacking.ending(part.path)
    with to.open("wb") as file:
        if ending == unpacking.GZIP:
            with gzip.GzipFile("", "wb", fileobj=file, mtime=_packed_at(part)) as packed:
                yield cast(BinaryIO, packed)
        elif ending == unpacking.ZIP:
            member = _member(part, head)
            with (
                zipfile.ZipFile(file, "w") as archive,
                archive.open(member, "w", force_zip64=True) as packed_member,
            ):
                yield cast(BinaryIO, packed_member)
        else:
            yield file


def _member(part: FeedFile, head: header.Header) -> zipfile.ZipInfo:
    """The file in an archive as it is to be in the copy: its name and time, and nothing else."""
    try:
        with open_regular(part.path) as raw:
            found = unpacking.member(raw, part.form_under(head.contract).member)
    except Unfit as error:
        raise part.unfit(error) from error
    member = zipfile.ZipInfo(found.filename, found.date_time)
    member.compress_type = zipfile.ZIP_DEFLATED
    return member
