"""What is seen of each field of a sample."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from etl.contracts.column import Column, Identifier
from etl.contracts.types import DATES, NUMBERS, Type
from etl.drafting import forms
from etl.drafting.forms import DateForm, NumberForm
from etl.drafting.sample import Sample

_YEAR = re.compile(r"(19|20|21)\d{2}")
# A boolean has two words, and perhaps one or two that mean that nobody knows.
_MOST_TRUTHS = 4
_WORDS_OF_PEOPLE = (Identifier.NAME, Identifier.STREET, Identifier.CITY)


@dataclass(frozen=True, slots=True)
class Profile:
    """A field: its name, the values that are there, and how they are written.

    ``values`` are without ``null_words``. ``is_unique``: every row has a value of its own.
    """

    name: str
    values: tuple[str, ...]
    null_words: tuple[str, ...]
    dates: DateForm | None
    numbers: NumberForm | None
    is_unique: bool

    @property
    def words(self) -> Counter[str]:
        """How often each value is there."""
        return Counter(self.values)

    @property
    def are_years(self) -> bool:
        """Whether most values are years."""
        found = sum(map(bool, map(_YEAR.fullmatch, self.values)))
        return bool(self.values) and found >= forms.MOST * len(self.values)

    def fits(self, column: Column) -> bool:
        """Whether the values can be those of a column; a field without any fits every one."""
        if not self.values:
            return True
        type_ = column.type
        if type_ in DATES:
            return self.dates is not None or self.are_years
        if type_ in (Type.YEAR, Type.KEY_YEAR):
            return self.are_years or self.dates is not None
        if type_ in (*NUMBERS, Type.KEY_NUMBER):
            return self.numbers is not None and not (self.dates and self.dates.is_in_digits)
        if type_ is Type.BOOLEAN:
            return len(self.words) <= _MOST_TRUTHS
        if column.identifier in _WORDS_OF_PEOPLE:
            return self.numbers is None and self.dates is None
        return True


def profiles(sample: Sample) -> list[Profile]:
    """The fields of a sample, in the order of the file."""
    found = []
    for position, name in enumerate(sample.names):
        filled = sample.values(position)
        missing = forms.null_words(set(filled))
        values = tuple(value for value in filled if value.lower() not in missing)
        is_unique = len(set(values)) == len(sample.rows) > 0
        found.append(
            Profile(
                name,
                values,
                missing,
                forms.date_form(values),
                forms.number_form(values),
                is_unique,
            )
        )
    return found
