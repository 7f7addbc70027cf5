"""Questions about a whole block of bytes at once, so that no record of it need be looked at alone.

A comparison of all bytes of a block takes a few hundredths of the time that it takes to walk over
its records. Each answer errs on the side of caution: a yes is looked into record by record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Marks = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

_FEED, _QUOTE, _COMMA, _BLANK, _TAB = b'\n", \t'
_POINT, _MINUS, _PLUS, _ZERO = b".-+0"
# Sets this bit of an ASCII letter to make it a small one.
_SMALL = 0x20
# A number of more signs is looked at by itself.
LONGEST_NUMBER = 20
# So many signs of an amount, times the records of a block, can be added up as cents in 64 bits.
_LONGEST_AMOUNT = 12
# What is longer is no key, and no word in place of one.
_LONGEST_WORDS = 64
_TENS = np.array([100, 10, 1], np.int64)
# Eight digits as a number of 64 bits, the first in its lowest byte.
_DIGITS_AT_ONCE = 8
_EIGHT_ZEROS = np.uint64(0x3030303030303030)
# Added to a byte, it sets the highest bit if the byte is more than nine.
_NINE_TO_SIGN, _SIGNS = np.uint64(0x7676767676767676), np.uint64(0x8080808080808080)
_TEN = np.uint64(10)
_BYTE, _TWO_BYTES, _FOUR_BYTES = np.uint64(8), np.uint64(16), np.uint64(32)
_EACH_FOURTH = np.uint64(0x000000FF000000FF)
# 100 and a million, 1 and ten thousand: what the pairs of digits count, in upper and lower half.
_MILLIONS, _HUNDREDS = np.uint64(0x000F424000000064), np.uint64(0x0000271000000001)


def is_printable(sent: bytes, lines: int) -> bool:
    """Whether bytes are visible ASCII and blanks, but for the feeds that end so many lines."""
    # Below a blank and above a tilde: what is less than a blank becomes very much.
    others = np.frombuffer(sent, np.uint8) - np.uint8(_BLANK) > ord("~") - _BLANK
    return int(np.count_nonzero(others)) == lines


def quotes_close(lines: bytes) -> bool:
    """Whether each line has an even number of quotes, so that no record goes on after its line."""
    block = np.frombuffer(lines, np.uint8)
    quotes = np.flatnonzero(block == _QUOTE)
    before_each_end = np.searchsorted(quotes, np.flatnonzero(block == _FEED))
    return len(quotes) % 2 == 0 and not (before_each_end % 2).any()


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the values of a block's records are: an array of (records, fields) each.

    A value in quotes begins after the one and ends before the other. ``has_blanks``: whether a
    blank is at the end of a value. ``commas``: where values without quotes have some, and
    ``with_comma``: for each, the number of its value in the block.
    """

    data: Bytes
    begins: Places
    ends: Places
    has_blanks: bool
    commas: Places = field(default_factory=lambda: np.zeros(0, np.intp))
    with_comma: Places = field(default_factory=lambda: np.zeros(0, np.intp))

    def lengths(self, at: int) -> Places:
        """How many bytes the values of a field have."""
        return self.ends[:, at] - self.begins[:, at]

    def heads(self, at: int, width: int) -> Bytes:
        """The first bytes of the values of a field; where a value is shorter, what follows it."""
        return heads_at(self.data, self.begins[:, at], width)

    def of_rows(self, rows: Places) -> Layout:
        """The same of some records alone."""
        return replace(self, begins=self.begins[rows], ends=self.ends[rows])


def heads_at(data: Bytes, places: Places, width: int) -> Bytes:
    """So many bytes from each of these places on, which ascend; past the end the last one again."""
    found = np.empty((len(places), width), np.uint8)
    # Each window is copied as one value of so many bytes, not byte by byte.
    last = len(data) - width
    whole = int(np.searchsorted(places, last, side="right")) if last >= 0 else 0
    if whole:
        windows = np.ndarray((last + 1,), f"V{width}", data, strides=(1,))
        found[:whole] = windows[places[:whole]].view(np.uint8).reshape(whole, width)
    if whole < len(places):
        found[whole:] = data.take(places[whole:, None] + np.arange(width), mode="clip")
    return found


