"""The text of a cell of a workbook, as a CSV file would have it.

A text is as it is, with a blank for a line break. A whole number has all its digits; of others the
first 15 digits count, which is all that Excel keeps and shows: 0.1 + 0.2, in the file
0.30000000000000004, is 0.3. Dates and times are written as ISO 8601 has them, a day without a time
where it is midnight. A formula is its last value. An error is its word (#N/A).
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from openpyxl.utils.escape import unescape

_BREAK = re.compile(r"\r\n?|\n")
_DIGITS = 15


def text_of(cell: Any, decimal: str = ".") -> str:
    """The text of a cell; empty if it has none. ``decimal``: the mark of numbers."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value).replace(".", decimal)
    return _moment(value)


def _text(value: str) -> str:
    if "_x" in value:
        value = unescape(value)
    return _BREAK.sub(" ", value) if "\n" in value or "\r" in value else value


def _number(value: float) -> str:
    kept = repr(value) if value.is_integer() else f"{value:.{_DIGITS}g}"
    return f"{Decimal(kept).normalize():f}"


def _moment(value: datetime | date | time | timedelta) -> str:
    if isinstance(value, datetime):
        is_day = value.time() == time(0)
        return value.date().isoformat() if is_day else value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)
