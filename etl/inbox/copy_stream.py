"""From a file's records to the bytes that COPY takes: line numbers, rejected rows, amounts.

PostgreSQL types the values. What it would split or read otherwise than the file means is rejected
here first: stray quotes, a wrong number of fields, bytes that are not UTF-8, values that are not
written as their type asks, headers and totals among the rows. Amounts are added up from the bytes,
so that what the server got can be compared with what the file says.
"""

from __future__ import annotations

import operator
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from etl.contracts.reasons import Reason
from etl.contracts.refusals import Refusal
from etl.errors import BatchError
from etl.inbox import block_scan, csv_records, encodings, value_forms
from etl.inbox.amounts import Amounts, MoneyField
from etl.inbox.block_scan import Layout, Marks
from etl.inbox.csv_records import Block
from etl.inbox.deferred import Deferred
from etl.inbox.distinct_keys import Keys
from etl.inbox.file_form import Commas
from etl.inbox.line_fingerprints import LineFingerprints
from etl.inbox.no_rows import NoRows
from etl.inbox.readings import Direct
from etl.inbox.sheet_count import ERRORS
from etl.inbox.value_forms import Form

# No file of so many bad rows is worth more than a look at the first of them.
MOST_REJECTED = 500_000

# What is sent before the records, and skipped: it shows how lines end.
LINE_END = b"\n"

# What is no row of the file, so that it bears no amount of it either.
NO_ROWS = (Reason.REPEATED_HEADER, Reason.TRAILER)

# Line, reason, and the position of the field at fault where one is.
Reject = tuple[int, Reason, int | None]


@dataclass(frozen=True, slots=True)
class Fields:
    """What is known of a file's fields, by position.

    ``names``: as its header has them, in lower case. ``keys``: those that make up the key.
    ``forms``: how values are written that COPY is to type. ``money``: the amounts among them, each
    one field. ``needed``: dates without which only a delete marker can be placed; ``marker``: the
    field that says that a row is one. ``required``: those, the key apart, that every row should
    fill. ``feed`` and ``columns``: what the feed and its columns are called. ``computed``: those
    whose value may be an error of a workbook's formula; ``missing``: words, in small letters, that
    are none, since they say that there is no value. ``direct``: what becomes of the values that a
    sender writes otherwise, where COPY is to type them nevertheless. ``commas``: what changed
    places with the commas of the records, if they come so; then there is ``direct`` as well.
    """

    names: tuple[str, ...]
    keys: tuple[int, ...] = ()
    forms: Mapping[int, Form] = field(default_factory=dict)
    money: Mapping[str, MoneyField] = field(default_factory=dict)
    needed: tuple[int, ...] = ()
    marker: int | None = None
    required: tuple[int, ...] = ()
    feed: str = ""
    columns: tuple[str, ...] = ()
    computed: tuple[int, ...] = ()
    missing: tuple[str, ...] = ()
    direct: Direct | None = None
    commas: Commas | None = None


@dataclass(frozen=True, slots=True)
class FilteredRows:
    """Records of a block that the contract does not mean: its first line, and their cents."""

    line: int
    rows: int
    cents: Mapping[str, int]


