"""The forms of an export: what a drawn table becomes in each, and is again when it is read."""

from __future__ import annotations

import csv
import errno
import io
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from etl.db.arrow_copy import arrow_type, batches
from etl.errors import UsageError
from etl.export import formats, sheets
from etl.export.duck import FILE, DuckFile
from etl.export.formats import CsvTable, ParquetTable, Writer, Written
from etl.export.sheets import SheetTable
from etl.export.tables import Column, Table
from etl.files.whole import whole_folder

TYPES = {
    "claim_id": "text",
    "member_sk": "bigint",
    "claims": "bigint",
    "service_date": "date",
    "paid_usd": "numeric(14,2)",
    "share": "numeric(38,20)",
    "is_paid": "boolean",
    "at": "timestamp without time zone",
}
ROW = {
    "claim_id": "C1",
    "member_sk": 1646615240134042763,
    "claims": 3,
    "service_date": date(2025, 1, 31),
    "paid_usd": Decimal("1234567890.10"),
    "share": Decimal("0.90322580645161290323"),
    "is_paid": True,
    "at": datetime(2025, 1, 31, 23, 59, 59, 123456, tzinfo=UTC),
}
NOTHING: dict[str, Any] = dict.fromkeys(ROW)


def table(*, rows: int = 0) -> Table:
    columns = tuple(
        Column(name, sql.Identifier(name), arrow_type(stored), f"What {name} means; it's so.")
        for name, stored in TYPES.items()
    )
    return Table("claim", "mart", 1, "Claims that aren't many.", columns, rows)


def write(writer: Writer, *rows: dict[str, Any]) -> Written:
    schema = table().arrow
    for row in rows:  # each a batch of its own
        writer.write(pa.RecordBatch.from_pylist([ROW | row], schema=schema))
    return writer.end()


def test_parquet_has_each_value_in_its_type(tmp_path: Path) -> None:
    written = write(ParquetTable(tmp_path, table()), {}, NOTHING, {"claim_id": ""})
    assert [(file.path, file.rows) for file in written.files] == [("claim.parquet", 3)]
    found = pq.read_table(tmp_path / "claim.parquet")
    assert found.to_pylist() == [ROW, NOTHING, ROW | {"claim_id": ""}]
    assert found.schema.field("paid_usd").type == pa.decimal128(14, 2)
    assert found.schema.field("at").metadata == {b"description": b"What at means; it's so."}
    assert (tmp_path / "claim.parquet").stat().st_mode & 0o777 == 0o600


def test_a_large_table_has_a_file_a_month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_ROWS_AT_ONCE", 2)
    days = [date(2025, 1, 31), date(2025, 2, 1), date(2024, 12, 1), date(2025, 1, 1), None]
    large = table(rows=2_000_000)
    batch = pa.RecordBatch.from_pylist(
        [ROW | {"service_date": day} for day in days], schema=large.arrow
    )
    writer = ParquetTable(tmp_path, large)
    writer.write(batch)
    written = writer.end()
    found = {file.path: file.rows for file in written.files}
    assert found == {
        "claim/claim-2024-12.parquet": 1,
        "claim/claim-2025-01.parquet": 2,
        "claim/claim-2025-02.parquet": 1,
        "claim/claim-without-date.parquet": 1,
    }
    both = pq.read_table(tmp_path / "claim" / "claim-2025-01.parquet").column("service_date")
    assert both.to_pylist() == [days[0], days[3]]
    assert pq.read_table(tmp_path / "claim").num_rows == len(days)


def opened(name: str, folder: Path) -> Writer:
    if name == "duckdb":
        return DuckFile(folder).open(folder, table())
    return {"parquet": ParquetTable, "csv": CsvTable, "xlsx": SheetTable}[name](folder, table())


@pytest.mark.parametrize("name", ["parquet", "csv", "xlsx", "duckdb"])
def test_a_table_without_rows_has_its_columns(tmp_path: Path, name: str) -> None:
    writer = opened(name, tmp_path)
    (file,) = writer.end().files
    path = tmp_path / file.path
    if name == "parquet":
        assert pq.read_schema(path).equals(table().arrow)
    elif name == "csv":
        assert path.read_bytes() == ",".join(f'"{n}"' for n in TYPES).encode() + b"\r\n"
    elif name == "xlsx":
        sheet = openpyxl.load_workbook(path)["claim"]
        assert [cell.value for (cell,) in zip(sheet[1], strict=True)] == list(TYPES)
    else:
        assert writer.file.connection.sql("from claim").columns == list(TYPES)


TEXTS = st.lists(
    st.one_of(
        st.none(),
        st.text(st.sampled_from("ab,;\"'\n\r\t =+-@é\u2028"), max_size=6),
    ),
    min_size=1,
    max_size=8,
)


