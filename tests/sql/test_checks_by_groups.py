"""Claims are compared with staging by the sums of groups, and one by one where these differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from etl.quality.checks.registry import sql_checks
from etl.warehouse.tables import LIVE

_ALL = {"loads": [1, 2], "naming": [1, 2], "holding": [1, 2], "is_whole": True}
_RULES = ("fact_claim.latest_state", "fact_claim_line.latest_set")


def joined(connection: psycopg.Connection, name: str) -> dict[str, float]:
    """Of a check, how many rows of staging and of the facts it compares one by one."""
    (entry,) = (e for e in sql_checks() if name in (c.name for c in e.checks.values()))
    values = {**entry.values, **_ALL, **LIVE.values, "feed": entry.feed, "loads_before": []}
    asked = b"explain (analyze, format json) " + entry.statement.as_bytes(connection)
    (((plan,),),) = connection.execute(asked, values).fetchall()
    wanted = {f"CTE {side}_differing": side for side in ("staged", "stored")}
    return {
        wanted[node["Subplan Name"]]: node["Actual Rows"]
        for node in nodes(plan["Plan"])
        if node.get("Subplan Name") in wanted
    }


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


@pytest.mark.parametrize("name", _RULES)
def test_rows_that_are_as_they_came_are_not_joined(warehouse, name):
    assert joined(warehouse, name) == {"staged": 0, "stored": 0}


@pytest.mark.parametrize(
    ("name", "defect"),
    [
        ("fact_claim.latest_state", "update fact_claim set status = 'x' where claim_id = 'c1'"),
        ("fact_claim.latest_state", "update fact_claim set member_sk = -1 where claim_id = 'c1'"),
        (
            "fact_claim_line.latest_set",
            "update fact_claim_line set units = 77 where claim_id = 'c1' and line_number = 1",
        ),
    ],
)
def test_rows_of_a_group_that_differs_are_joined(warehouse, name, defect):
    table, _, _ = name.partition(".")
    (there,) = warehouse.execute(f"select count(*) from {table}").fetchone()
    warehouse.execute(defect)
    found = joined(warehouse, name)
    assert 0 < found["stored"] < there
    assert found["staged"] == found["stored"]