@dataclass(slots=True)
class Stream:
    """The records of one file on their way to COPY.

    ``read``: records seen, header apart; ``blank``: lines with nothing on them, which are none.
    ``sent``: records passed on. ``trimmed``: records from which blanks were taken. ``amounts``: of
    all records, those of rejected rows included. ``keys``, ``fingerprints``: see every record sent.
    ``filtered``: records that are not passed on, since the contract does not mean them.
    ``deferred``: records that are to land as text, with the same prefix.
    ``is_printable``: nothing but visible ASCII was sent. ``where``: what a message calls the file.
    ``line_of(n)`` is the line of the file on which the record begins that ends on line ``n`` of
    what was sent. ``is_cut()`` and ``last_line`` are about the last record of all.
    """

    fields: Fields
    prefix: bytes
    keys: Keys | None = None
    where: str = "The file"
    fingerprints: LineFingerprints | None = None
    read: int = 0
    blank: int = 0
    sent: int = 0
    trimmed: int = 0
    is_printable: bool = True
    rejects: list[Reject] = field(default_factory=list)
    filtered: list[FilteredRows] = field(default_factory=list)
    deferred: Deferred = field(default_factory=Deferred)
    amounts: Amounts = field(init=False)
    _no_rows: NoRows = field(init=False)
    _sent_lines: int = LINE_END.count(b"\n")
    _next_line: int = 2
    # From which line of the stream on how many lines are to be added; the last line of each record
    # of several, and the line of the file on which that begins.
    _shifted_from: array[int] = field(default_factory=lambda: array("q"))
    _shifts: array[int] = field(default_factory=lambda: array("q"))
    _long_ends: array[int] = field(default_factory=lambda: array("q"))
    _long_begins: array[int] = field(default_factory=lambda: array("q"))
    _last: Block = (2, [])

    def __post_init__(self) -> None:
        fields = self.fields
        self.amounts = Amounts(fields.money)
        self._no_rows = NoRows(
            fields.names,
            fields.keys,
            fields.columns,
            fields.feed,
            fields.required,
            fields.marker,
        )

    @property
    def last_line(self) -> int:
        """Line on which the last record begins."""
        first, block = self._last
        return first + sum(record.count(b"\n") + 1 for record in block[:-1])

    @property
    def passed_on(self) -> int:
        """Records of which this stream knows that they are rows, or are none that is meant."""
        return self.sent + self.deferred.rows + sum(each.rows for each in self.filtered)

    def is_cut(self) -> bool:
        """Whether the last record, if no line end follows it, breaks off before its last field."""
        last = b"".join(self._last[1][-1:])
        if not last.strip(csv_records.NOTHING):
            return False
        fields = csv_records.without_quoted(last).count(b",") + 1
        return csv_records.is_open(last) or fields < len(self.fields.names)

    def line_of(self, sent_line: int) -> int:
        """Line of the file for a line number that PostgreSQL reports of the stream."""
        at = bisect_left(self._long_ends, sent_line)
        if at < len(self._long_ends) and self._long_ends[at] == sent_line:
            return self._long_begins[at]
        before = bisect_right(self._shifted_from, sent_line)
        return sent_line + (self._shifts[before - 1] if before else 0)

    def send(self, blocks: Iterable[Block]) -> Iterator[bytes]:
        """Yield what COPY takes, one piece a block: prefix, line number, the record's fields.

        Raises ``BatchError`` when far too many rows are bad.
        """
        for first, block in blocks:
            self.read += len(block)
            self._last = first, block
            if not any(record.strip() for record in block):
                self.read -= len(block)
                self.blank += sum(record.count(b"\n") + 1 for record in block)
                continue
            plain = plain_block(block, len(self.fields.names))
            if plain is None:
                yield self._send_one_by_one(first, block)
            else:
                clean, layout, changed = plain
                if self.fields.commas is not None:
                    layout = self.fields.commas.restored_layout(layout)
                self.trimmed += changed
                yield self._send_block(first, clean, layout)
            self.refuse_if_hopeless()

    def refuse_if_hopeless(self, others: int = 0) -> None:
        """Raise ``BatchError`` when far too many rows are bad; ``others``: found elsewhere."""
        refuse_too_many(len(self.rejects) + others, self.where)

    def _send_block(self, first: int, block: list[bytes], layout: Layout) -> bytes:
        """Send records that are sound; those that look odd in some field are looked at."""
        odd = self._odd(layout)
        suspects = np.flatnonzero(odd).tolist() if odd.any() else []
        bad = []
        for at in suspects:
            if not self._take(first + at, csv_records.values_of(self._restored([block[at]])[0])):
                bad.append(at)
        is_row = np.ones(len(block), np.bool_)
        is_row[bad] = False
        if self.fields.direct is not None:
            block, is_row = self._sort(first, block, layout, is_row, self.fields.direct)
        if self.keys is not None:
            self.keys.see(layout, is_row)
        if is_row.all():
            return self._sent(range(first, first + len(block)), block)
        kept = np.flatnonzero(is_row).tolist()
        return self._sent([first + at for at in kept], [block[at] for at in kept])

    def _sort(
        self, first: int, block: list[bytes], layout: Layout, is_row: Marks, direct: Direct
    ) -> tuple[list[bytes], Marks]:
        """The records as COPY reads them, and which are sent; filters and defers the others."""
        found = direct.sort(layout)
        deferred = np.flatnonzero(found.odd & is_row).tolist()
        records = self._restored([block[at] for at in deferred])
        self._defer(zip([first + at for at in deferred], records, strict=True))
        counted = is_row & ~found.odd
        filtered = counted & found.filtered
        if filtered.any():
            cents = {column: int(of[filtered].sum()) for column, of in found.cents.items()}
            self.filtered.append(FilteredRows(first, int(np.count_nonzero(filtered)), cents))
        for column, of in found.cents.items():
            self.amounts.cents[column] += int(of[counted].sum())
        is_sent = counted & ~filtered
        return direct.rewritten(layout) if is_sent.any() else block, is_sent

    def _restored(self, records: list[bytes]) -> list[bytes]:
        """Records as they would come with commas between their fields."""
        commas = self.fields.commas
        return records if commas is None or not records else commas.restored(records)

    def _defer(self, records: Iterable[tuple[int, bytes]]) -> None:
        texts = [b"%b%d,%b\n" % (self.prefix, line, record) for line, record in records]
        if texts:
            text = b"".join(texts)
            ends = text.count(b"\n")
            self.is_printable = self.is_printable and block_scan.is_printable(text, ends)
            self.deferred.put(text, len(texts))

    def _odd(self, layout: Layout) -> block_scan.Marks:
        """Which records have to be looked at by themselves; adds up the amounts of the others."""
        fields = self.fields
        odd = self._no_rows.odd(layout)
        for at in fields.needed:
            odd |= layout.lengths(at) == 0
        for at in fields.computed:
            odd |= block_scan.begins_with(layout, at, [b"#"])
        money = {column: money.positions[0] for column, money in fields.money.items()}
        for at, form in fields.forms.items():
            if at not in money.values():
                odd |= form.odd(layout, at)
        amounts = {}
        for column, at in money.items():
            amounts[column], is_odd = block_scan.amounts(layout, at)
            odd |= is_odd
        for column, cents in amounts.items():
            self.amounts.cents[column] += int(cents[~odd].sum())
        return odd

    def _take(self, line: int, values: list[bytes]) -> bool:
        """Whether the values of a sound record are a row's; adds up or rejects them."""
        found = self._misfit(values)
        if found is not None:
            self.rejects.append((line, *found))
        if found is None or found[0] not in NO_ROWS:
            self.amounts.add(values)
        return found is None

    def _send_one_by_one(self, first: int, block: list[bytes]) -> bytes:
        lines, sent, keyed = [], [], []
        line = first
        block = self._restored(block)
        # What a whole block cannot have need not be looked for in each of its records.
        is_utf8 = encodings.is_utf8(b"\n".join(block))
        for record in block:
            height = record.count(b"\n") + 1
            record = record.removesuffix(b"\r")
            if not record.strip():
                self.read -= 1
                self.blank += height
            elif reason := fault_of(record, len(self.fields.names), is_utf8=is_utf8):
                self._reject(line, record, reason)
            else:
                clean = csv_records.trimmed(record)
                values = csv_records.values_of(clean)
                if self._take(line, values):
                    self.trimmed += clean != record
                    lines.append(line)
                    sent.append(clean)
                    keyed.append(values)
            line += height
        if self.fields.direct is not None:
            self._defer(zip(lines, sent, strict=True))
            return b""
        if self.keys is not None:
            self.keys.see_values(keyed)
        return self._sent(lines, sent)

    def _reject(self, line: int, record: bytes, reason: Reason) -> None:
        """Reject a record whose fields cannot be distinguished as they must be."""
        if reason is Reason.FIELD_COUNT:
            reason = self._no_rows.fault_of_line(record) or reason
        if reason not in NO_ROWS:
            self.amounts.add(values_despite(record, len(self.fields.names), reason))
        self.rejects.append((line, reason, None))

    def _misfit(self, values: list[bytes]) -> tuple[Reason, int | None] | None:
        """Why the values of a sound record cannot be a row of the file, and which is at fault."""
        if no_row := self._no_rows.fault(values):
            return no_row
        for at in self.fields.computed:
            if self._is_error(values[at]):
                return Reason.CELL_ERROR, at
        for at, form in self.fields.forms.items():
            if reason := form.fault(values[at]):
                return reason, at
        is_marker = self.fields.marker is not None and value_forms.is_true(
            values[self.fields.marker]
        )
        for at in self.fields.needed:
            if not values[at] and not is_marker:
                return self.fields.forms[at].type.refusal, at
        return None

    def _is_error(self, value: bytes) -> bool:
        """Whether a cell of a workbook shows that its formula came to nothing."""
        if value[:1] != b"#":
            return False
        word = value.decode()
        return word in ERRORS and word.lower() not in self.fields.missing

    def _sent(self, lines: range | list[int], clean: list[bytes]) -> bytes:
        if not clean:
            return b""
        self._keep_lines(lines, clean)
        self.sent += len(clean)
        if self.fingerprints is not None:
            self.fingerprints.see(lines, clean)
        form = self.prefix + b"%d,%b\n"
        sent = b"".join(map(form.__mod__, zip(lines, clean, strict=True)))
        self.is_printable = self.is_printable and block_scan.is_printable(sent, len(clean))
        return sent

    def _keep_lines(self, lines: range | list[int], clean: list[bytes]) -> None:
        """Keep what maps the lines of the stream to those of the file."""
        if isinstance(lines, range):
            if lines.start != self._next_line:
                self._shift(lines.start)
            self._sent_lines += len(lines)
            self._next_line = lines.stop
            return
        for line, record in zip(lines, clean, strict=True):
            height = record.count(b"\n") + 1
            if line != self._next_line:
                self._shift(line)
            self._sent_lines += height
            self._next_line = line + height
            if height > 1:
                self._long_ends.append(self._sent_lines)
                self._long_begins.append(line)

    def _shift(self, line: int) -> None:
        """Note that what is sent next is on another line of the file than the one after."""
        self._shifted_from.append(self._sent_lines + 1)
        self._shifts.append(line - self._sent_lines - 1)