@given(TEXTS)
def test_csv_is_rfc_4180_and_runs_in_no_spreadsheet(texts: list[str | None]) -> None:
    with TemporaryDirectory() as made:
        folder = Path(made)
        written = write(CsvTable(folder, table()), *({"claim_id": text} for text in texts))
        data = (folder / "claim.csv").read_bytes()
    expected = [
        text if text is None or text[:1] not in tuple("=+-@\t\r") or not text else f"'{text}"
        for text in texts
    ]
    read = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    assert read[0] == list(TYPES)
    assert [row[0] for row in read[1:]] == [text or "" for text in expected]
    assert written.texts_changed == sum(a != b for a, b in zip(texts, expected, strict=True))
    # What is missing is without quotes, what is empty has them.
    parsed = pv.read_csv(
        io.BytesIO(data),
        parse_options=pv.ParseOptions(newlines_in_values=True),
        convert_options=pv.ConvertOptions(
            column_types={"claim_id": pa.string()},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    assert parsed.column("claim_id").to_pylist() == expected
    assert {row[4] for row in read[1:]} == {"1234567890.10"}
    assert {row[7] for row in read[1:]} == {"2025-01-31 23:59:59.123456+00"}


def test_a_sheet_has_numbers_dates_and_texts_that_are_no_formulas(tmp_path: Path) -> None:
    odd = {"claim_id": '=HYPERLINK("http://x")', "service_date": date(1899, 12, 31)}
    write(SheetTable(tmp_path, table()), {}, NOTHING, odd, {"claims": 10**17})
    sheet = openpyxl.load_workbook(tmp_path / "claim.xlsx")["claim"]
    head, first, nothing, formula, large = sheet.iter_rows()
    cells = dict(zip([cell.value for cell in head], first, strict=True))
    assert cells["claim_id"].value == "C1"
    assert (cells["member_sk"].value, cells["claims"].value) == (str(ROW["member_sk"]), 3)
    assert cells["service_date"].value == datetime(2025, 1, 31)
    assert cells["paid_usd"].value == float(ROW["paid_usd"])
    assert cells["paid_usd"].number_format == "0.00"
    assert cells["is_paid"].value is True
    assert abs((cells["at"].value - ROW["at"].replace(tzinfo=None)).total_seconds()) < 0.001
    assert {cell.value for cell in nothing} == {None}
    assert (formula[0].data_type, formula[0].value) == ("s", odd["claim_id"])
    assert formula[3].value == "1899-12-31"
    assert large[2].value == "100000000000000000"
    assert (tmp_path / "claim.xlsx").stat().st_mode & 0o777 == 0o600


def test_a_table_or_text_too_long_for_a_sheet_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"claim\.claim_id has more than 32,767 characters"):
        write(SheetTable(tmp_path, table()), {"claim_id": "x" * 40_000})
    monkeypatch.setattr(sheets, "MOST_ROWS", 2)
    with pytest.raises(UsageError, match="claim has more rows") as refused:
        write(SheetTable(tmp_path, replace(table(), name="claim")), {}, {}, {})
    assert "parquet" in refused.value.hint


def test_a_file_of_duckdb_answers_wherever_it_is_moved(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    file = DuckFile(tmp_path / "made")
    write(file.open(tmp_path, table()), {}, NOTHING, {"claim_id": ""})
    file.close("2025-01-31", [table()])
    (tmp_path / "made").rename(tmp_path / "moved")
    with duckdb.connect(str(tmp_path / "moved" / FILE), read_only=True) as laptop:
        naive = ROW | {"at": ROW["at"].replace(tzinfo=None)}
        rows = laptop.sql("from mart.claim").fetchall()
        assert rows == [tuple(r.values()) for r in (naive, NOTHING, naive | {"claim_id": ""})]
        assert laptop.sql("select mart.as_of()").fetchall() == [(date(2025, 1, 31),)]
        said = laptop.sql(
            "select column_name, data_type, comment from duckdb_columns() "
            "where schema_name = 'main' and table_name = 'claim'"
        ).fetchall()
    assert {name: comment for name, _, comment in said} == {
        name: f"What {name} means; it's so." for name in TYPES
    }
    assert {n: k for n, k, _ in said}["paid_usd"] == "DECIMAL(14,2)"


@pytest.mark.parametrize("name", ["parquet", "csv"])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(formats, "private", lambda _: Full())
    with pytest.raises(OSError, match="No space left"), whole_folder(tmp_path / "to", "") as made:
        write(opened(name, made), {})
    assert list(tmp_path.iterdir()) == []


def test_who_stops_early_leaves_no_reader_behind() -> None:
    sent = iter([b"C1,2025-01-31\n"] * 2_000_000)
    schema = pa.schema([("claim_id", pa.string()), ("service_date", pa.date32())])
    rows = batches(sent, schema)
    first = next(rows)
    rows.close()
    left = sum(1 for _ in sent)
    assert 0 < first.num_rows < 2_000_000
    assert left > 0
