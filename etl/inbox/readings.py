"""Readings: fields that a sender writes otherwise than the feed asks, made fit for COPY to type.

Nearly all values of a field are of a few simple shapes. These are recognized, and rewritten where
COPY would not read them, for a whole block at once. A row with any other value is judged by nothing
here: it is deferred, lands as text, and is read by the statement that knows all that a contract
can declare (``etl.stages.stage.landing``). So both ways give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product

import numpy as np
import numpy.typing as npt

from etl.contracts.column import Column
from etl.contracts.sender import Parsing
from etl.contracts.types import DATES, LARGEST_AMOUNT, NUMBERS, Type
from etl.contracts.value import Dated, Field, Mapped, Scaled, Value
from etl.inbox import block_scan, value_forms
from etl.inbox.block_edit import Edits, Words, has_other_letters, replaced
from etl.inbox.block_scan import Bytes, Layout, Marks, Places
from etl.inbox.header import Header

Cents = npt.NDArray[np.int64]
Odd = Callable[[Layout, int], Marks]

_MOST_CENTS = int(Decimal(LARGEST_AMOUNT) * 100)
_POINT, _COMMA, _QUOTE = b".", b",", b'"'
_IN_CENTS = Decimal("0.01")
# Behind an amount in cents, by which PostgreSQL reads it as dollars.
_HUNDREDTHS = b"e-2"
_DIGITS_OF_DAY = b"00000000"
_ISO_DAY = b"0000-00-00"
# Day and month in either order and in one digit or two, the year last, marks alike.
_YEAR_LAST = tuple(
    f"{'0' * first}{mark}{'0' * second}{mark}0000".encode()
    for first, second, mark in product((2, 1), (2, 1), "/.-")
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the values of one field, at a position, come to a column of ours.

    ``odd``: which values are of no simple shape. ``cents``: those of an amount, and which are odd.
    ``point``: the decimal mark, which becomes a point if it is a comma. ``suffix``: what is put
    behind a value.
    ``words``: texts in place of words, with ``others`` for a word that is not among them (``None``
    leaves it as it is, and ``is_closed`` makes it odd) and ``nothing`` for no value at all.
    ``is_own``: COPY reads all values as they are.
    """

    at: int
    column: Column
    odd: Odd | None = None
    cents: Callable[[Layout, int], tuple[Cents, Marks]] | None = None
    point: bytes = _POINT
    suffix: bytes = b""
    words: Mapping[str, str | None] = field(default_factory=dict)
    others: bytes | None = None
    nothing: bytes = b""
    is_closed: bool = False
    is_own: bool = False

    @property
    def keeps_differences(self) -> bool:
        """Whether values that differ still do afterwards, those that become none apart."""
        is_put = any(self.words.values()) or self.others is not None or self.nothing
        return not is_put and not self.suffix and self.point == _POINT


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one field; ``words`` in small letters, ``""`` for a value that is not there.

    ``missing``: words that say that there is no value.
    """

    at: int
    words: frozenset[str]
    missing: frozenset[str]
    is_any: bool


@dataclass(frozen=True, slots=True)
class Sorted:
    """What becomes of the records of a block.

    ``filtered``: those that the contract does not mean; ``odd``: those that are deferred, of which
    neither is known. ``cents``: of the others, by money column.
    """

    filtered: Marks
    odd: Marks
    cents: Mapping[str, Cents]


class Direct:
    """The readings and conditions of one file. Fields without a reading go through as they are."""

    def __init__(self, readings: list[Reading], conditions: list[Condition]) -> None:
        self.readings = readings
        self.filters = bool(conditions)
        self._conditions = [(each, Words([*each.words, *each.missing])) for each in conditions]
        self._words = {each.at: Words(each.words) for each in readings if each.words}

    def sort(self, layout: Layout) -> Sorted:
        """Decide for the records of a block."""
        filtered = np.zeros(len(layout.begins), np.bool_)
        odd = filtered.copy()
        for condition, words in self._conditions:
            filtered |= ~_is_meant(condition, words, layout)
            odd |= has_other_letters(layout, condition.at)
        cents = {}
        is_odd_row = np.zeros_like(odd)
        for reading in self.readings:
            found, is_odd = self._look(reading, layout)
            if found is None:
                is_odd_row |= is_odd
            else:
                cents[reading.column.name] = found
                odd |= is_odd
        # Rows of another kind may have anything in their fields but for their amounts.
        odd |= is_odd_row & ~filtered
        return Sorted(filtered & ~odd, odd, cents)

    def rewritten(self, layout: Layout) -> list[bytes]:
        """The records of a block as COPY reads them; what an odd one becomes is not said."""
        edited = layout.data
        edits: list[Edits] = []
        with_point = [reading.at for reading in self.readings if reading.point != _POINT]
        if len(layout.commas) or with_point:
            edited = edited.copy()
        if with_point:
            _put_points(edited, layout, with_point)
        if len(layout.commas):
            edits += _in_quotes(layout, with_point)
        for reading in self.readings:
            edits += self._worded(reading, layout)
        return replaced(edited, edits).tobytes()[:-1].split(b"\n")

    def _places(self, reading: Reading, layout: Layout) -> Places | None:
        words = self._words.get(reading.at)
        return None if words is None else words.find(layout, reading.at)

    def _look(self, reading: Reading, layout: Layout) -> tuple[Cents | None, Marks]:
        at = reading.at
        cents = None
        odd = np.zeros(len(layout.begins), np.bool_)
        if reading.cents is not None:
            cents, odd = reading.cents(layout, at)
        elif reading.odd is not None:
            odd = reading.odd(layout, at)
        places = self._places(reading, layout)
        if places is not None:
            is_word = places >= 0
            odd = odd & ~is_word
            if reading.is_closed:
                odd |= ~is_word & (layout.lengths(at) > 0)
            odd |= has_other_letters(layout, at)
            if cents is not None:
                cents[is_word] = 0
        return cents, odd

    def _worded(self, reading: Reading, layout: Layout) -> Iterator[Edits]:
        """Words replaced by ours, and what is there for other values and for none, or behind."""
        at, places = reading.at, self._places(reading, layout)
        lengths = layout.lengths(at)
        is_other = lengths > 0
        if places is not None:
            is_other &= places < 0
            texts = [_encoded(reading.words[word]) for word in self._words[at].in_order]
            rows = np.flatnonzero(places >= 0)
            yield Edits(layout.begins[rows, at], layout.ends[rows, at], texts, places[rows])
        if reading.others is not None:
            yield _at_rows(layout, at, is_other, reading.others)
        if reading.nothing:
            yield _at_rows(layout, at, lengths == 0, reading.nothing)
        if reading.suffix:
            rows = np.flatnonzero(is_other)
            ends = layout.ends[rows, at]
            yield Edits(ends, ends, [reading.suffix], np.zeros(len(rows), np.intp))


def _encoded(text: str | None) -> bytes:
    return (text or "").encode()


def _at_rows(layout: Layout, at: int, where: Marks, text: bytes) -> Edits:
    rows = np.flatnonzero(where)
    begins, ends = layout.begins[rows, at], layout.ends[rows, at]
    return Edits(begins, ends, [text], np.zeros(len(rows), np.intp))


def _put_points(data: Bytes, layout: Layout, fields: list[int]) -> None:
    """Let the commas in these fields, whose simple values have one at most, be points."""
    data[layout.commas[_are_of(layout.with_comma, layout, fields)]] = _POINT[0]
    # The others are in quotes.
    for at in fields:
        begins, lengths = layout.begins[:, at], layout.lengths(at)
        rows = np.flatnonzero((layout.data[begins - 1] == _QUOTE[0]) & (lengths > 0))
        width = int(min(lengths[rows].max(initial=0), block_scan.LONGEST_NUMBER))
        places = begins[rows][:, None] + np.arange(width)
        within = np.arange(width) < lengths[rows][:, None]
        data[places[within & (layout.data.take(places, mode="clip") == _COMMA[0])]] = _POINT[0]


def _are_of(numbers: Places, layout: Layout, fields: list[int]) -> Marks:
    """Which values of a block, by their numbers in it, are of these fields."""
    is_one = np.zeros(layout.begins.shape[1], np.bool_)
    is_one[fields] = True
    return is_one[numbers % len(is_one)]


def _in_quotes(layout: Layout, but_for: list[int]) -> Iterator[Edits]:
    """Quotes around the values with commas, those of some fields apart."""
    numbers = layout.with_comma
    # Values come in order, and those with several commas several times.
    is_first = np.concatenate(([True], numbers[1:] != numbers[:-1]))
    numbers = numbers[is_first & ~_are_of(numbers, layout, but_for)]
    for places in (layout.begins.ravel()[numbers], layout.ends.ravel()[numbers]):
        yield Edits(places, places, [_QUOTE], np.zeros(len(numbers), np.intp))


def _is_meant(condition: Condition, words: Words, layout: Layout) -> Marks:
    # By place of a word, then for none of them and for no value at all.
    says = [
        ("" if word in condition.missing else word) in condition.words for word in words.in_order
    ]
    found = np.array([*says, False], np.bool_)[words.find(layout, condition.at)]
    if "" in condition.words:
        found = found | (layout.lengths(condition.at) == 0)
    return found if condition.is_any else ~found


# What readings there are.


def plan(header: Header) -> tuple[dict[int, Reading], list[Condition]] | None:
    """The readings of a file's fields and its conditions; ``None`` if not all can be decided."""
    contract = header.contract
    parsing = contract.parsing
    if contract.repeat is not None or parsing.empty_quotes != "nothing":
        return None
    conditions = []
    for each in contract.where:
        positions = header.positions(each.of) if isinstance(each.of, Field) else []
        if len(positions) != 1:
            return None
        words = frozenset(word.lower() for word in each.words)
        conditions.append(Condition(positions[0], words, _missing(parsing), each.is_any))
    values = contract.values
    uses = [at for c in header.columns for f in values[c].fields for at in header.positions(f)]
    found = {}
    for name in header.columns:
        positions = [at for f in values[name].fields for at in header.positions(f)]
        if len(positions) == 1 and uses.count(positions[0]) == 1:
            reading = of_value(positions[0], contract.feed.column(name), values[name], parsing)
            if reading is not None:
                found[positions[0]] = reading
    with_cents = {reading.column.name for reading in found.values() if reading.cents is not None}
    if conditions and not with_cents.issuperset({*contract.feed.money} & {*header.columns}):
        return None  # what is filtered would have amounts that nobody adds up
    return found, conditions


