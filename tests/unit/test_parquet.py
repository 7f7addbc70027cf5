"""Rows as COPY writes them, to Parquet and back: every value in its type, and counted."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.contracts.feeds import FEEDS
from etl.contracts.types import Type
from etl.db.arrow_copy import arrow_type
from etl.retention import parquet

CLAIMS, ENROLLMENTS = FEEDS["claims"], FEEDS["enrollments"]
LINEAGE = {
    "load_id": "7",
    "batch_id": "2015-01-10",
    "as_of": "2015-01-10 00:00:00",
    "source_line": "2",
    "load_timestamp": "2015-01-11 08:30:00.123456",
}


def copied(feed: Any, *rows: dict[str, str | None]) -> bytes:
    """Rows as COPY sends them: a missing value is empty, an empty text is in quotes."""
    text = io.StringIO()
    for row in rows:
        values = dict.fromkeys(parquet.schema(feed).names) | LINEAGE | row
        cells = (
            "" if v is None else f'"{v.replace(chr(34), chr(34) * 2)}"' for v in values.values()
        )
        text.write(",".join(cells) + "\n")
    return text.getvalue().encode()


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def written(tmp_path: Path, feed: Any, data: bytes, size: int = 1 << 16) -> list[dict[str, Any]]:
    path = tmp_path / "rows.parquet"
    parquet.write(in_pieces(data, size), feed, path)
    return pq.read_table(path).to_pylist()


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_every_value_comes_back_in_its_type(tmp_path: Path, size: int) -> None:
    row = {
        "claim_id": "C1",
        "service_date": "1900-01-01",
        "claim_amount": "99999999.99",
        "paid_amount": "-0.01",
        "utilization": "0.123456",
        "is_oon": "t",
        "is_deleted": "f",
    }
    [found] = written(tmp_path, CLAIMS, copied(CLAIMS, row), size)
    assert found["claim_id"] == "C1"
    assert found["service_date"] == date(1900, 1, 1)
    assert found["claim_amount"] == Decimal("99999999.99")
    assert found["paid_amount"] == Decimal("-0.01")
    assert found["utilization"] == Decimal("0.123456")
    assert found["is_deleted"] is False
    assert found["allowed_amount"] is None
    assert found["load_id"] == 7
    assert found["as_of"] == datetime(2015, 1, 10, tzinfo=UTC)
    assert found["load_timestamp"] == datetime(2015, 1, 11, 8, 30, 0, 123456, tzinfo=UTC)


def test_far_days_and_missing_ends_differ(tmp_path: Path) -> None:
    rows = [{"end_date": "9999-12-31"}, {"end_date": None}]
    found = written(tmp_path, ENROLLMENTS, copied(ENROLLMENTS, *rows))
    assert [row["end_date"] for row in found] == [date(9999, 12, 31), None]


@pytest.mark.parametrize(
    "value", ["", " ", "NULL", "null", "NA", "t", "1", 'a "b", c', "two\nlines", "é漢", "\\N", ","]
)
def test_a_text_stays_what_it_is(tmp_path: Path, value: str) -> None:
    rows = [{"diagnosis_code": value}, {"diagnosis_code": None}]
    found = written(tmp_path, CLAIMS, copied(CLAIMS, *rows))
    assert [row["diagnosis_code"] for row in found] == [value, None]


def test_a_file_is_counted_by_reading_it(tmp_path: Path) -> None:
    rows = [{"paid_amount": "1.10", "status": "paid"}, {"paid_amount": "2.20"}, {}]
    data = copied(CLAIMS, *rows)
    written(tmp_path, CLAIMS, data)
    found = parquet.count(tmp_path / "rows.parquet", CLAIMS)
    assert found.rows == 3
    assert found.totals["paid_amount"] == Decimal("3.30")
    assert found.totals["claim_amount"] == 0
    assert (found.values["paid_amount"], found.values["status"], found.values["cpt"]) == (2, 1, 0)
    assert len(list(csv.reader(io.StringIO(data.decode())))) == found.rows


def test_nobody_else_may_read_a_file_and_none_is_written_over(tmp_path: Path) -> None:
    data = copied(CLAIMS, {})
    written(tmp_path, CLAIMS, data)
    assert (tmp_path / "rows.parquet").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        written(tmp_path, CLAIMS, data)


def test_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    data = copied(CLAIMS, {"claim_id": "A"}, {"claim_id": "B"})
    for name, size in (("a", 5), ("b", 1 << 16)):
        parquet.write(in_pieces(data, size), CLAIMS, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_column_says_what_it_means() -> None:
    for feed in (CLAIMS, ENROLLMENTS):
        for column in feed.staged:
            said = parquet.schema(feed).field(column.name).metadata[b"description"]
            assert said.decode() == column.description


def test_every_type_of_a_column_has_one_in_the_archive() -> None:
    as_text = {kind.stored for kind in Type if arrow_type(kind.stored) == pa.string()}
    assert as_text == {"text"}
