"""Questions about a whole block of bytes at once, so that no record of it need be looked at alone.

A comparison of all bytes of a block takes a few hundredths of the time that it takes to walk over
its records. Each answer errs on the side of caution: a yes is looked into record by record.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Marks = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

_FEED, _QUOTE, _COMMA, _BLANK, _TAB = b'\n", \t'
_POINT, _MINUS, _PLUS, _ZERO = b".-+0"
# Sets this bit of an ASCII letter to make it a small one.
_SMALL = 0x20
# So many digits, a sign and a point can be counted with as cents in 64 bits.
_LONGEST_AMOUNT = 16
_TENS = np.array([100, 10, 1], np.int64)


def is_printable(sent: bytes, lines: int) -> bool:
    """Whether bytes are visible ASCII and blanks, but for the feeds that end so many lines."""
    # Below a blank and above a tilde: what is less than a blank becomes very much.
    others = np.frombuffer(sent, np.uint8) - np.uint8(_BLANK) > ord("~") - _BLANK
    return int(np.count_nonzero(others)) == lines


def quotes_close(lines: bytes) -> bool:
    """Whether each line has an even number of quotes, so that no record goes on after its line."""
    block = np.frombuffer(lines, np.uint8)
    quotes = (block == _QUOTE).view(np.uint8)
    return not np.bitwise_xor.reduceat(quotes, _begins(block)).any()


def _begins(block: Bytes) -> Places:
    """Where each line begins; all but the first with the line feed before it."""
    return np.concatenate(([0], np.flatnonzero(block[1:] == _FEED) + 1))


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the values of a block's records are: an array of (records, fields) each.

    A value in quotes begins after the one and ends before the other. ``has_blanks``: whether a
    blank stands at the end of a value.
    """

    data: Bytes
    begins: Places
    ends: Places
    has_blanks: bool

    def lengths(self, at: int) -> Places:
        """How many bytes the values of a field have."""
        return self.ends[:, at] - self.begins[:, at]

    def heads(self, at: int, width: int) -> Bytes:
        """The first bytes of the values of a field; where a value is shorter, what follows it."""
        places = self.begins[:, at][:, None] + np.arange(width)
        return self.data.take(places, mode="clip")


def lay_out(block: bytes, fields: int) -> Layout | None:
    """Where the values of a block are, records a line each.

    ``None`` if a record may have another number of fields or a quote that does not open or close
    a field, or goes on after its line.
    """
    data = np.frombuffer(block + b"\n", np.uint8)
    marks = (data == _COMMA) | (data == _FEED)
    quoted = b'"' in block
    if quoted:
        quotes = data == _QUOTE
        inside = np.bitwise_xor.accumulate(quotes.view(np.uint8)).view(np.bool_)
        if not _open_and_close_fields(data, quotes, inside):
            return None
        if (inside & (data == _FEED)).any():
            return None
        marks &= ~inside
    places = np.flatnonzero(marks)
    if len(places) % fields:
        return None
    begins = np.concatenate(([0], places[:-1] + 1)).reshape(-1, fields)
    ends = places.reshape(-1, fields)
    # Each last mark, and no other, is a line's end.
    if np.count_nonzero(data == _FEED) != len(ends) or (data[ends[:, -1]] != _FEED).any():
        return None
    if quoted:
        in_quotes = data[begins] == _QUOTE
        begins, ends = begins + in_quotes, ends - in_quotes
    return Layout(data, begins, ends, _has_blanks(data, begins, ends))


def _has_blanks(data: Bytes, begins: Places, ends: Places) -> bool:
    """Whether a value begins or ends with a blank."""
    blanks = (data == _BLANK) | (data == _TAB)
    # An empty value has a mark on both sides, which is none.
    return bool(blanks[begins].any() or blanks[ends - 1].any())


def _open_and_close_fields(data: Bytes, quotes: Marks, inside: Marks) -> bool:
    """Whether each quote stands at an end of a field or is one of two that mean one."""
    at = np.flatnonzero(quotes)
    opens = inside[at]
    # The last byte, a line's end, also stands before the first.
    beside = np.concatenate((data[at[opens] - 1], data[at[~opens] + 1]))
    return bool(((beside == _COMMA) | (beside == _FEED) | (beside == _QUOTE)).all())


def begins_with(layout: Layout, at: int, starts: Collection[bytes]) -> Marks:
    """Which values of a field begin with one of these, in any case; all are of one length."""
    width = len(next(iter(starts)))
    heads = layout.heads(at, width) | _SMALL
    found = np.zeros(len(heads), np.bool_)
    for start in starts:
        found |= (heads == np.frombuffer(start, np.uint8) | _SMALL).all(axis=1)
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
        fits = (values[:, digits] - _ZERO <= 9).all(axis=1)
        fits &= (values[:, ~digits] == wanted[~digits]).all(axis=1)
        odd &= ~(alike & fits)
    return odd


def amounts(layout: Layout, at: int) -> tuple[npt.NDArray[np.int64], Marks]:
    """The amounts of a field in cents, and which of them have to be read otherwise (0 here)."""
    lengths = layout.lengths(at)
    odd = lengths > _LONGEST_AMOUNT
    width = int(min(lengths.max(initial=0), _LONGEST_AMOUNT))
    values = layout.heads(at, max(width, 1))
    number = np.zeros(len(values), np.int64)
    digits = np.zeros(len(values), np.int64)
    decimals = np.zeros(len(values), np.int64)
    points = np.zeros(len(values), np.int64)
    for place in range(width):
        sign = values[:, place]
        here = lengths > place
        digit = here & (sign - _ZERO <= 9)
        point = here & (sign == _POINT)
        number = np.where(digit, number * 10 + (sign - _ZERO), number)
        digits += digit
        points += point
        decimals += digit & (points > 0)
        signs = (sign == _MINUS) | (sign == _PLUS) if place == 0 else False
        odd |= here & ~(digit | point | signs)
    odd |= (points > 1) | (decimals > 2) | ((digits == 0) & (lengths > 0))
    cents = number * _TENS[np.minimum(decimals, 2)]
    cents[values[:, 0] == _MINUS] *= -1
    cents[odd | (lengths == 0)] = 0
    return cents, odd