def of_value(at: int, column: Column, value: Value, parsing: Parsing) -> Reading | None:
    """The reading of a value that is made of one field; ``None`` if it has none."""
    missing = dict.fromkeys(_missing(parsing))
    match value:
        case Field():
            return _of_field(at, column, parsing, missing)
        case Mapped(Field()):
            return _of_map(at, column, value, missing)
        case Dated(Field(), "YYYYMMDD") if column.type in DATES:
            return Reading(at, column, _needed(column, _not_of(_DIGITS_OF_DAY)), words=missing)
        case Scaled(Field(), factor) if factor == _IN_CENTS and column.type is Type.MONEY:
            return Reading(at, column, cents=_whole_cents, suffix=_HUNDREDTHS, words=missing)
    return None


def _of_field(
    at: int, column: Column, parsing: Parsing, missing: dict[str, None]
) -> Reading | None:
    kind = column.type
    if kind in DATES and parsing.date_order != "ymd":
        shapes = (_ISO_DAY, *_YEAR_LAST)
        return Reading(at, column, _needed(column, _not_of(*shapes)), words=missing)
    if kind in NUMBERS:
        return _of_number(at, column, parsing, missing)
    form = value_forms.form_of(kind)
    odd = None if form is None else _needed(column, form.odd)
    return Reading(at, column, odd, words=missing, is_own=not missing)


