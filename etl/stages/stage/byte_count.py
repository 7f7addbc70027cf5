"""Seen: what a file's bytes and lines come to, counted as they go past and before anything is read.

Nothing here knows of quotes, fields or types: what is counted so is compared with what the reader
made of the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from etl.contracts.sender import SenderContract
from etl.inbox import block_scan
from etl.inbox.batch import FeedFile
from etl.inbox.csv_records import Block
from etl.inbox.file_form import Records
from etl.inbox.limits import most_unpacked, unpacks_to_more


class Seen:
    """Counts of one file.

    ``bytes``: unpacked. ``lines``: line feeds of its text, and a last line without one.
    ``lines_of_records``: those of the records that were made of it; ``lines_before`` and
    ``lines_after``: those in front of them, the header among them, and behind. ``ends_line``:
    whether the last byte is a line's.
    """

    def __init__(self, file: FeedFile) -> None:
        self._file = file
        self.bytes = 0
        self.lines = 0
        self.lines_of_records = 0
        self.lines_before = 0
        self.lines_after = 0
        self.ends_line = False

    def through(
        self, on_bytes: Callable[[int], None]
    ) -> Callable[[SenderContract], Iterator[bytes]]:
        """The file's blocks under a contract, counted from its first one on.

        They raise ``BatchError`` if it unpacks to more than any feed has.
        """

        def blocks(contract: SenderContract) -> Iterator[bytes]:
            self.bytes = 0
            for block in self._file.blocks(contract):
                on_bytes(len(block))
                self.bytes += len(block)
                self.ends_line = block.rstrip(b"\0").endswith((b"\n", b"\r"))
                if self.bytes > most_unpacked(self._file.size_bytes):
                    raise self._file.unfit(unpacks_to_more(self.bytes, self._file.size_bytes))
                yield block

        return blocks

    def text(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The blocks of its text as UTF-8, whose lines are counted."""
        ends_line = True
        for block in blocks:
            if block:
                self.lines += block_scan.feeds(block)
                ends_line = block.endswith(b"\n")
            yield block
        self.lines += not ends_line

    def records(self, records: Records) -> Iterator[Block]:
        """The records made of it, whose lines are counted, as are those around them."""
        self.lines_before = records.before
        for first, block in records:
            self.lines_of_records += len(block) + block_scan.feeds(b"".join(block))
            yield first, block
        self.lines_after = records.after

    @property
    def lines_accounted(self) -> int:
        """Lines that were recognized: of records, in front of them and behind."""
        return self.lines_before + self.lines_of_records + self.lines_after
