"""Packed files and workbooks: what is read of them, and those that are refused with a sentence."""

from __future__ import annotations

import csv
import io
import struct
import zipfile
import zlib
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.worksheet import _reader

from etl.contracts.file_form import FileForm
from etl.contracts.refusals import Refusal
from etl.inbox import unpacking
from etl.inbox.limits import Unfit
from tests.support.workbooks import SHEET, archive, of_xml, text, with_parts, workbook

CSV = b"claim_id,paid\nA,1.50\nB,2\n"


def refused(data: bytes, name: str, form: FileForm | None = None) -> Unfit:
    with pytest.raises(Unfit) as error:
        text(data, name, form)
    assert error.value.hint.endswith(".")
    return error.value


@given(st.binary(max_size=3000), st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_an_archive_of_one_file_is_that_file(data: bytes, method: int) -> None:
    packed = archive({"claims.csv": data, "__MACOSX/._claims.csv": b"x", "README": b"y"}, method)
    assert b"".join(unpacking.blocks(io.BytesIO(packed), Path("claims.zip"), FileForm())) == data


def test_of_several_files_the_named_one_is_read() -> None:
    packed = archive({"in/Claims_2025.csv": CSV, "members.csv": b"x", "in/": b""})
    assert text(packed, "claims.zip", FileForm(member="claims_*.csv")).encode() == CSV
    error = refused(packed, "claims.zip")
    assert "an archive of 2 files: in/Claims_2025.csv; members.csv" in error.what
    assert "of which 0 are named plans" in refused(packed, "x.zip", FileForm(member="plans")).what


def _encrypted(data: bytes) -> bytes:
    """An archive whose directory says that its first file has a password."""
    at = data.index(b"PK\1\2")
    return data[: at + 8] + b"\1" + data[at + 9 :]


def _stated(data: bytes, size: int) -> bytes:
    """An archive whose directory says that its first file has so many bytes, and their checksum."""
    at = data.index(b"PK\1\2")
    crc = zlib.crc32(CSV[:size]).to_bytes(4, "little")
    return (
        data[: at + 16] + crc + data[at + 20 : at + 24] + struct.pack("<I", size) + data[at + 28 :]
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (archive({}), "an archive of 0 files: none"),
        (archive({"../claims.csv": CSV}), "an unsafe name (../claims.csv)"),
        (archive({"/etc/claims.csv": CSV}), "an unsafe name"),
        (archive({"c:\\claims.csv": CSV}), "an unsafe name"),
        (_encrypted(archive({"claims.csv": CSV})), "a password"),
        (archive({"claims.csv": CSV}, zipfile.ZIP_LZMA), "not read (method 14 of zip)"),
        (archive({"claims.csv": CSV})[:-10], "it is damaged"),
        (archive({"claims.csv": CSV}, zipfile.ZIP_STORED).replace(b"2\n", b"3\n"), "is damaged"),
        (_stated(archive({"claims.csv": CSV}), CSV.index(b"B")), "it is damaged"),
        (_stated(archive({"claims.csv": CSV}, zipfile.ZIP_STORED), 14), "it is damaged"),
        (_stated(archive({"claims.csv": CSV}), len(CSV) + 9), "it is damaged"),
        (CSV, "it is damaged"),
        (b"", "it is damaged"),
        # Of two archives in a row the library reads the last, and passes over what follows one.
        (archive({"claims.csv": CSV}) + archive({"claims.csv": CSV}), "in front of its archive"),
        (archive({"claims.csv": CSV}) + b"x", "or behind it"),
        (b"x" + archive({"claims.csv": CSV}), "in front of its archive"),
    ],
)
def test_archives_that_cannot_be_read_are_refused(data: bytes, said: str) -> None:
    assert said in refused(data, "claims.csv.zip").what


@pytest.mark.parametrize("at", range(1, len(archive({"claims.csv": CSV})), 7))
def test_an_archive_cut_anywhere_is_refused(at: int) -> None:
    assert refused(archive({"claims.csv": CSV})[:at], "claims.zip").refusal in (
        Refusal.UNREADABLE_FILE,
        Refusal.NOT_CSV,
    )


