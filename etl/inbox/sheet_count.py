"""What the XML of a sheet has, counted by its bytes: rows, values, formulas that were not computed.

Nothing here knows of XML but how an element begins. What is counted so is compared with what the
library that reads workbooks made of the same sheet. A sheet that is not written as programs write
one (rows out of order, a row beyond the last) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from etl.contracts.refusals import Refusal
from etl.inbox.limits import Unfit

# What a cell shows whose formula came to nothing.
ERRORS = frozenset(
    (
        *("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#GETTING_DATA"),
        *("#SPILL!", "#CALC!", "#FIELD!", "#BLOCKED!", "#CONNECT!", "#UNKNOWN!", "#BUSY!"),
    )
)
# The last row that a sheet can have.
LAST_ROW = 1_048_576
_ROW = re.compile(rb"<(?:\w+:)?row(?=[\s/>])([^>]*)>")
_NUMBER = re.compile(rb"""\sr\s*=\s*["']([0-9]{1,7})["']""")
# A value that is not empty, or a text in the cell itself.
_VALUE = re.compile(rb"<(?:\w+:)?(?:v(?:\s[^>]*)?>[^<]|is[\s/>])")
# A formula without a value in its cell; an empty one is the value of a formula that is a text.
_FORMULA = rb"<(?:\w+:)?f(?:\s[^>]*)?(?:/>|>[^<]*</(?:\w+:)?f>)\s*"
_EMPTY = rb"<(?:\w+:)?v(?:\s[^>]*)?(?:/>|></(?:\w+:)?v>)\s*"
_NOT_COMPUTED = re.compile(
    _FORMULA
    + rb"</(?:\w+:)?c>"
    + rb"|<(?:\w+:)?c(?=[\s>])(?![^>]*\st=[\"']str)[^>]*>\s*"
    + _FORMULA
    + _EMPTY
    + rb"</(?:\w+:)?c>"
)
_BEGIN = re.compile(rb"<(?:\w+:)?sheetData[\s/>]")
_END = re.compile(rb"</(?:\w+:)?sheetData\s*>")
# A row of the most cells, each with a long text, is far below this.
_MOST_BETWEEN = 64 << 20
_LONGEST_NAME = 256


@dataclass(slots=True)
class Counted:
    """What is in a sheet.

    ``rows``: those with a value. ``values``: of cells. ``not_computed``: formulas without one.
    """

    rows: int = 0
    values: int = 0
    not_computed: int = 0
    last_row: int = 0


def count(blocks: Iterable[bytes]) -> Counted:
    """Count what is in a sheet; ``Unfit`` if it is not written as programs write one."""
    counted = Counted()
    rest, is_inside = b"", False
    for block in blocks:
        data = rest + block
        if not is_inside:
            begin = _BEGIN.search(data)
            if begin is None:
                rest = data[-_LONGEST_NAME:]
                continue
            data, is_inside = data[begin.start() :], True
        if end := _END.search(data):
            _count_rows(counted, data[: end.start()])
            return counted
        # A row that may go on in the next block stays for it.
        starts = max(data.rfind(b"<row"), data.rfind(b":row"))
        at = data.rfind(b"<", 0, starts + 1) if starts > 0 else 0
        _count_rows(counted, data[:at])
        rest = data[at:]
        if len(rest) > _MOST_BETWEEN:
            raise _odd("a row longer than any may be")
    _count_rows(counted, rest if is_inside else b"")
    return counted


def _count_rows(counted: Counted, data: bytes) -> None:
    """Count whole rows."""
    found = list(_ROW.finditer(data))
    for at, row in enumerate(found):
        number = _NUMBER.search(row[1])
        last = int(number[1]) if number else counted.last_row + 1
        if not counted.last_row < last <= LAST_ROW:
            raise _odd("rows out of order" if last <= LAST_ROW else "a row beyond the last")
        counted.last_row = last
        cells = data[row.end() : found[at + 1].start() if at + 1 < len(found) else len(data)]
        values = len(_VALUE.findall(cells))
        counted.values += values
        counted.rows += values > 0
        counted.not_computed += len(_NOT_COMPUTED.findall(cells))


def _odd(what: str) -> Unfit:
    return Unfit(
        Refusal.NOT_CSV,
        f"is a workbook with {what}, as no program writes it",
        "Ask the sender what it is; nothing was loaded.",
    )
