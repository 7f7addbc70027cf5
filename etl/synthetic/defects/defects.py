"""A row and the defects it can have: what is written in its place, what of it will be loaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import TypeVar

_Choice = TypeVar("_Choice")

_BAD_DATES = (b"13/45/2025", b"2025-02-30")
_BAD_AMOUNTS = (b"12.3.4", b"N/A")
_BAD_DIAGNOSIS = b"ZZZ9"
_UNKNOWN_CODES = {"diagnosis_code": b"U99X9", "procedure_code": b"QQ999"}
_OTHER_DIAGNOSES = (b"R69", b"Z0000")
# To the day of week and of leap years; older than any coverage that is sold today.
_LONG_BEFORE = timedelta(days=28 * 365 + 7)

_FIELD = re.compile(rb'(?:^|,)((?:[^",]+|"[^"]*")*)')


@dataclass(slots=True)
class Row:
    """A row that is to be corrupted.

    ``fields``: as CSV text, those of columns that the contract does not know at the end. ``at``:
    where each column is. ``cents``: the row's part in the control totals. ``columns``: where the
    kind of defect can be. ``fresh``: the part of an invented key that no other row has.
    ``is_first``, ``is_followed``: of a set of rows, whether it is the first, and not the last.
    """

    fields: list[bytes]
    at: Mapping[str, int]
    cents: Mapping[str, int]
    columns: tuple[str, ...]
    fresh: bytes
    draw: int
    is_first: bool = True
    is_followed: bool = False

    def pick(self, choices: Sequence[_Choice]) -> _Choice:
        """One of the choices; a second pick is made with what the draw has left."""
        self.draw, position = divmod(self.draw, len(choices))
        return choices[position]

    def value(self, column: str) -> bytes:
        """A value without the quotes of CSV."""
        text = self.fields[self.at[column]]
        return text[1:-1].replace(b'""', b'"') if text[:1] == b'"' else text

    def filled(self) -> str | None:
        """One of the kind's columns that is not empty here."""
        filled = [c for c in self.columns if self.fields[self.at[c]]]
        return self.pick(filled) if filled else None

    def replaced(self, values: Mapping[str, bytes]) -> list[bytes]:
        """The fields with other values."""
        fields = list(self.fields)
        for column, value in values.items():
            fields[self.at[column]] = _escaped(value)
        return fields


@dataclass(frozen=True, slots=True)
class Corrupted:
    """What is written in place of a row.

    ``records``: fields as CSV text, the defect in number ``faulty`` and there in ``column``; none
    where the row is missing.
    ``changed``: values that will be loaded. ``cents``: what the control totals differ by.
    ``added``: a row that will be loaded in addition to the row's own.
    """

    records: list[list[bytes]]
    column: str | None
    faulty: int = 0
    changed: dict[str, bytes] = field(default_factory=dict)
    cents: dict[str, int] = field(default_factory=dict)
    added: dict[str, bytes] | None = None


def split(record: bytes) -> list[bytes]:
    """The fields of a record as CSV text."""
    return _FIELD.findall(record) if b'"' in record else record.split(b",")


def _escaped(value: bytes) -> bytes:
    if any(mark in value for mark in (b",", b'"', b"\r", b"\n")):
        return b'"' + value.replace(b'"', b'""') + b'"'
    return value


def _amount(cents: int) -> bytes:
    return b"%d.%02d" % divmod(cents, 100)


def _day(value: bytes) -> date:
    return date.fromisoformat(value.decode())


def _text(day: date) -> bytes:
    return day.isoformat().encode()


def _unreadable(row: Row, column: str, value: bytes) -> Corrupted:
    """A value that cannot be loaded: the sender still counts the row's true amounts."""
    return Corrupted([row.replaced({column: value})], column)


def _wrong(row: Row, column: str, value: bytes, **cents: int) -> Corrupted:
    """A value that is wrong and can be loaded."""
    return Corrupted([row.replaced({column: value})], column, changed={column: value}, cents=cents)


def _bad_date(row: Row) -> Corrupted:
    return _unreadable(row, row.pick(row.columns), row.pick(_BAD_DATES))


def _bad_amount(row: Row) -> Corrupted:
    return _unreadable(row, row.pick(row.columns), row.pick(_BAD_AMOUNTS))


def _dollar_amount(row: Row) -> Corrupted | None:
    column = row.filled()
    if column is None:
        return None
    return _unreadable(row, column, f"${Decimal(row.value(column).decode()):,.2f}".encode())


# Where the number of fields is wrong, the first one, the key, stays in its place: what follows from
# the loss of the row can be recognized, and a snapshot says that the key is there.


def _missing_field(row: Row) -> Corrupted:
    at = row.pick(range(1, len(row.fields)))
    return Corrupted([row.fields[:at] + row.fields[at + 1 :]], None)


def _extra_field(row: Row) -> Corrupted:
    at = row.pick(range(1, len(row.fields) + 1))
    return Corrupted([[*row.fields[:at], b"", *row.fields[at:]]], None)


