"""Layout: where the names of a sample's fields are, if anywhere, and what is around its rows.

A line counts as names only where something shows it: it has words that columns are called by, or no
number and no date where all other rows have one. A first row that is taken for names would be
printed, with whoever it is about.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from etl.contracts.feeds import FEEDS
from etl.contracts.file_form import MOST_LINES_AROUND
from etl.drafting import forms, names
from etl.inbox import csv_records

Record = Sequence[str]

# A name of a column has a letter and is neither a date nor an address.
_A_NAME = re.compile(r"(?=.*[^\W\d_])[^@]{1,100}")
# So many names that columns are called by; more where no row shows anything.
_ENOUGH, _ENOUGH_ALONE = 2, 3
# How many rows show what is in a field.
_JUDGED = 200
# What lines behind the rows begin with.
_TOTAL = re.compile(r"(?:grand total|totals?|trailer|end of|count|records?|rows?)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a sample is laid out.

    ``before``: lines in front of the names, or of the rows where nothing names the fields and
    ``names`` is empty. ``first``: the first row. ``end``: the one after the last. ``after``: a
    pattern of the lines behind it, empty if there are none.
    """

    before: int
    names: tuple[str, ...]
    first: int
    end: int
    after: str


def find(records: list[Record], *, is_whole: bool) -> Layout:
    """The layout of a file's records; those behind the rows are seen only in a whole file."""
    filled = [record for record in records if any(record)]
    width = Counter(map(len, filled)).most_common(1)[0][0] if filled else 0
    end, after = _end(records, width) if is_whole else (len(records), "")
    for at, record in enumerate(records[: MOST_LINES_AROUND + 1]):
        if len(record) == width and _are_names(record, records[at + 1 : end]):
            return Layout(at, tuple(record), at + 1, end, after)
    # The first rows may have values that are missing; what has another width is no row.
    first = next((at for at, record in enumerate(records) if len(record) == width), 0)
    return Layout(first, (), first, end, after)


def _end(records: list[Record], width: int) -> tuple[int, str]:
    """Where the rows end, before lines that count or add up, and what these begin with."""
    end, words = len(records), set()
    while end > 0:
        record = records[end - 1]
        word = _TOTAL.match(next(iter(record), ""))
        if any(record) and not (word and sum(map(bool, record)) < max(2, width)):
            break
        words |= {word.group()} if word else set()
        end -= 1
    return (end, "|".join(sorted(words))) if words else (len(records), "")


def _are_names(record: Record, rows: list[Record]) -> bool:
    """Whether a line names the fields, as the rows after it show."""
    lowered = [name.lower() for name in record]
    is_each_once = len(set(lowered)) == len(record) <= csv_records.MOST_FIELDS
    if not record or not is_each_once or not all(map(_A_NAME.fullmatch, record)):
        return False
    alike = [row for row in rows if len(row) == len(record) and row != record][:_JUDGED]
    columns = [[value for value in column if value] for column in zip(*alike, strict=True)]
    if any(name in column for name, column in zip(record, columns, strict=False)):
        return False
    called = _called(record)
    if not alike:
        return called >= _ENOUGH_ALONE
    return called >= _ENOUGH or _differs(record, columns) >= _ENOUGH - min(called, 1)


def _called(record: Record) -> int:
    """How many names are those that columns of one feed are called by."""
    return max(
        sum(
            any(names.likeness(c, name, feed) >= names.ENOUGH for c in feed.staged)
            for name in record
        )
        for feed in FEEDS.values()
    )


def _differs(record: Record, columns: list[list[str]]) -> int:
    """How many fields have numbers or dates in all rows but this; 0 if it has one of them itself.

    A missing value is no name.
    """
    typed = [
        name for name, values in zip(record, columns, strict=True) if values and (_is_typed(values))
    ]
    if forms.null_words(typed) or any(_is_typed([name]) for name in typed):
        return 0
    return len(typed)


def _is_typed(values: list[str]) -> bool:
    return forms.number_form(values) is not None or forms.date_form(values) is not None
