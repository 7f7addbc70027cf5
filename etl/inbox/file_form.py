"""From a text in the form of its sender to records as the feeds themselves have them.

Whatever reads records (the stream to COPY, the quarantine, corrections) knows commas alone. Here
the sender's delimiter and the comma change places before the text is split, so that quotes are
judged by the same rules, and a value that contains a comma is put into quotes after that. What is
in front of the header and behind the rows is counted and left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, compress

import numpy as np

from etl.contracts.file_form import MOST_LINES_AROUND, FileForm
from etl.inbox import csv_records
from etl.inbox.block_scan import Bytes, Layout
from etl.inbox.csv_records import Block

# What a comma inside a value is while records are split: of all signs the least used.
_MARK = "\x1f"


class Records(Iterator[Block]):
    """The records of a text, each on the lines that it has there.

    ``before``: lines in front of the first, the header among them; ``after``: lines behind the
    last, known once all were read. ``commas``: what changed places with the commas, which the
    records still have where ``is_displaced``.
    """

    def __init__(
        self,
        blocks: Iterator[Block],
        before: int,
        footer: _Footer | None = None,
        commas: Commas | None = None,
    ) -> None:
        self.before = before
        self.commas = commas
        self.is_displaced = False
        self._blocks = blocks
        self._footer = footer

    def __next__(self) -> Block:
        first, block = next(self._blocks)
        if self.commas is not None and not self.is_displaced:
            block = self.commas.restored(block)
        return first, block

    @property
    def after(self) -> int:
        """Lines behind the last record."""
        return self._footer.lines if self._footer else 0


def header_and_records(blocks: Iterable[bytes], form: FileForm) -> tuple[list[str], Records]:
    """The names of a text's fields (UTF-8) and its records, as ``csv_records`` has them.

    Raises ``csv_records.HeaderError``.
    """
    above, text = _below(blocks, form.before) if form.before else (0, blocks)
    commas = Commas(form.delimiter) if form.delimiter != "," else None
    if commas is not None:
        text = map(commas.split_by, text)
    if form.names:
        names, before = list(form.names), above
        records = _without_header(text, len(names), above + 1)
    else:
        names, found = csv_records.header_and_records(text)
        names, before = list(map(commas.name, names)) if commas else names, above + 1
        records = ((line + above, block) for line, block in found)
    footer = _Footer(form.after, commas) if form.after else None
    if footer is not None:
        records = footer.cut_from(records)
    return names, Records(records, before, footer, commas)


def below(head: bytes, form: FileForm) -> bytes:
    """The beginning of a file from its header on."""
    return b"".join(_below([head], form.before)[1]) if form.before else head


def _below(blocks: Iterable[bytes], above: int | str) -> tuple[int, Iterator[bytes]]:
    """How many lines in front of a header or row ``above`` means, and the text after them."""
    source = iter(blocks)
    text = next(source, b"").removeprefix(csv_records.BOM)
    most = above if isinstance(above, int) else MOST_LINES_AROUND
    lines = 0
    while lines < most:
        line, end, rest = text.partition(b"\n")
        if not end and len(text) <= csv_records.LONGEST_RECORD and (more := next(source, b"")):
            text += more
            continue
        if not end or not _is_meant(line, above):
            break
        lines, text = lines + 1, rest
    return lines, chain([text], source)


def _is_meant(line: bytes, around: int | str) -> bool:
    """Whether a line is one around the rows; by a pattern also if nothing is on it."""
    if isinstance(around, int) or not line.strip(csv_records.NOTHING):
        return True
    return re.match(around, line.decode(errors="replace")) is not None


class _Footer:
    """The lines behind the rows: so many, or those at the end that each match a pattern."""

    def __init__(self, meant: int | str, commas: Commas | None) -> None:
        self.lines = 0
        self._meant = meant
        self._most = meant if isinstance(meant, int) else MOST_LINES_AROUND
        self._commas = commas

    def cut_from(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """The blocks without the footer, whose lines are known after the last."""
        kept: list[bytes] = []
        first = 0
        for line, block in blocks:
            first = first if kept else line
            kept += block
            rows = len(kept) - self._size(kept)
            if rows:
                yield first, kept[:rows]
                first += _lines(kept[:rows])
                kept = kept[rows:]
        self.lines = _lines(kept)

    def _size(self, records: list[bytes]) -> int:
        """How many of the last records may be the footer, with the empty lines among them."""
        size = lines = 0
        for record in reversed(records):
            if record.strip(csv_records.NOTHING):
                text = self._commas.as_written(record) if self._commas else record
                if lines == self._most or not _is_meant(text, self._meant):
                    break
                lines += 1
            size += 1
        return size


def _lines(records: list[bytes]) -> int:
    return sum(record.count(b"\n") + 1 for record in records)


def _without_header(text: Iterable[bytes], fields: int, line: int) -> Iterator[Block]:
    """The records of a text that begins with one.

    Raises ``HeaderError`` if the first has another number of fields than names are declared.
    """
    data, source = csv_records.peek(text)
    data = data.removeprefix(csv_records.BOM)
    first = data.partition(b"\n")[0].removesuffix(b"\r")
    found = len(csv_records.fields_of(first)) if csv_records.is_sound(first) else fields
    if first.strip() and found != fields:
        raise csv_records.HeaderError(
            f"has {found:,} fields on its first line, where its contract names {fields:,}"
        )
    return csv_records.records(chain([data], source), fields, line)


def _exchanged(data: Bytes, table: bytes) -> Bytes:
    """Bytes of which the few that a table changes are exchanged, each kind all at once."""
    found = data.copy()
    for sign, other in enumerate(table):
        if sign != other:
            found ^= (data == sign) * np.uint8(sign ^ other)
    return found


class Commas:
    """Commas instead of another delimiter, and as themselves inside values."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        around, inside = f"{delimiter},{_MARK}", f",{_MARK}{delimiter}"
        self._there = bytes.maketrans(around.encode(), inside.encode())
        # What is between fields stays a comma; what is within one is what it was.
        self._back = bytes.maketrans(inside[1:].encode(), around[1:].encode())
        self._back_within = bytes.maketrans(inside.encode(), around.encode())
        self._back_in_names = str.maketrans(inside, around)
        self._displaced = (_MARK.encode(), delimiter.encode())
        # A field without quotes, from its beginning, that has the mark: nothing is looked at twice.
        # One with a return has a fault, which quotes would hide.
        self._with_comma = re.compile(
            rb"(?:^|(?<=,))[^,\r\n\x1f]*+\x1f[^,\r\n]*+(?=[,\n]|\Z)", re.MULTILINE
        )

    def split_by(self, text: bytes) -> bytes:
        """A text with commas between its fields."""
        return _exchanged(np.frombuffer(text, np.uint8), self._there).tobytes()

    def as_written(self, record: bytes) -> bytes:
        """A record with the delimiter that it has in the text."""
        return record.translate(self._back_within)

    def name(self, name: str) -> str:
        """A name of the header as the file has it."""
        return name.translate(self._back_in_names)

    def restored(self, block: list[bytes]) -> list[bytes]:
        """Records with the commas that are inside their values, which are then in quotes."""
        joined = b"\n".join(block)
        if any(sign in joined for sign in b'"\r'):
            return self._restored_block(block)
        if not any(sign in joined for sign in self._displaced):
            return block
        if joined.count(b"\n") >= len(block):
            return [self._restored(record) for record in block]
        return self._quoted(joined).split(b"\n")

    def restored_layout(self, layout: Layout) -> Layout:
        """A block with its commas in place, and which of them are in values without quotes."""
        before = layout.data
        marks = np.flatnonzero(before == ord(_MARK))
        data = _exchanged(before, self._back)
        is_comma = before == ord(",")
        fields = layout.begins.shape[1]
        if np.count_nonzero(is_comma) > len(layout.begins) * (fields - 1):
            # What is no end of a field is the delimiter within quotes.
            in_quotes = before[layout.ends] == ord('"')
            is_comma[(layout.ends + in_quotes)[:, :-1]] = False
            data[is_comma] = ord(self._delimiter)
        begins = layout.begins.ravel()
        fields_at = np.searchsorted(begins, marks, "right") - 1
        # Before a value in quotes is one; at the very beginning the last byte, a line's end.
        bare = before[begins[fields_at] - 1] != ord('"')
        return replace(layout, data=data, commas=marks[bare], with_comma=fields_at[bare])

    def _restored_block(self, block: list[bytes]) -> list[bytes]:
        """Records of which some have quotes or returns; the others are restored together."""
        is_plain = [not any(sign in record for sign in b'"\r\n') for record in block]
        plain = b"\n".join(compress(block, is_plain))
        together = iter(self._quoted(plain).split(b"\n"))
        return [
            next(together) if alone else self._restored(record)
            for record, alone in zip(block, is_plain, strict=True)
        ]

    def _quoted(self, text: bytes) -> bytes:
        """A text without quotes, its commas in quotes."""
        return self._with_comma.sub(rb'"\g<0>"', text).translate(self._back)

    def _restored_field(self, field: bytes) -> bytes:
        if b'"' in field:
            return field.translate(self._back_within)
        mark, delimiter = self._displaced
        return self._quoted(field) if mark in field or delimiter in field else field

    def _restored(self, record: bytes) -> bytes:
        if not any(sign in record for sign in self._displaced):
            bare = csv_records.without_quoted(record)
            if bare.count(b",") == record.count(b","):
                return record  # none of its values has a sign that changed its place
        body = record.removesuffix(b"\r")
        is_sound, is_open = csv_records.is_sound(body), csv_records.is_open(body)
        fields = csv_records.fields_of(body) if is_sound else body.split(b",")
        restored = b",".join(map(self._restored_field, fields))
        # A record with a fault keeps it, whatever its commas would make of its quotes.
        if is_sound or (csv_records.is_sound(restored), csv_records.is_open(restored)) == (
            False,
            is_open,
        ):
            body = restored
        return body + record[len(record.removesuffix(b"\r")) :]
