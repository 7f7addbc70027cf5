"""A table as a workbook of Excel, for tables that fit into a sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from etl.errors import UsageError
from etl.export.formats import FileRows, Written
from etl.export.tables import Column, Table
from etl.files.checksums import sync

# Rows of a sheet, of which the first has the names of the columns.
MOST_ROWS = 1_048_576 - 1
_LONGEST_TEXT = 32_767
_LONGEST_NAME = 31
# A sheet counts days from here on, and its numbers have 15 digits.
_FIRST_DAY = date(1900, 1, 1)
_LARGEST_WHOLE = 10**15
_AS_TEXT = ("_sk", "_id", "_key", "_code")
# Texts are never read as formulas, links or numbers. Rows are written as they come.
_OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}


class SheetTable:
    """A table as a workbook with one sheet. Missing values and empty texts are empty cells."""

    def __init__(self, folder: Path, table: Table) -> None:
        self.path = f"{table.name}.xlsx"
        self.file = folder / self.path
        self.rows = 0
        self.table = table
        self.book = xlsxwriter.Workbook(str(self.file), {**_OPTIONS, "tmpdir": str(folder)})
        self.sheet = self.book.add_worksheet(table.name[:_LONGEST_NAME])
        self.sheet.freeze_panes(1, 0)
        bold = self.book.add_format({"bold": True})
        for place, name in enumerate(table.arrow.names):
            self.sheet.write_string(0, place, name, bold)
        self.put = [self._writer_of(column) for column in table.columns]

    def _writer_of(self, column: Column) -> Callable[[int, int, Any], object]:
        """What writes a value of a column into its cell."""
        kind = column.type
        if pa.types.is_decimal(kind):
            places = min(kind.scale, 6)
            form = self.book.add_format({"num_format": f"0.{'0' * places}"})
            return lambda row, place, value: self.sheet.write_number(row, place, float(value), form)
        if pa.types.is_boolean(kind):
            return self.sheet.write_boolean
        if pa.types.is_temporal(kind):
            shown = "yyyy-mm-dd" if pa.types.is_date(kind) else "yyyy-mm-dd hh:mm:ss"
            return _days(self.sheet, self.book.add_format({"num_format": shown}))
        if pa.types.is_integer(kind) and not column.name.endswith(_AS_TEXT):
            return lambda row, place, value: _whole(self.sheet, row, place, value)
        return lambda row, place, value: self._text(row, place, column.name, str(value))

    def write(self, batch: pa.RecordBatch) -> None:
        """Take in some rows."""
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            self.rows += 1
            if self.rows > MOST_ROWS:
                raise too_long(self.table)
            self._row(values)

    def _row(self, values: Iterable[Any]) -> None:
        for place, value in enumerate(values):
            if value is not None:
                self.put[place](self.rows, place, value)

    def _text(self, row: int, place: int, name: str, value: str) -> None:
        if len(value) > _LONGEST_TEXT:
            raise UsageError(
                f"A text of {self.table.name}.{name} has more than {_LONGEST_TEXT:,} characters, "
                "which no cell can hold.",
                "Export it as FORMAT=parquet or FORMAT=csv.",
            )
        self.sheet.write_string(row, place, value)

    def end(self) -> Written:
        """Every row is written, and on disk."""
        self.book.close()
        self.file.chmod(0o600)
        sync(self.file)
        return Written([FileRows(self.path, self.rows)])

    def give_up(self) -> None:
        """Let go of what is open; the book's own files are in the folder that goes."""
        self.book.fileclosed = True


def too_long(table: Table) -> UsageError:
    """The sentence for a table that does not fit into a sheet."""
    return UsageError(
        f"{table.name} has more rows than a sheet of Excel holds ({MOST_ROWS:,}).",
        "Export it as FORMAT=parquet, or leave it out: TABLE= names those that you need.",
    )


def _days(sheet: Worksheet, form: Any) -> Callable[[int, int, Any], object]:
    """What writes days and times: as such, but for those from before a sheet's first day."""

    def write(row: int, place: int, value: date | datetime) -> object:
        at = value.replace(tzinfo=None) if isinstance(value, datetime) else value
        day = at.date() if isinstance(at, datetime) else at
        if day < _FIRST_DAY:
            return sheet.write_string(row, place, str(at))
        return sheet.write_datetime(row, place, at, form)

    return write


def _whole(sheet: Worksheet, row: int, place: int, value: int) -> object:
    """A number that a cell holds exactly, and else its digits."""
    if abs(value) < _LARGEST_WHOLE:
        return sheet.write_number(row, place, value)
    return sheet.write_string(row, place, str(value))
