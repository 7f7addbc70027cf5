"""Workbook: one sheet of an Excel workbook (.xlsx) as a CSV text, a row of the sheet on each line.

Row 7 of the sheet is line 7 of the text, whatever is in the rows before it, so that lines of
rejects and of staging are rows of the sheet. What becomes of cells is in ``cell_text``.
What the library makes of the sheet is compared with ``sheet_count``, which knows nothing of it.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, BinaryIO

import openpyxl

from etl.contracts.file_form import MOST_LINES_AROUND, FileForm
from etl.contracts.refusals import Refusal
from etl.errors import one_line, some_of
from etl.inbox import sheet_count
from etl.inbox.cell_text import text_of
from etl.inbox.limits import Unfit, check_whole, most_unpacked, unpacks_to_more
from etl.inbox.sheet_count import Counted

# How many rows are put into one block; a header is looked for in the first.
_ROWS = 500
_SHEETS_NAMED = 5
# Texts of all cells are kept while a sheet is read, and so are styles.
_MOST_KEPT_BYTES = 256 << 20
_SHEETS = "xl/worksheets/"
_OLD = b"\xd0\xcf\x11\xe0"
_MACROS = "xl/vbaProject.bin"
# What may be in front of the first element of XML. A document type, which could let a text grow
# beyond all bounds, is no part of a workbook (ECMA-376, part 2).
_PROLOG = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s|<\?[^>]*\?>|<!--.*?-->)*<[A-Za-z_]", re.DOTALL)
_PROLOG_BYTES = 1 << 16

_SAVE_AS = "Open it in Excel and save it as a workbook (.xlsx) without a password and macros"


def blocks(raw: BinaryIO, form: FileForm, decimal: str) -> Iterator[bytes]:
    """The sheet that is meant, as UTF-8 text with the form's delimiter and its header on its line.

    ``decimal``: the mark of its numbers. Raises ``Unfit`` where there is no such sheet, or two
    counts of its rows and values differ.
    """
    check(raw)
    with _open(raw) as book:
        sheet, counted = _meant(raw, book, form.sheet)
        rows = _Rows(form, decimal)
        with _damage():
            yield from rows.text(sheet.iter_rows(min_row=1, min_col=1))
    if (rows.filled, rows.values) != (counted.rows, counted.values):
        raise Unfit(
            Refusal.READER_FAULT,
            f"has {counted.values:,} values in {counted.rows:,} rows of the sheet "
            f"{one_line(sheet.title)}, of which {rows.values:,} in {rows.filled:,} were read",
            "Keep the file and report it; nothing was loaded.",
        )


def filled_sheets(raw: BinaryIO) -> dict[str, int]:
    """The visible sheets of a workbook with a value in them, and how many rows each has."""
    check(raw)
    with _open(raw) as book:
        counted = {
            sheet.title: _count(raw, sheet).rows for sheet in filter(_is_visible, book.worksheets)
        }
    return {name: rows for name, rows in counted.items() if rows}


def check(raw: BinaryIO) -> None:
    """Raise ``Unfit`` if a file is no workbook that can be read, or unpacks to what none has."""
    with _damage():
        _check(raw)


def _check(raw: BinaryIO) -> None:
    start = raw.read(len(_OLD))
    if start == _OLD:
        raise Unfit(
            Refusal.NOT_CSV,
            "is an Excel workbook of the old kind (.xls), or has a password",
            f"{_SAVE_AS}, or ask the sender for it; nothing was loaded.",
        )
    size_bytes = raw.seek(0, io.SEEK_END)
    with zipfile.ZipFile(raw) as archive:
        check_whole(raw, archive)
        parts = {part.filename: part for part in archive.infolist()}
        if "xl/workbook.xml" not in parts or _MACROS in parts:
            what = "has macros" if _MACROS in parts else "is no Excel workbook"
            raise Unfit(
                Refusal.NOT_CSV, what, f"{_SAVE_AS}, or ask the sender for it; nothing was loaded."
            )
        sizes = sum(part.file_size for part in parts.values())
        if sizes > most_unpacked(size_bytes):
            raise unpacks_to_more(most_unpacked(size_bytes), size_bytes)
        for name, part in parts.items():
            if name.endswith((".xml", ".rels")):
                _check_part(archive, part, size_bytes)


def _check_part(archive: zipfile.ZipFile, part: zipfile.ZipInfo, size_bytes: int) -> None:
    if part.file_size > _MOST_KEPT_BYTES and not part.filename.startswith(_SHEETS):
        raise unpacks_to_more(_MOST_KEPT_BYTES, size_bytes)
    with archive.open(part) as file:
        if not _PROLOG.match(file.read(_PROLOG_BYTES)):
            raise Unfit(
                Refusal.NOT_CSV,
                "is a workbook with a part that is no plain XML, as no program writes it",
                "Ask the sender what it is; nothing was loaded.",
            )


def _meant(raw: BinaryIO, book: Any, wanted: str) -> tuple[Any, Counted]:
    """The sheet that is meant, sized by its rows alone, and what is in it.

    That is the one of the name, else the only visible one with a value.
    """
    sheets = [
        sheet
        for sheet in book.worksheets
        if (fnmatchcase(sheet.title.lower(), wanted.lower()) if wanted else _is_visible(sheet))
    ]
    counted = [(sheet, _count(raw, sheet)) for sheet in sheets] if len(sheets) > 1 else []
    filled = [(sheet, count) for sheet, count in counted if count.rows] if not wanted else counted
    if len(sheets) != 1 and len(filled) != 1:
        names = some_of([one_line(one.title) for one in book.worksheets], _SHEETS_NAMED)
        what = f"named {one_line(wanted)}" if wanted else "visible with a value in it"
        raise Unfit(
            Refusal.NOT_CSV,
            f"has {len(filled):,} sheets {what}, where one is read (its sheets: {names})",
            "Name the one that is meant as sheet in the manifest or in the form of a contract; "
            "nothing was loaded.",
        )
    sheet, count = filled[0] if filled else (sheets[0], _count(raw, sheets[0]))
    if count.not_computed:
        raise Unfit(
            Refusal.NOT_CSV,
            f"has {count.not_computed:,} formulas without a value in the sheet "
            f"{one_line(sheet.title)}",
            "Open it in Excel and save it, which computes them, or ask the sender for values; "
            "nothing was loaded.",
        )
    sheet.reset_dimensions()  # what a sheet says of its size may be wrong
    return sheet, count


def _is_visible(sheet: Any) -> bool:
    return str(sheet.sheet_state) == "visible"


def _count(raw: BinaryIO, sheet: Any) -> Counted:
    """What the XML of a sheet has, by its bytes."""
    # Nothing that is public says which part of the file a sheet is.
    part: str = sheet._worksheet_path
    with zipfile.ZipFile(raw) as archive, archive.open(part) as file:
        return sheet_count.count(iter(lambda: file.read(1 << 20), b""))


class _Rows:
    """Rows of a sheet as lines of a text.

    ``filled``: rows with a value; ``values``: how many there are.
    """

    def __init__(self, form: FileForm, decimal: str) -> None:
        self.filled = 0
        self.values = 0
        self._decimal = decimal
        self._form = form
        self._lines = io.StringIO(newline="")
        self._writer = csv.writer(self._lines, delimiter=form.delimiter, lineterminator="\n")
        self._is_above = _above(form.before)
        # From which column to which the fields are, once that is known.
        self._fields: slice | None = slice(0, len(form.names)) if form.names else None

    def text(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
        """The rows as UTF-8, some at a time."""
        for number, row in enumerate(rows, 1):
            self._write([text_of(cell, self._decimal) for cell in row])
            values = sum(cell.value is not None for cell in row)
            self.values += values
            self.filled += values > 0
            if number % _ROWS == 0:
                yield self._taken()
        yield self._taken()

    def _taken(self) -> bytes:
        text = self._lines.getvalue()
        self._lines.seek(0)
        self._lines.truncate()
        return text.encode("utf-8", "surrogatepass")

    def _write(self, texts: list[str]) -> None:
        while texts and not texts[-1]:
            texts.pop()
        if self._is_above is not None:
            if self._is_above(self._line(texts)):
                self._put(texts)
                return
            self._is_above = None
        if texts and self._fields is None:
            first = next(at for at, text in enumerate(texts) if text)
            self._fields = slice(first, len(texts))
        self._put(self._as_wide_as_the_header(texts))

    def _as_wide_as_the_header(self, texts: list[str]) -> list[str]:
        """A row with a field for each name; one with values elsewhere keeps too many to be one."""
        if not texts or self._fields is None:
            return texts
        width = self._fields.stop - self._fields.start
        if any(texts[: self._fields.start]):
            return [*texts, *[""] * (width + 1 - len(texts))]
        fields = texts[self._fields.start :]
        return [*fields, *[""] * (width - len(fields))]

    def _line(self, texts: list[str]) -> str:
        return self._form.delimiter.join(texts)

    def _put(self, texts: list[str]) -> None:
        if any(texts):
            self._writer.writerow(texts)
        else:
            self._lines.write("\n")


def _above(before: int | str) -> Callable[[str], bool] | None:
    """Whether the next row, given as a line, is one above the header."""
    if not before:
        return None
    left = before if isinstance(before, int) else MOST_LINES_AROUND

    def is_above(line: str) -> bool:
        nonlocal left
        left -= 1
        is_meant = isinstance(before, int) or not line.strip() or re.match(before, line)
        return left >= 0 and bool(is_meant)

    return is_above


@contextmanager
def _open(raw: BinaryIO) -> Iterator[Any]:
    with _damage():
        book = openpyxl.load_workbook(raw, read_only=True, data_only=True)
    yield book


@contextmanager
def _damage() -> Iterator[None]:
    """Whatever the library stumbles over is a fault of the file."""
    try:
        with warnings.catch_warnings():
            # Of parts of a workbook that no row needs.
            warnings.simplefilter("ignore")
            yield
    except (Unfit, MemoryError):
        raise
    except Exception as error:
        raise Unfit(
            Refusal.UNREADABLE_FILE,
            "cannot be read to its end: it is damaged",
            f"{_SAVE_AS}, or ask the sender for it again; nothing was loaded.",
        ) from error