# What a cell is, and what is read of it.
CELLS: list[tuple[Any, str]] = [
    ("00501", "00501"),
    (" two\nlines, and a comma", " two lines, and a comma"),
    ('a "quote"', 'a "quote"'),
    ("_x005F_x000D_", "_x000D_"),
    ("2025-01-31", "2025-01-31"),
    (0, "0"),
    (123456789012345, "123456789012345"),
    (-1234.56, "-1234.56"),
    (0.1 + 0.2, "0.3"),
    (100.00000000000001, "100"),
    (12.345, "12.345"),
    (1e-7, "0.0000001"),
    (1e20, "100000000000000000000"),
    (2500000.0, "2500000"),
    (True, "true"),
    (False, "false"),
    (date(1955, 2, 28), "1955-02-28"),
    (datetime(2025, 1, 31), "2025-01-31"),
    (datetime(2025, 1, 31, 10, 30), "2025-01-31 10:30:00"),
    (time(10, 30), "10:30:00"),
    (timedelta(hours=30), "1 day, 6:00:00"),
    ("#N/A", "#N/A"),
]


@pytest.mark.parametrize("is_1904", [False, True])
def test_cells_are_read_as_they_are_stored(is_1904: bool) -> None:
    data = workbook({"Claims": [["a"], *([value] for value, _ in CELLS)]}, is_1904=is_1904)
    rows = list(csv.reader(io.StringIO(text(data, "claims.xlsx"))))
    assert rows == [["a"], *([wanted] for _, wanted in CELLS)]
    assert "1234,56" in text(data, "claims.xlsx", FileForm(";"), ",").splitlines()[8]


_VALUES = st.one_of(
    st.none(),
    st.text(st.sampled_from('a0é,;"\n '), min_size=1, max_size=5).map(lambda t: f"x{t}x"),
    st.integers(-(10**15), 10**15),
    st.decimals(-(10**6), 10**6, places=2),
    st.dates(date(1950, 1, 1), date(2199, 12, 31)),
    st.booleans(),
)


