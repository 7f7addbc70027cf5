"""Cubes of claims within memory: months in passes that fit, and claims in order for the days."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
import pytest

from etl.db.connection import set_search_path
from etl.stages.cubes import definitions, passes
from etl.stages.cubes.passes import Months, together
from etl.stages.cubes.refresh import run_cubes
from etl.warehouse.tables import CUBES, LIVE
from tests.support.cubes import BY_MONTH, DAILY, build, rows_of
from tests.support.plans import nodes

_CUBE = CUBES[BY_MONTH]
_COLUMNS = ", ".join(name for name, _ in definitions.columns(_CUBE))
# Of so little memory a pass has some 360 claims.
_LITTLE = "set local work_mem = '64kB'"
_CLAIM = (
    "insert into fact_claim (claim_id, date_key, service_date, member_sk, provider_sk, plan_sk,"
    " status, claim_amount, allowed_amount, paid_amount, load_id) "
)


def _month(number: int, claims: int) -> Months:
    return Months(date(2025, number, 1), date(2025, number + 1, 1), claims)


def _borders(partitions: list[Months], most: int) -> list[tuple[str, int]]:
    return [(f"{months.first_day:%Y-%m}", months.claims) for months in together(partitions, most)]


def test_months_are_put_together_while_they_fit() -> None:
    partitions = [_month(1, 400), _month(2, 300), _month(3, 500), _month(4, 0), _month(5, 400)]
    assert _borders(partitions, 900) == [("2025-01", 700), ("2025-03", 900)]


def test_a_year_that_does_not_fit_is_cut_into_parts_of_as_many_months() -> None:
    year = Months(date(2024, 1, 1), date(2025, 1, 1), 2400)
    assert _borders([year, _month(1, 100), _month(2, 800)], 900) == [
        ("2024-01", 800),
        ("2024-05", 800),
        ("2024-09", 900),
        ("2025-02", 800),
    ]


def test_no_part_is_shorter_than_a_month() -> None:
    assert together([_month(1, 1000)], 0) == [_month(1, 1000)]
    assert len(together([Months(date(2024, 1, 1), date(2025, 1, 1), 2400)], 0)) == 12


def test_nothing_is_nothing() -> None:
    assert together([], 900) == []


@pytest.fixture
def claims_of_months(tables: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Claims of a year and four months, of which the planner knows how many there are."""
    for name, first, following in (
        ("2024", "2024-01-01", "2025-01-01"),
        *((f"2025_{m:02}", f"2025-{m:02}-01", f"2025-{m + 1:02}-01") for m in range(1, 5)),
    ):
        tables.execute(
            f"create table warehouse.fact_claim_{name} partition of fact_claim"
            f" for values from ('{first}') to ('{following}')"
        )
    tables.execute(
        _CLAIM + "select 'c' || n, to_char(d, 'yyyymmdd')::integer, d, 1 + n % 3, 1 + n % 2,"
        " 1 + n % 4, (array['approved', 'pending', 'denied'])[1 + n % 7 % 3], n, n / 2.0, n / 3, 1"
        " from generate_series(1, 2000) as n"
        " cross join lateral (select date '2024-01-01' + n * 7 % 480) as t (d)"
    )
    # Of a day that no partition is known to have.
    tables.execute(
        _CLAIM + "values ('old', 20230101, '2023-01-01', 1, 1, 1, null, 5, null, null, 1)"
    )
    tables.execute("analyze fact_claim")
    return tables


def _conditions(connection: psycopg.Connection[Any], memory: str = "") -> int:
    with connection.transaction():
        set_search_path(connection, LIVE.schemas.path)
        connection.execute(memory or "select 1")
        return len(passes.conditions(connection, _CUBE))


def _build_in_passes(connection: psycopg.Connection[Any]) -> int:
    with connection.transaction():
        set_search_path(connection, LIVE.schemas.path)
        connection.execute(_LITTLE)
        return run_cubes(connection, whole=True).rows[BY_MONTH]


def test_passes_are_as_many_as_memory_asks_for(
    claims_of_months: psycopg.Connection[Any],
) -> None:
    assert _conditions(claims_of_months) == 0
    assert _conditions(claims_of_months, _LITTLE) == 7


def test_a_cube_that_is_made_in_passes_has_the_rows_of_its_definition(
    claims_of_months: psycopg.Connection[Any],
) -> None:
    made = _build_in_passes(claims_of_months)
    assert made == len(rows_of(claims_of_months, BY_MONTH, _COLUMNS)) > 80
    # Bringing it up to its definition at once changes nothing.
    assert build(claims_of_months)[BY_MONTH] == 0


def test_a_cube_that_is_brought_up_in_passes_writes_only_what_differs(
    claims_of_months: psycopg.Connection[Any],
) -> None:
    build(claims_of_months)
    claims_of_months.execute("update fact_claim set paid_amount = 7 where claim_id = 'c3'")
    claims_of_months.execute("delete from fact_claim where claim_id = 'old'")
    # One tier and one specialty each.
    assert _build_in_passes(claims_of_months) == 4
    rows_of(claims_of_months, BY_MONTH, _COLUMNS)


@pytest.fixture
def claims_apart(claims_of_months: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Claims of as many members."""
    claims_of_months.execute("truncate fact_claim")
    claims_of_months.execute(
        _CLAIM + "select 'c' || n, 20250101, date '2025-01-01' + n % 100, n, 1, 1, 'approved',"
        " 12345678.90, 2345678.91, 1345678.92, 1 from generate_series(1, 30000) as n"
    )
    claims_of_months.execute(
        "insert into dim_member (member_sk, member_id, load_id, attr_hash, hash_version,"
        " validity_start_ts, validity_end_ts, current_flag) select n, 'M' || 100000000 + n, 1,"
        " gen_random_uuid(), 1, '1900-01-01', '9999-12-31', true from generate_series(5, 30000) n"
    )
    claims_of_months.execute("analyze fact_claim, dim_member")
    return claims_of_months


def _plan(connection: psycopg.Connection[Any], cube: str) -> list[dict[str, Any]]:
    query = definitions.definition(CUBES[cube]).as_string()
    with connection.transaction():
        connection.execute("set local work_mem = '512MB'")
        connection.execute("set local max_parallel_workers_per_gather = 0")
        row = connection.execute(
            f"explain (analyze, format json, timing off, buffers off) {query}"
        ).fetchone()
    assert row is not None
    return list(nodes(row[0][0]["Plan"]))


def test_a_claim_takes_no_more_memory_than_is_declared(
    claims_apart: psycopg.Connection[Any],
) -> None:
    grouping = [n["Peak Memory Usage"] for n in _plan(claims_apart, BY_MONTH) if _is_hashed(n)]
    assert 0.4 < max(grouping) * 1024 / 30_000 / _CUBE.bytes_a_claim <= 1.0


def test_days_of_members_are_grouped_in_their_order(claims_apart: psycopg.Connection[Any]) -> None:
    plan = _plan(claims_apart, DAILY)
    assert not any(map(_is_hashed, plan))
    (sort,) = (node for node in plan if node["Node Type"] == "Sort")
    assert sort["Sort Space Used"] * 1024 / 30_000 < 150


def _is_hashed(node: dict[str, Any]) -> bool:
    return node["Node Type"] == "Aggregate" and node["Strategy"] == "Hashed"