def lay_out(block: bytes, fields: int) -> Layout | None:
    """Where the values of a block are, records a line each.

    ``None`` if a record may have another number of fields or a quote that does not open or close
    a field, or goes on after its line.
    """
    data = np.frombuffer(block + b"\n", np.uint8)
    feeds = data == _FEED
    marks = (data == _COMMA) | feeds
    quoted = b'"' in block
    if quoted and not _take_out_quoted(data, feeds, marks):
        return None
    places = np.flatnonzero(marks)
    if len(places) % fields:
        return None
    begins = np.concatenate(([0], places[:-1] + 1)).reshape(-1, fields)
    ends = places.reshape(-1, fields)
    # Each last mark, and no other, is a line's end.
    if np.count_nonzero(feeds) != len(ends) or not feeds[ends[:, -1]].all():
        return None
    blanks = (data == _BLANK) | (data == _TAB)
    # As if a line ended before the first byte.
    has_blanks = bool(
        blanks[0] or (blanks[1:] & marks[:-1]).any() or (blanks[:-1] & marks[1:]).any()
    )
    if quoted:
        in_quotes = data[begins] == _QUOTE
        begins, ends = begins + in_quotes, ends - in_quotes
        first, last = begins[in_quotes], ends[in_quotes] - 1
        has_blanks = has_blanks or bool(blanks[first].any() or blanks[last].any())
    return Layout(data, begins, ends, has_blanks)


def _take_out_quoted(data: Bytes, feeds: Marks, marks: Marks) -> bool:
    """Clear the marks inside quotes; whether each quote opens or closes a field on its line.

    Two quotes that mean one close and open again with nothing between them.
    """
    at = np.flatnonzero(data == _QUOTE)
    if len(at) % 2:
        return False
    opens, closes = at[::2], at[1::2]
    # The byte before the first is the last one, a line's end.
    around = np.concatenate((data[opens - 1], data[closes + 1]))
    if not ((around == _COMMA) | (around == _FEED) | (around == _QUOTE)).all():
        return False
    lengths = closes - opens
    inside = np.repeat(opens - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    if feeds[inside].any():
        return False
    marks[inside] = False
    return True


def feeds(block: bytes) -> int:
    """How many line feeds a block has."""
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == _FEED))


def begins_with(layout: Layout, at: int, starts: Sequence[bytes]) -> Marks:
    """Which values of a field begin with one of these, in any case."""
    found = np.zeros(len(layout.begins), np.bool_)
    if not starts:
        return found
    firsts = layout.data.take(layout.begins[:, at], mode="clip") | _SMALL
    # Few values have the first letter, and fewer the next: only these are looked at further.
    likely = np.zeros(256, np.bool_)
    likely[[start[0] | _SMALL for start in starts]] = True
    candidates = np.flatnonzero(likely[firsts])
    for start in starts if len(candidates) else ():
        rows = candidates[firsts[candidates] == start[0] | _SMALL]
        for place, letter in enumerate(start[1:], 1):
            if not len(rows):
                break
            signs = layout.data.take(layout.begins[rows, at] + place, mode="clip")
            rows = rows[signs | _SMALL == letter | _SMALL]
        found[rows] = True
    return found


def is_in_words(layout: Layout, at: int, starts: Sequence[bytes], signs: bytes) -> Marks:
    """Which values of a field have no digit, or one of these signs and another end or such a start.

    Most keys end in a digit and begin otherwise, and only the others are looked at as a whole.
    """
    lengths = layout.lengths(at)
    lasts = layout.data.take(layout.ends[:, at] - 1, mode="clip")
    rows = np.flatnonzero(((lasts - _ZERO > 9) | begins_with(layout, at, starts)) & (lengths > 0))
    found = np.zeros(len(lengths), np.bool_)
    if len(rows):
        width = int(min(lengths[rows].max(), _LONGEST_WORDS))
        places = layout.begins[rows, at][:, None] + np.arange(width)
        values = layout.data.take(places, mode="clip")
        within = np.arange(width) < lengths[rows][:, None]
        has_digit = ((values - _ZERO <= 9) & within).any(axis=1)
        is_sign = np.isin(np.arange(256), list(signs))
        found[rows] = ~has_digit | (is_sign[values] & within).any(axis=1)
    return found


def differ_from(layout: Layout, at: int, shapes: Sequence[bytes]) -> Marks:
    """Which values of a field are neither empty nor of one of these shapes: 0 is any digit."""
    lengths = layout.lengths(at)
    odd = lengths != 0
    for shape in shapes:
        alike = lengths == len(shape)
        if not alike.any():
            continue
        values = layout.heads(at, len(shape))
        wanted = np.frombuffer(shape, np.uint8)
        digits = wanted == _ZERO
        alike &= (values[:, ~digits] == wanted[~digits]).all(axis=1)
        if not alike.any():
            continue
        alike &= (values[:, digits] - _ZERO <= 9).all(axis=1)
        odd &= ~alike
        if not odd.any():
            break
    return odd


def are_no_plain_numbers(layout: Layout, at: int, point: bytes) -> Marks:
    """Which values of a field are more than digits, with a sign before and ``point`` once after.

    Without a ``point`` whole numbers alone are plain.
    """
    lengths = layout.lengths(at)
    width = int(min(lengths.max(initial=0), LONGEST_NUMBER))
    odd: Marks = lengths > LONGEST_NUMBER
    if not width:
        return odd
    values = layout.heads(at, width)
    within = np.arange(width) < lengths[:, None]
    digits = values - _ZERO <= 9
    points = values == point[0] if point else np.zeros_like(digits)
    signed = (values[:, 0] == _MINUS) | (values[:, 0] == _PLUS)
    fits = digits | points
    fits[:, 0] = digits[:, 0] | (signed & (lengths > 1))
    if width > 1:
        fits[:, 1] &= digits[:, 1] | ~signed
    return odd | (within & ~fits).any(axis=1) | ((points & within).sum(axis=1) > 1)


