"""Workbooks and archives as senders make them, and as none does."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from etl.contracts.file_form import FileForm
from etl.inbox import unpacking

SHEET = "xl/worksheets/sheet1.xml"
_NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def archive(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of files by name."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as to:
        for name, data in files.items():
            to.writestr(zipfile.ZipInfo(name, (2025, 1, 31, 12, 0, 0)), data, method)
    return packed.getvalue()


def workbook(
    sheets: Mapping[str, list[list[Any]]],
    change: Callable[[Any], None] = lambda _: None,
    *,
    is_1904: bool = False,
) -> bytes:
    """A workbook of sheets by name, each with its rows; ``change`` sees it before it is written."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    if is_1904:
        book.epoch = CALENDAR_MAC_1904
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for number, row in enumerate(rows, 1):
            for column, value in enumerate(row, 1):
                if value is not None:
                    sheet.cell(number, column, value)
    change(book)
    packed = io.BytesIO()
    book.save(packed)
    return packed.getvalue()


def of_xml(rows: str, before: str = "") -> bytes:
    """A workbook with one sheet, whose rows are written as they are given."""
    xml = f'{before}<worksheet xmlns="{_NAMESPACE}"><sheetData>{rows}</sheetData></worksheet>'
    return with_parts(workbook({"Sheet": [["x"]]}), {SHEET: xml.encode()})


def with_parts(data: bytes, parts: Mapping[str, bytes]) -> bytes:
    """A workbook with parts of its file replaced or added."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        there = {name: packed.read(name) for name in packed.namelist()}
    return archive({**there, **parts})


def text(data: bytes, name: str, form: FileForm | None = None, decimal: str = ".") -> str:
    """What is read of a file of a name."""
    raw = io.BytesIO(data)
    return b"".join(unpacking.blocks(raw, Path(name), form or FileForm(), decimal)).decode()
