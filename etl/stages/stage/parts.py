"""Parts: the files of one feed in a batch, read one after the other as one.

The lines of a later part go on counting where the rows of the part before it end, its header
apart, so that a row's ``source_line`` still names one row of a load. ``ledger.load_file_part``
leads back from there to the file and its line.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.refusals import Refusal
from etl.contracts.sender import SenderContract
from etl.db.statements import insert, run
from etl.errors import BatchError, one_line, printable
from etl.inbox import csv_records, encodings, file_form, header
from etl.inbox.batch import Batch, Expected, FeedFile
from etl.inbox.copy_stream import NO_ROWS, Stream
from etl.inbox.csv_records import Block
from etl.inbox.file_form import Commas, Records
from etl.inbox.header import Header
from etl.stages.stage.byte_count import Seen
from etl.stages.stage.staged import FIRST_LINE, PartRead, Staged

_HINT = "Ask the sender for the file or the manifest again; nothing was loaded."


class Reading:
    """A feed's files on their way; ``head`` is the header that all of them have.

    ``stream``: what takes the records, set before the first is asked for. ``is_displaced``: they
    come with their commas displaced. Raises ``BatchError`` where a file cannot be read, is cut
    short, or has other columns than the first.
    """

    stream: Stream
    is_displaced = False

    def __init__(
        self,
        batch: Batch,
        staged: Staged,
        on_bytes: Callable[[int], None],
        corrected: Mapping[int, bytes],
    ) -> None:
        self._batch = batch
        self._staged = staged
        self._on_bytes = on_bytes
        self._corrected = corrected
        self._seen: list[Seen] = []
        self.head, self._first = self._open(staged.file.files[0])
        if self.head.contract.form.names and staged.file.parts:
            raise BatchError(
                Refusal.WRONG_HEADER,
                f"{staged.file.name} of batch {batch.batch_id} are parts without a header, and "
                "nothing in them shows that they have the same columns.",
                "Ask the sender for one file, or for parts with a header; nothing was loaded.",
            )

    @property
    def bytes(self) -> int:
        """Bytes of all files, unpacked."""
        return sum(seen.bytes for seen in self._seen)

    @property
    def lines(self) -> int:
        """Lines of all files, their headers among them."""
        return sum(seen.lines for seen in self._seen)

    @property
    def lines_accounted(self) -> int:
        """Lines that were recognized as headers, rows, empty lines and what is around the rows."""
        return sum(seen.lines_accounted for seen in self._seen)

    @property
    def lines_around(self) -> int:
        """Lines around the rows that the contract passes over, headers apart."""
        around = sum(seen.lines_before + seen.lines_after for seen in self._seen)
        return around - (0 if self.head.contract.form.names else len(self._seen))

    def commas(self) -> Commas | None:
        """Let the records come with their commas displaced, if they are; what displaced them."""
        self.is_displaced = self._first.commas is not None and not self._corrected
        return self._first.commas if self.is_displaced else None

    def _open(self, part: FeedFile) -> tuple[Header, Records]:
        seen = Seen(part)
        self._seen.append(seen)
        return header.read(self._batch, part, seen.through(self._on_bytes), seen.text)

    def records(self) -> Iterator[Block]:
        """The records of all files, on the lines that they have together."""
        found, line = self._first, FIRST_LINE
        for part in self._staged.file.files:
            if part is not self._staged.file.files[0]:
                head, found = self._open(part)
                self._same_header(part, head)
            self._staged.parts.append(PartRead(part, line))
            found.is_displaced = self.is_displaced
            shifted = _shifted(self._seen[-1].records(found), line - FIRST_LINE)
            if self._corrected:
                shifted = csv_records.put_in_place(shifted, self._corrected)
            yield from shifted
            self._check_end(part, line - FIRST_LINE)
            # With what is around them, so that no line is in two files.
            line += self._seen[-1].lines_accounted - 1

    def _check_end(self, part: FeedFile, shift: int) -> None:
        seen = self._seen[-1]
        is_last = seen.lines_of_records and not seen.lines_after
        if seen.ends_line or not is_last or not self.stream.is_cut():
            return
        raise BatchError(
            Refusal.CUT_SHORT,
            f"{part.name} of batch {self._batch.batch_id} is cut short: it ends in the middle of "
            f"the row on line {self.stream.last_line - shift:,}.",
            "Ask the sender for the whole file again; nothing was loaded.",
        )

    def _same_header(self, part: FeedFile, head: Header) -> None:
        if head.names == self.head.names and head.contract.name == self.head.contract.name:
            return
        lacking = [one_line(n) for n in self.head.names if n not in head.names]
        more = [one_line(n) for n in head.names if n not in self.head.names]
        how = " and ".join(
            [f"it lacks {', '.join(lacking[:3])}"] * bool(lacking)
            + [f"it has {', '.join(more[:3])}"] * bool(more)
        )
        raise BatchError(
            Refusal.WRONG_HEADER,
            f"{part.name} of batch {self._batch.batch_id} has other columns than "
            f"{self._staged.file.files[0].name}, of which it is a part: "
            f"{how or 'they come in another order'}.",
            "Ask the sender for parts with one header; if it is no part, take it away or give it "
            "another name; nothing was loaded.",
        )


def _shifted(blocks: Iterable[Block], lines: int) -> Iterator[Block]:
    return ((line + lines, block) for line, block in blocks)


def read_again(file: FeedFile, contract: SenderContract) -> Iterator[Block]:
    """The records of a feed's files once more, on the lines that they have together."""
    shift = 0
    for part in file.files:
        text = encodings.transcoded(part.blocks(contract), part.encoding_under(contract))
        _, records = file_form.header_and_records(text, contract.form)
        lines = 0
        for line, block in records:
            lines += sum(record.count(b"\n") + 1 for record in block)
            yield line + shift, block
        shift += records.before + lines + records.after - 1