def amounts(
    layout: Layout, at: int, mark: int | None = _POINT, *, is_plain: bool = False
) -> tuple[npt.NDArray[np.int64], Marks]:
    """The amounts of a field in cents, and which of them have to be read otherwise (0 here).

    ``mark``: the one before cents, of which there are none without it. ``is_plain``: a digit comes
    before it, as ``are_no_plain_numbers`` says.
    """
    cents, is_simple = _simple_amounts(layout, at, mark)
    odd = np.zeros(len(cents), np.bool_)
    rows = np.flatnonzero(~is_simple)
    if len(rows):
        others = layout.of_rows(rows)
        cents[rows], odd[rows] = _amounts_by_place(others, at, mark, is_plain=is_plain)
    return cents, odd


def _simple_amounts(
    layout: Layout, at: int, mark: int | None
) -> tuple[npt.NDArray[np.int64], Marks]:
    """Cents of amounts of one to eight digits, with two more behind ``mark`` if there is one.

    With them, which values are such, or empty. Eight digits are read as one number of 64 bits, a
    byte each: after the first step each second byte has two of them, after the last one all are
    together.
    """
    ends, lengths = layout.ends[:, at], layout.lengths(at)
    cents = np.zeros(len(ends), np.int64)
    points = ends if mark is None else ends - 3
    digits = lengths - (ends - points)
    fits = (digits >= 1) & (digits <= _DIGITS_AT_ONCE) & (points >= _DIGITS_AT_ONCE)
    decimals = np.zeros(len(ends), np.int64)
    if mark is not None:
        data = layout.data
        tens, ones = (data.take(ends - back, mode="clip") - _ZERO for back in (2, 1))
        fits &= (data.take(points, mode="clip") == mark) & (tens <= 9) & (ones <= 9)
        decimals = tens.astype(np.int64) * 10 + ones
    rows = np.flatnonzero(fits)
    if len(rows):
        heads = heads_at(layout.data, points[rows] - _DIGITS_AT_ONCE, _DIGITS_AT_ONCE)
        # What is before the value's first digit becomes nothing.
        before = ((_DIGITS_AT_ONCE - digits[rows]) * 8).astype(np.uint64)
        read = (heads.view("<u8")[:, 0] ^ _EIGHT_ZEROS) >> before << before
        are_digits = ((read + _NINE_TO_SIGN) | read) & _SIGNS == 0
        read = read * _TEN + (read >> _BYTE)
        read = (read & _EACH_FOURTH) * _MILLIONS + (read >> _TWO_BYTES & _EACH_FOURTH) * _HUNDREDS
        cents[rows] = (read >> _FOUR_BYTES).astype(np.int64) * 100 + decimals[rows]
        cents[rows[~are_digits]] = 0
        fits[rows] = are_digits
    return cents, fits | (lengths == 0)


def _amounts_by_place(
    layout: Layout, at: int, mark: int | None, *, is_plain: bool
) -> tuple[npt.NDArray[np.int64], Marks]:
    """The same of any amounts, digit by digit."""
    lengths = layout.lengths(at)
    odd = lengths > _LONGEST_AMOUNT
    width = int(min(lengths.max(initial=0), _LONGEST_AMOUNT))
    values = layout.heads(at, max(width, 1))
    number = np.zeros(len(values), np.int64)
    digits = np.zeros(len(values), np.int64)
    decimals = np.zeros(len(values), np.int64)
    points = np.zeros(len(values), np.int64)
    no_point = np.zeros(len(values), np.bool_)
    for place in range(width):
        sign = values[:, place]
        here = lengths > place
        digit = here & (sign - _ZERO <= 9)
        point = here & (sign == mark) if mark is not None else no_point
        number = np.where(digit, number * 10 + (sign - _ZERO), number)
        digits += digit
        points += point
        decimals += digit & (points > 0)
        signs = (sign == _MINUS) | (sign == _PLUS) if place == 0 else False
        odd |= here & ~(digit | point | signs)
    odd |= (points > 1) | (decimals > 2) | ((digits == 0) & (lengths > 0))
    if is_plain and width:
        first = values[:, 0]
        if width > 1:
            first = np.where((first == _MINUS) | (first == _PLUS), values[:, 1], first)
        odd |= (first == mark) & (lengths > 0) if mark is not None else False
    cents = number * _TENS[np.minimum(decimals, 2)]
    cents[values[:, 0] == _MINUS] *= -1
    cents[odd | (lengths == 0)] = 0
    return cents, odd
