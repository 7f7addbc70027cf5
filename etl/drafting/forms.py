"""How the values of a field are written: as dates, as numbers, as words for a missing value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from etl.contracts.types import NULL_WORDS
from etl.contracts.value import DATE_FORMS

# The share of values that has to be written in a form; others may be errors of the sender.
MOST = 0.9
_MORE_NULL_WORDS = ("not applicable", "not available", "not reported", "missing", "unknown")
_TIME = r"([ T]\d{1,2}:\d{2}.*)?"
_YEAR_FIRST = re.compile(r"(?:19|20|21|99)\d{2}([-/.])\d{1,2}\1\d{1,2}" + _TIME)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(?:19|20|21|99)\d{2}" + _TIME)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")
_ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[ T].+")
_CURRENCY = r"[$€£]|USD|EUR"
_NUMBER = re.compile(
    rf"(?P<open>[(])?[-+]?\s*(?P<before>{_CURRENCY})?\s*[-+]?"
    rf"(?P<digits>\d[\d.,]*|[.]\d+)\s*(?P<after>{_CURRENCY})?\s*(?P<percent>%)?(?P<sign>[-)])?"
)


@dataclass(frozen=True, slots=True)
class DateForm:
    """How dates are written.

    ``iso``, ``iso_time``, ``year_first``, ``mdy``, ``dmy``, ``either`` (no day above 12 says
    which), ``mixed``, or digits by their form in ``DATE_FORMS``.
    """

    name: str

    @property
    def is_in_digits(self) -> bool:
        """Whether there are no marks between day, month and year."""
        return self.name in DATE_FORMS


@dataclass(frozen=True, slots=True)
class NumberForm:
    """The marks seen in numbers. ``decimal``, ``thousands``: empty where no value shows any.

    ``minus``: how some are written that are below zero, as ``Parsing`` says.
    """

    currency: tuple[str, ...]
    decimal: str
    thousands: str
    percent: bool
    minus: tuple[str, ...]


def null_words(values: Collection[str]) -> tuple[str, ...]:
    """Words among the values that say that there is none, in small letters."""
    known = {*NULL_WORDS, *_MORE_NULL_WORDS}
    return tuple(sorted({value.lower() for value in values} & known))


def date_form(values: Sequence[str]) -> DateForm | None:
    """The form that most values keep to as dates, if any."""
    if not values:
        return None
    for name, pattern in (("iso", _ISO), ("iso_time", _ISO_TIME), ("year_first", _YEAR_FIRST)):
        if _are_most(pattern, values):
            return DateForm(name)
    if _are_most(_YEAR_LAST, values):
        return DateForm(_order(values))
    return _in_digits(values)


def number_form(values: Sequence[str]) -> NumberForm | None:
    """The marks of numbers, if most values are numbers."""
    found = [match for value in values if (match := _NUMBER.fullmatch(value))]
    if not found or len(found) < MOST * len(values):
        return None
    signs = {m[side].upper() for m in found for side in ("before", "after") if m[side]}
    minus = {"parentheses" if m["open"] else "after" for m in found if m["sign"]}
    decimals = Counter(mark for m in found if (mark := _decimal(m["digits"])))
    decimal = decimals.most_common(1)[0][0] if decimals else ""
    thousands = {".": ",", ",": "."}.get(decimal, ",")
    return NumberForm(
        tuple(sorted(signs)),
        decimal,
        thousands if any(thousands in m["digits"] for m in found) else "",
        any(m["percent"] for m in found),
        tuple(sorted(minus)),
    )


def _are_most(pattern: re.Pattern[str], values: Sequence[str]) -> bool:
    return sum(map(bool, map(pattern.fullmatch, values))) >= MOST * len(values)


def _order(values: Sequence[str]) -> str:
    """Whether days or months come first, where a number above 12 says so."""
    found = [match for value in values if (match := _YEAR_LAST.fullmatch(value))]
    is_dmy, is_mdy = (any(int(m[place]) > 12 for m in found) for place in (1, 3))
    if is_dmy and is_mdy:
        return "mixed"
    return "dmy" if is_dmy else "mdy" if is_mdy else "either"


def _in_digits(values: Sequence[str]) -> DateForm | None:
    """The only form of eight digits in which most values are days; six leave the century open."""
    fitting = [
        form
        for form in ("YYYYMMDD", "MMDDYYYY", "DDMMYYYY")
        if sum(_is_day(value, form) for value in values) >= MOST * len(values)
    ]
    return DateForm(fitting[0]) if len(fitting) == 1 else None


def _is_day(value: str, form: str) -> bool:
    match = re.fullmatch(DATE_FORMS[form].strip("^$"), value, re.ASCII)
    if match is None:
        return False
    parts = dict(zip(re.findall(r"YYYY|MM|DD", form), match.groups(), strict=True))
    try:
        day = date(int(parts["YYYY"]), int(parts["MM"]), int(parts["DD"]))
    except ValueError:
        return False
    return 1900 <= day.year <= 2199 or day.year == 9999


def _decimal(digits: str) -> str:
    """The decimal mark of a number, where it is certain: 1,234 and 1.234 say nothing."""
    marks = [c for c in digits if c in ".,"]
    if not marks or marks.count(marks[-1]) > 1:
        return {",": ".", ".": ","}[marks[-1]] if marks else ""
    is_group = len(digits.rpartition(marks[-1])[2]) == 3 and len(set(marks)) == 1
    return "" if is_group and not digits.startswith(("0", ".")) else marks[-1]
