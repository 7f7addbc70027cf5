"""Forms: whether a value is written as its type asks, before PostgreSQL may guess at it.

``Type.form`` says it exactly, as a regular expression. Most values are of a few shapes,
which are decided for a whole block at once; only what is of none of them is looked at by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from etl.contracts.reasons import Reason
from etl.contracts.types import DATES, Type
from etl.inbox import block_scan
from etl.inbox.amounts import to_cents
from etl.inbox.block_scan import Layout, Marks

# PostgreSQL would read these as dates, and which date depends on when it reads them.
_CLOCK_WORD = re.compile(
    rb"(?<![a-z])(?:today|now|yesterday|tomorrow|epoch)(?![a-z])", re.IGNORECASE
)
_DAY = b"0000-00-00"
_INSTANTS = (b"0000-00-00T00:00:00Z", _DAY, b"0000-00-00 00:00:00", b"0000-00-00T00:00:00")
# Whatever of these PostgreSQL takes for a number is one in digits.
_DIGITS = np.isin(np.arange(256), list(b"0123456789.+-"))
# By length, the first letters of the words for true and false: PostgreSQL knows no other words.
_TRUTHS = {1: b"tfyn01", 2: b"n", 3: b"y", 4: b"t", 5: b"f"}


@dataclass(frozen=True, slots=True)
class Form:
    """How the values of a type are written.

    ``odd``: which values of a field, of a whole block, may be written otherwise.
    """

    type: Type
    pattern: re.Pattern[bytes]
    odd: Callable[[Layout, int], Marks]

    def fault(self, value: bytes) -> Reason | None:
        """Why a value cannot be taken; an empty one is none."""
        if not value or self.pattern.fullmatch(value):
            return None
        if self.type in DATES and _CLOCK_WORD.search(value):
            return Reason.CLOCK_WORD
        return self.type.refusal


def form_of(type_: Type) -> Form | None:
    """How values of a type are written; ``None`` for text."""
    return _FORMS.get(type_)


def is_true(value: bytes) -> bool:
    """Whether a boolean in its form is true."""
    return value[:1].lower() in (b"t", b"y", b"1")


def cents(value: bytes) -> int | None:
    """An amount in cents; ``None`` where it is none or finer than a cent."""
    if not value:
        return 0
    if not _FORMS[Type.MONEY].pattern.fullmatch(value):
        return None
    return to_cents(value.decode())


def _not_of(*shapes: bytes) -> Callable[[Layout, int], Marks]:
    return lambda layout, at: block_scan.differ_from(layout, at, shapes)


def _not_a_number(layout: Layout, at: int) -> Marks:
    lengths = layout.lengths(at)
    width = int(min(lengths.max(initial=0), block_scan.LONGEST_NUMBER))
    odd: Marks = lengths > block_scan.LONGEST_NUMBER
    if width:
        within = np.arange(width) < lengths[:, None]
        odd = odd | (within & ~_DIGITS[layout.heads(at, width)]).any(axis=1)
    return odd


def _not_a_truth(layout: Layout, at: int) -> Marks:
    lengths = layout.lengths(at)
    odd = lengths != 0
    first = layout.heads(at, 1)[:, 0]
    # The server would not see a control sign that ends a word.
    ends_in_letter = layout.data[layout.ends[:, at] - 1] > ord(" ")
    for length, letters in _TRUTHS.items():
        both_cases = list(letters + letters.upper())
        odd &= ~((lengths == length) & np.isin(first, both_cases) & ends_in_letter)
    return odd


_ODD: dict[Type, Callable[[Layout, int], Marks]] = {
    Type.INTEGER: _not_a_number,
    Type.MONEY: _not_a_number,
    Type.RATIO: _not_a_number,
    Type.YEAR: _not_of(b"0000"),
    Type.KEY_YEAR: _not_of(b"0000"),
    Type.KEY_NUMBER: _not_of(b"0", b"00"),
    Type.BOOLEAN: _not_a_truth,
    Type.DATE: _not_of(_DAY),
    Type.KEY_DATE: _not_of(_DAY),
    Type.TIMESTAMP: _not_of(*_INSTANTS),
}
_FORMS = {
    type_: Form(type_, re.compile(type_.form.encode()), _ODD[type_])
    for type_ in Type
    if type_.form is not None
}