def _as_read(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value else "0"
    return str(value).replace("\n", " ")


@settings(max_examples=40)
@given(
    st.lists(st.lists(_VALUES, max_size=4), max_size=8),
    st.integers(0, 3),
    st.sampled_from([",", ";", "\t"]),
)
def test_a_drawn_sheet_has_each_row_on_its_line(
    drawn: list[list[Any]], above: int, delimiter: str
) -> None:
    rows = [*([[None, "Title"]] * above), ["a", "b", "c", "d"], *drawn]
    data = workbook({"Notes": [], "Claims": rows})
    found = text(data, "claims.xlsx", FileForm(delimiter, before=above))
    lines = list(csv.reader(io.StringIO(found), delimiter=delimiter))
    wanted = []
    for row in rows[above:]:
        values = [_as_read(value) for value in row]
        wanted.append([*values, *[""] * (4 - len(values))] if any(values) else [])
    while wanted[-1] == []:
        wanted.pop()
    assert lines[above:] == wanted


def test_what_is_next_to_the_columns_makes_too_many_fields() -> None:
    rows = [[None, "a", "b"], [None, 1, None], ["x", 1, None], [None, 1, 2, "note"], []]
    assert text(workbook({"S": rows}), "x.xlsx") == "a,b\n1,\nx,1,\n1,2,note\n"


def test_the_sheet_is_the_only_visible_one_or_the_named_one() -> None:
    def hide(book: Any) -> None:
        book["Old"].sheet_state = "hidden"

    data = workbook({"Old": [["old"]], "Claims": [["new"]], "Sheet2": []}, hide)
    assert text(data, "x.xlsx") == "new\n"
    assert text(data, "x.xlsx", FileForm(sheet="old")) == "old\n"
    several = workbook({"Claims": [["a"]], "Members": [["b"]]})
    assert text(several, "x.xlsx", FileForm(sheet="Mem*")) == "b\n"
    error = refused(several, "x.xlsx")
    assert "2 sheets visible with a value in it" in error.what
    assert "(its sheets: Claims; Members)" in error.what
    assert "0 sheets named Plans" in refused(several, "x.xlsx", FileForm(sheet="Plans")).what


def test_lines_above_the_header_are_those_of_a_number_or_a_pattern() -> None:
    data = workbook({"S": [["Report of", 2025], [], ["a", "b"], [1]]})
    wanted = "Report of,2025\n\na,b\n1,\n"
    assert text(data, "x.xlsx", FileForm(before=2)) == wanted
    assert text(data, "x.xlsx", FileForm(before="Report")) == wanted
    assert text(workbook({"S": [[1], [2, 3]]}), "x.xlsx", FileForm(names=("a", "b"))) == "1,\n2,3\n"


def test_formulas_are_their_last_value_and_errors_their_word() -> None:
    rows = (
        '<row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c></row>'
        '<row r="3" hidden="1"><c r="A3"><f>1+1</f><v>2</v></c></row>'
        '<row r="4"><c r="A4" t="e"><f>NA()</f><v>#N/A</v></c></row>'
        '<row r="5"><c r="A5" t="str"><f>""</f><v></v></c></row>'
        '<row r="6"><c r="A6" t="b"><v>1</v></c></row>'
        '<row r="7"><c r="A7"><v>12345678901234567890</v></c></row>'
        '<row r="8"><c r="A8" t="d"><v>2025-01-31</v></c></row>'
    )
    wanted = "a\n\n2\n#N/A\n\ntrue\n12345678901234567890\n2025-01-31\n"
    assert text(of_xml(rows), "x.xlsx") == wanted
    error = refused(workbook({"S": [["a"], ["=1+1"]]}), "x.xlsx")
    assert error.what == "has 1 formulas without a value in the sheet S"


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (CSV, "it is damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "of the old kind (.xls), or has a pass"),
        (archive({"claims.csv": CSV}), "is no Excel workbook"),
        (with_parts(workbook({"S": [["a"]]}), {"xl/vbaProject.bin": b"x"}), "has macros"),
        (workbook({"S": [["a"]]})[:-30], "it is damaged"),
        (workbook({"S": [["a"]]}) + workbook({"S": [["a"]]}), "in front of its archive"),
        (of_xml("", BOMB), "no plain XML"),
        (of_xml("", f"<!--{'x' * 70_000}-->{BOMB}"), "no plain XML"),
        (of_xml('<row r="9999999"><c><v>1</v></c></row>'), "a row beyond the last"),
        (of_xml('<row r="2"/><row r="1"/>'), "rows out of order"),
        (of_xml('<row r="1"><c r="ZZZZ1"><v>1</v></c></row>'), "it is damaged"),
        (of_xml('<row r="1"><c t="s"><v>77</v></c></row>'), "it is damaged"),
        (of_xml('<row r="1"><c><v>x</v></c></row>'), "it is damaged"),
        (of_xml('<row r="1"><c><v>1</v></c>'), "it is damaged"),
        # A cell twice, of which the library keeps the last.
        (of_xml('<row r="1"><c r="A1"><v>1</v></c><c r="A1"><v>2</v></c></row>'), "1 in 1 were"),
        (of_xml(f'<row r="1">{" " * (70 << 20)}</row>'), "unpacks to more than 64 MiB"),
    ],
)
def test_workbooks_that_no_program_writes_are_refused(data: bytes, said: str) -> None:
    assert said in refused(data, "claims.xlsx").what


def test_what_a_sheet_says_of_its_size_is_not_believed() -> None:
    data = of_xml('<row r="1"><c r="A1"><v>1</v></c></row>')
    for said in (b"A1:XFD1048576", b"A1:A1", b"B7"):
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            sheet = packed.read(SHEET)
        dimension = b'<dimension ref="%b"/><sheetData>' % said
        changed = with_parts(data, {SHEET: sheet.replace(b"<sheetData>", dimension)})
        assert text(changed, "x.xlsx") == "1\n"


def test_a_reader_that_loses_a_row_or_a_value_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = workbook({"S": [["a", "b"], [1, 2], [3, 4]]})
    read = _reader.WorkSheetParser.parse_row

    def keeps(cells: int) -> Any:
        def parse_row(self: Any, row: Any) -> Any:
            number, found = read(self, row)
            return number, found if number != 2 else found[:cells]

        return parse_row

    for cells, said in ((0, "4 in 2 were read"), (1, "5 in 3 were read")):
        monkeypatch.setattr(_reader.WorkSheetParser, "parse_row", keeps(cells))
        error = refused(data, "x.xlsx")
        assert error.refusal is Refusal.READER_FAULT
        assert f"has 6 values in 3 rows of the sheet S, of which {said}" in error.what
