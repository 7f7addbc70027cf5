"""Lines that do not add up to their claim: by a cent, or because one is missing."""

from __future__ import annotations

import psycopg
import pytest

from etl.db.statements import run


@pytest.mark.parametrize(
    ("cents", "kind"), [(1, "line_total"), (-1, "line_total"), (2, "missing_line")]
)
def test_lines_off_by_more_than_a_cent_lack_one(
    warehouse: psycopg.Connection, cents: int, kind: str
) -> None:
    loads = {"loads": [1, 2]}
    assert run(warehouse, "synthetic/detection.line_sets", loads).fetchall() == []
    warehouse.execute(
        "update claim_lines_raw set line_billed = line_billed + %s * 0.01 where line_number = '2'",
        [cents],
    )
    [(found, load_id, _)] = run(warehouse, "synthetic/detection.line_sets", loads).fetchall()
    assert (found, load_id) == (kind, 1)