def check_checksums(batch: Batch, staged: Staged) -> None:
    """Compare each file with the checksum that the manifest says; ``BatchError`` if it differs."""
    for part in staged.file.files:
        found = part.checksum() if staged.file.parts else staged.checksum
        if part.expected.checksum not in (None, found):
            raise BatchError(
                Refusal.CHECKSUM_DIFFERS,
                f"{part.name} of batch {batch.batch_id} is not the file that its manifest "
                "describes: the checksum differs.",
                _HINT,
            )


def count(connection: psycopg.Connection[Any], load_id: int, batch: Batch, staged: Staged) -> None:
    """Count the rows of each part of a file, and compare it with what the manifest says of it."""
    if len(staged.parts) == 1:
        [part] = staged.parts
        part.read, part.loaded = staged.read, staged.loaded
        part.rejected, part.duplicate = len(staged.rejected), staged.duplicate
        part.filtered, part.added = staged.filtered.total(), staged.added
        return
    feed = staged.file.feed
    firsts = [part.first_line for part in staged.parts]
    sums = sql.SQL(", ").join(
        sql.SQL("coalesce(sum({}), 0)").format(sql.Identifier(c)) for c in feed.money
    )
    measured = {
        number: (rows, amounts)
        for number, rows, amounts in run(
            connection,
            "stage/parts.measure",
            {"load_id": load_id, "first_lines": firsts},
            table=sql.Identifier(feed.table),
            sums=sums,
        )
    }
    rejected = Counter(bisect_right(firsts, r.line) for r in staged.rejected)
    no_rows = Counter(bisect_right(firsts, r.line) for r in staged.rejected if r.reason in NO_ROWS)
    totals: dict[tuple[int, str], Decimal] = {}
    for number, part in enumerate(staged.parts, 1):
        part.loaded, amounts = measured.get(number, (0, [Decimal(0)] * len(feed.money)))
        for column, amount in zip(feed.money, amounts, strict=True):
            filtered = Decimal(staged.filtered_of_part[number, column]) / 100
            totals[number, column] = amount + filtered
    for line, repeated in staged.duplicates:
        number = bisect_right(firsts, line)
        staged.parts[number - 1].duplicate += 1
        for column, amount in zip(feed.money, repeated, strict=True):
            totals[number, column] += amount or 0
    for number, part in enumerate(staged.parts, 1):
        part.rejected = rejected[number]
        part.filtered = staged.filtered[number]
        part.read = part.loaded + part.rejected + part.duplicate + part.filtered
        of_part = {column: totals[number, column] for column in feed.money}
        _check_expected(batch, part, part.read - no_rows[number], of_part)