def _of_number(
    at: int, column: Column, parsing: Parsing, missing: dict[str, None]
) -> Reading | None:
    kind = column.type
    # Values with these marks are too many to be deferred.
    has_marks = parsing.currency if kind is Type.MONEY else parsing.percent and kind is Type.RATIO
    if parsing.thousands or has_marks:
        return None
    is_own = not (missing or parsing.minus)
    if kind is Type.INTEGER:
        return Reading(at, column, _not_plain_number(b""), words=missing, is_own=is_own)
    point = parsing.decimal.encode()
    if point not in (_POINT, _COMMA):
        return None
    is_own = is_own and point == _POINT
    if kind is Type.MONEY:
        return Reading(at, column, cents=_amounts(point), point=point, words=missing, is_own=is_own)
    return Reading(at, column, _not_plain_number(point), point=point, words=missing, is_own=is_own)


def _of_map(at: int, column: Column, value: Mapped, missing: dict[str, None]) -> Reading | None:
    ours = {word.lower(): text for word, text in value.words}
    nothing = ours.pop("", None)
    texts = [text for text in (nothing, *ours.values()) if text is not None]
    form = column.type.form
    if form is not None and (column.type is not Type.BOOLEAN or value.others == "keep"):
        return None
    pattern = value_forms.form_of(column.type)
    for text in texts:
        raw = text.encode()
        if not text or any(sign in text for sign in ',"\r\n'):
            return None
        if pattern is not None and not pattern.pattern.fullmatch(raw):
            return None
    return Reading(
        at,
        column,
        words=ours | dict.fromkeys(missing, nothing),
        others=b"" if value.others == "nothing" else None,
        nothing=_encoded(nothing),
        is_closed=value.others == "reject",
    )


def _missing(parsing: Parsing) -> frozenset[str]:
    return frozenset(word.lower() for word in parsing.null_words if word)


def _not_of(*shapes: bytes) -> Odd:
    return lambda layout, at: block_scan.differ_from(layout, at, shapes)


def _needed(column: Column, odd: Odd) -> Odd:
    """Where no row can be without the value, none is odd: only a delete marker may be so."""
    if column.type is not Type.KEY_DATE:
        return odd
    return lambda layout, at: odd(layout, at) | (layout.lengths(at) == 0)


def _not_plain_number(point: bytes) -> Odd:
    return lambda layout, at: block_scan.are_no_plain_numbers(layout, at, point)


def _amounts(point: bytes) -> Callable[[Layout, int], tuple[Cents, Marks]]:
    def cents(layout: Layout, at: int) -> tuple[Cents, Marks]:
        found, odd = block_scan.amounts(layout, at, point[0], is_plain=True)
        odd |= abs(found) > _MOST_CENTS
        found[odd] = 0
        return found, odd

    return cents


def _whole_cents(layout: Layout, at: int) -> tuple[Cents, Marks]:
    dollars, odd = block_scan.amounts(layout, at, None)
    odd |= abs(dollars) > _MOST_CENTS * 100
    dollars[odd] = 0
    return dollars // 100, odd