def _bad_encoding(row: Row) -> Corrupted:
    column = row.pick(row.columns)
    # Latin-1's e acute announces two more bytes in UTF-8; at the end there are none.
    return _unreadable(row, column, row.value(column) + b"\xe9")


def _line_feed(row: Row) -> Corrupted | None:
    column = row.columns[0]
    text = row.value(column).decode()
    first, _, rest = text.partition(" ")
    if not (first and rest):
        half = len(text) // 2
        first, rest = text[:half], text[half:]
    # At an end it would be no part of the text.
    return _wrong(row, column, f"{first}\n{rest}".encode()) if first and rest else None


def _trailing_spaces(row: Row) -> Corrupted | None:
    column = row.filled()
    if column is None:
        return None
    return Corrupted([row.replaced({column: row.value(column) + b"  "})], column)


def _duplicate(row: Row) -> Corrupted:
    return Corrupted([row.fields, row.fields], row.columns[0], faulty=1)


def _conflicting_duplicate(row: Row) -> Corrupted:
    column = row.columns[0]
    if column in row.cents:
        other = row.replaced({column: _amount(row.cents[column] + 100)})
        return Corrupted([other, row.fields], column, cents={column: 100})
    return Corrupted([row.replaced({column: row.value(column) + b" (old)"}), row.fields], column)


def _orphan(row: Row) -> Corrupted:
    column = row.columns[0]
    # XM for a member, XP for a provider.
    return _wrong(row, column, b"X" + column[:1].upper().encode() + row.fresh)


def _paid_above_allowed(row: Row) -> Corrupted | None:
    paid, allowed = row.cents["paid_amount"], row.cents["allowed_amount"]
    if paid <= 0:
        return None
    above = allowed + row.pick(range(1, 50_001))
    return _wrong(row, "paid_amount", _amount(above), paid_amount=above - paid)


def _end_before_start(row: Row) -> Corrupted:
    # Further than the ends by which coverage is canceled from its start.
    end = _day(row.value("start_date")) - timedelta(days=400)
    return _unreadable(row, "end_date", _text(end))


def _service_outside_coverage(row: Row) -> Corrupted:
    long_before = _day(row.value("service_date")) - _LONG_BEFORE
    return _wrong(row, "service_date", _text(long_before))


def _overlapping_enrollment(row: Row) -> Corrupted | None:
    start, end = _day(row.value("start_date")), row.value("end_date")
    other = start + timedelta(days=1)
    if other.year != start.year or (end and other > _day(end)):
        return None
    values = {"enrollment_id": b"XE" + row.fresh, "start_date": _text(other)}
    added = {column: row.value(column) for column in row.at} | values
    return Corrupted([row.fields, row.replaced(values)], "start_date", faulty=1, added=added)


def _line_total(row: Row) -> Corrupted | None:
    if not row.is_first:
        return None
    column = row.pick(row.columns)
    return _wrong(row, column, _amount(row.cents[column] + 1), **{column: 1})


def _missing_line(row: Row) -> Corrupted | None:
    # More than a cent is missing then.
    if not (row.is_first and row.is_followed and row.cents["line_billed"] > 1):
        return None
    return Corrupted([], None)


def _repeated_position(row: Row) -> Corrupted:
    column = row.columns[0]
    other = next(code for code in _OTHER_DIAGNOSES if code != row.value(column))
    return Corrupted([row.replaced({column: other}), row.fields], column)


def _unknown_code(row: Row) -> Corrupted | None:
    column = row.columns[0]
    # The first ones are the claim's, and are left to agree with it.
    if row.is_first or not row.fields[row.at[column]]:
        return None
    return _wrong(row, column, _UNKNOWN_CODES[column])


def _bad_npi(row: Row) -> Corrupted | None:
    npi = row.value("npi")
    if not npi[-1:].isdigit():
        return None
    others = [b"%d" % digit for digit in range(10) if b"%d" % digit != npi[-1:]]
    return _wrong(row, "npi", npi[:-1] + row.pick(others))


def _bad_diagnosis(row: Row) -> Corrupted:
    return _wrong(row, "diagnosis_code", _BAD_DIAGNOSIS)


# A maker gives nothing where a row is not fit for its kind.
MAKERS: dict[str, Callable[[Row], Corrupted | None]] = {
    "bad_date": _bad_date,
    "bad_amount": _bad_amount,
    "dollar_amount": _dollar_amount,
    "missing_field": _missing_field,
    "extra_field": _extra_field,
    "bad_encoding": _bad_encoding,
    "line_feed": _line_feed,
    "trailing_spaces": _trailing_spaces,
    "duplicate": _duplicate,
    "conflicting_duplicate": _conflicting_duplicate,
    "orphan_member": _orphan,
    "orphan_provider": _orphan,
    "paid_above_allowed": _paid_above_allowed,
    "end_before_start": _end_before_start,
    "service_outside_coverage": _service_outside_coverage,
    "overlapping_enrollment": _overlapping_enrollment,
    "line_total": _line_total,
    "missing_line": _missing_line,
    "repeated_position": _repeated_position,
    "bad_npi": _bad_npi,
    "bad_diagnosis": _bad_diagnosis,
    "unknown_code": _unknown_code,
}