def _check_expected(batch: Batch, part: PartRead, rows: int, totals: dict[str, Decimal]) -> None:
    """Compare a part with its manifest.

    What rejected rows bear is known of all parts together alone, so with such rows the amounts are
    compared there.
    """
    said, where = part.file.expected, f"{part.file.name} of batch {batch.batch_id}"
    check_rows(where, said, rows)
    for column in said.totals if not part.rejected else ():
        check_total(where, said, column, totals[column])


def check_rows(where: str, said: Expected, rows: int) -> None:
    """``BatchError`` if the manifest says another number of rows of what ``where`` names."""
    if said.rows not in (None, rows):
        raise BatchError(
            Refusal.ROWS_DIFFER,
            f"{where} has {rows:,} rows, but its manifest says {said.rows:,}.",
            _HINT,
        )


def check_total(where: str, said: Expected, column: str, total: Decimal) -> None:
    """``BatchError`` if the manifest says another total, US dollars, of a column."""
    amount = said.totals[column]
    if total != amount:
        raise BatchError(
            Refusal.TOTALS_DIFFER,
            f"{where}: {column} adds up to {total} where its manifest says {amount}.",
            _HINT,
        )


def record(connection: psycopg.Connection[Any], load_id: int, staged: Staged) -> None:
    """Enter what came of a feed's file in the ledger; of its parts also where their lines begin.

    A file that was refused or skipped has no rows here, and of what was not read no first line.
    """
    insert(connection, "load_file", [staged.ledger_values(load_id)])
    is_loaded = staged.status == "loaded"
    rows = []
    for number, file in enumerate(staged.file.files, 1):
        read = staged.parts[number - 1] if number <= len(staged.parts) else None
        counted = read if is_loaded and read is not None else PartRead(file, FIRST_LINE)
        row = {
            "load_id": load_id,
            "feed": staged.file.feed.name,
            "part": number,
            "file_name": printable(file.path.name),
            "size_bytes": file.size_bytes,
            "modified_ns": file.modified_ns,
            "changed_ns": file.changed_ns,
            "xxh3_128": file.checksum() if staged.file.parts else staged.checksum,
            "first_line": read.first_line if read is not None else None,
            "rows_read": counted.read,
            "rows_loaded": counted.loaded,
            "rows_rejected": counted.rejected,
            "rows_duplicate": counted.duplicate,
            "rows_filtered": counted.filtered,
            "rows_added": counted.added,
        }
        rows.append(row)
    insert(connection, "load_file_part", rows)


def recount(
    connection: psycopg.Connection[Any],
    load_id: int,
    feed: str,
    parts: list[PartRead],
    staged: Staged,
) -> None:
    """Record the parts of a file as if the corrected rows had been right."""
    firsts = [part.first_line for part in parts]
    duplicate = Counter(bisect_right(firsts, line) for line, _ in staged.duplicates)
    for number, part in enumerate(parts, 1):
        values = {
            "load_id": load_id,
            "feed": feed,
            "part": number,
            "first_line": part.first_line,
            "next_line": firsts[number] if number < len(firsts) else None,
            "more_duplicates": duplicate[number] if len(parts) > 1 else staged.duplicate,
            "more_filtered": staged.filtered[number],
            "rows_added": staged.added if len(parts) == 1 else 0,
        }
        run(connection, "stage/parts.recount", values)


def first_bad_byte(
    file: FeedFile, contract: SenderContract
) -> tuple[FeedFile, encodings.BadByte] | None:
    """The first byte of a feed's files that is not UTF-8 text, with the file that has it."""
    for part in file.files:
        found = encodings.first_bad_byte(part.blocks(contract))
        if found is not None:
            return part, found
    return None