def refuse_too_many(bad_rows: int, where: str) -> None:
    """Raise ``BatchError`` where a file has more bad rows than anybody looks at."""
    if bad_rows > MOST_REJECTED:
        raise BatchError(
            Refusal.TOO_MANY_REJECTED,
            f"{where} has more than {MOST_REJECTED:,} bad rows.",
            "Ask the sender for the file again, or declare how it is written in a contract; "
            "nothing was loaded.",
        )


def fault_of(record: bytes, fields: int, *, is_utf8: bool = False) -> Reason | None:
    """Why the fields of a record, without its line's end, cannot be distinguished as they must be.

    ``is_utf8``: its text is known to be UTF-8.
    """
    if len(record) > csv_records.LONGEST_RECORD:
        return Reason.TOO_LONG
    if b"\0" in record or not (is_utf8 or encodings.is_utf8(record)):
        return Reason.NOT_UTF8
    if not csv_records.is_sound(record):
        return Reason.OPEN_QUOTE if csv_records.is_open(record) else Reason.STRAY_QUOTE
    bare = csv_records.without_quoted(record)
    if b"\r" in bare:
        return Reason.STRAY_RETURN
    return Reason.FIELD_COUNT if bare.count(b",") != fields - 1 else None


def values_despite(record: bytes, fields: int, fault: Reason) -> list[bytes] | None:
    """The values of a record with a fault, so far as its amounts can be read from them."""
    if fault in (Reason.OPEN_QUOTE, Reason.STRAY_QUOTE):
        return csv_records.values_apart(record, fields)
    return None


def plain_block(block: list[bytes], fields: int) -> tuple[list[bytes], Layout, int] | None:
    """The records, trimmed, with where their values are, if none needs a closer look.

    With them, how many were trimmed.

    A handful of searches over all its bytes at once, which nearly every block passes, instead of
    as many over each record.
    """
    if all(record[-1:] == b"\r" for record in block):
        block = [record[:-1] for record in block]
    joined = b"\n".join(block)
    if b"\r" in joined or b"\0" in joined or not encodings.is_utf8(joined):
        return None
    layout, changed = block_scan.lay_out(joined, fields), 0
    if layout is not None and layout.has_blanks:
        if b'"' in joined:
            return None
        joined = csv_records.trimmed_block(joined)
        clean = joined.split(b"\n")
        block, changed = clean, sum(map(operator.ne, block, clean))
        layout = block_scan.lay_out(joined, fields)
    if layout is None or len(layout.ends) != len(block) or not all(block):
        return None
    return block, layout, changed
