"""The form of a sender's files: what is around the values, before any of them is read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from etl.contracts.declared import ensure_kinds

# What may be between the fields of a row, with its name for messages.
DELIMITERS = {
    ",": "commas",
    ";": "semicolons",
    "\t": "tabs",
    "|": "vertical bars",
    ":": "colons",
    "^": "carets",
    "~": "tildes",
}


# A pattern finds so many lines around the rows at most; what goes on for longer are rows.
MOST_LINES_AROUND = 100


@dataclass(frozen=True, slots=True)
class FileForm:
    """How a sender's files are laid out. The default is what the feeds themselves ask for.

    ``delimiter``: the sign between fields, one of ``DELIMITERS``. Quotes mean the same with each.
    ``names``: of the fields in their order, if no header names them. ``before`` and ``after``:
    lines in front of the header (or of the rows, without one) and behind the rows, which are
    counted and passed over: so many, or those that each match a pattern from their beginning.
    ``member`` and ``sheet``: patterns (``claims_*.csv``, without regard to case) of the name of the
    file in a zip archive and of the sheet in a workbook, where there are several.
    """

    delimiter: str = ","
    names: tuple[str, ...] = ()
    before: int | str = 0
    after: int | str = 0
    member: str = ""
    sheet: str = ""

    def __post_init__(self) -> None:
        ensure_kinds(self)
        if self.member and self.sheet:
            raise ValueError("a file is the member of a zip file or has a sheet, not both")
        if self.delimiter not in DELIMITERS:
            signs = ", ".join(map(repr, DELIMITERS))
            raise ValueError(f"{self.delimiter!r} is no delimiter; it is one of {signs}")
        lowered = [name.strip().lower() for name in self.names]
        if not all(lowered) or len(set(lowered)) < len(lowered):
            raise ValueError("names of fields are not empty, and differ")
        for lines in (self.before, self.after):
            if isinstance(lines, int) and not 0 <= lines <= MOST_LINES_AROUND:
                raise ValueError(f"lines around the rows are 0 to {MOST_LINES_AROUND}")
            if isinstance(lines, str):
                _check_pattern(lines)


def _check_pattern(text: str) -> None:
    """Refuse a pattern that is none, or that any line matches."""
    try:
        matches_all = re.match(text, "") is not None
    except re.error as error:
        raise ValueError(f"{text!r} is no pattern: {error}") from error
    if matches_all:
        raise ValueError(f"{text!r} matches a line with nothing on it, and so any row")
