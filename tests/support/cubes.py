"""A warehouse of a few drawn rows for the cubes, and what a cube makes of them."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from etl.db.connection import set_search_path
from etl.db.statements import names
from etl.stages.cubes import definitions
from etl.stages.cubes.refresh import run_cubes
from etl.warehouse.tables import CUBES, LIVE
from tests.support.tables import Drawn, draw, drawn

Connection = psycopg.Connection[Any]
DAILY = "claims_daily_member"
BY_MONTH = "claims_by_month"
METAL = "claims_by_plan_metal_month"
HIGH_COST = "high_cost_member_tracking"
SPECIALTY = "utilization_by_specialty"
# Columns of a version, where a test says nothing else.
_VERSION = {
    "validity_start_ts": "1900-01-01",
    "validity_end_ts": "9999-12-30",
    "current_flag": False,
    "attr_hash": "00000000-0000-0000-0000-000000000000",
    "hash_version": 1,
}


def make_dimensions(database: Connection) -> None:
    """Three plans, a plan that facts named, three members, two providers, and the unknown rows."""
    # Facts may be inserted in any order and without the rows that they refer to.
    database.execute("set session_replication_role = replica")
    path = sql.SQL(", ").join(map(sql.Identifier, LIVE.schemas.path))
    database.execute(sql.SQL("set search_path = {}").format(path))
    database.execute("create table warehouse.fact_claim_any partition of fact_claim default")
    database.execute(
        "insert into dim_date (date_key, full_date, month_start, load_id)"
        " select to_char(d, 'yyyymmdd')::integer, d, date_trunc('month', d), 0"
        " from generate_series(timestamp '2023-01-01', '2026-12-31', '1 day') as d"
    )
    _insert(
        database,
        "dim_plan (plan_sk, plan_id, effective_year, metal_tier)",
        (-1, "", -1, None),
        (1, "S", 2025, "Silver"),
        (2, "G", 2025, "gold"),
        (3, "inferred", 2025, None),
        (4, "B", 2025, "Expanded Bronze"),
    )
    _insert(database, "dim_member (member_sk, member_id)", (-1, ""), (2, "bob"), (3, "cid"))
    first = (1, "ann", "2025-02-15")
    _insert(database, "dim_member (member_sk, member_id, validity_end_ts)", first)
    later = (4, "ann", "2025-02-15")
    _insert(database, "dim_member (member_sk, member_id, validity_start_ts)", later)
    _insert(
        database,
        "dim_provider (provider_sk, provider_id, specialty)",
        (-1, "", None),
        (1, "p", "Cardiology"),
        (2, "q", "Dermatology"),
    )


def _insert(database: Connection, table: str, *rows: tuple[Any, ...]) -> None:
    """Insert rows into ``table (column, ...)``, filling what a version has besides."""
    name, _, columns = table.partition(" ")
    named = columns.strip("()").split(", ")
    filled = {"load_id": 1} | (_VERSION if name.startswith("dim_") else {})
    filled = {k: v for k, v in filled.items() if k not in named}
    text = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier(name),
        names([*named, *filled]),
        sql.SQL(", ").join(sql.Placeholder() * (len(named) + len(filled))),
    )
    with database.cursor() as cursor:
        cursor.executemany(text, [(*row, *filled.values()) for row in rows])


# A claim or a span of coverage, with the values that a drawn table leaves out.
_CLAIM = {
    "member_sk": "1",
    "plan_sk": "1",
    "provider_sk": "1",
    "status": "approved",
    "claim_amount": "0",
    "allowed_amount": "0",
    "paid_amount": "0",
}
_SPAN = {
    "member_sk": "1",
    "plan_sk": "1",
    "enrollment_start_date_key": "-1",
    "enrollment_end_date_key": "-1",
}


def claims(database: Connection, table: str | Drawn) -> None:
    """Insert a drawn table of claims; ``null`` is null. Their identifiers are c0, c1 and so on."""
    drawn_rows = draw(table) if isinstance(table, str) else table
    rows = [_CLAIM | {"claim_id": f"c{n}"} | row for n, row in enumerate(drawn_rows)]
    _insert_drawn(
        database,
        "fact_claim",
        [row | {"date_key": row["service_date"].replace("-", "")} for row in rows],
    )


def enrollments(database: Connection, table: str) -> None:
    """Insert a drawn table of spans of coverage."""
    rows = [_SPAN | {"enrollment_id": f"e{n}"} | row for n, row in enumerate(draw(table))]
    _insert_drawn(
        database,
        "fact_enrollment",
        [row | {"coverage_days": _days(row["start_date"], row["end_date"])} for row in rows],
    )


def _insert_drawn(database: Connection, table: str, rows: Drawn) -> None:
    for row in rows:
        values = tuple(None if v == "null" else v for v in row.values())
        _insert(database, f"{table} ({', '.join(row)})", values)


def _days(start: str, end: str) -> str:
    return str((date.fromisoformat(end) - date.fromisoformat(start)).days + 1)


def rows_of(database: Connection, cube: str, columns: str, where: str = "true") -> Drawn:
    """The cube's definition run as a query: these columns as drawn, in the order of the grain.

    The cubes that it reads are made first, and the cube itself, which has to be the same.
    """
    build(database)
    select = f"select {columns} from {{}} where {where} order by {', '.join(CUBES[cube].grain)}"
    defined = definitions.definition(CUBES[cube]).as_string(database)
    rows = drawn(database, select.format(f"({defined}) as cube"))
    assert drawn(database, select.format(cube)) == rows
    return rows


def assert_cube(database: Connection, cube: str, table: str, where: str = "true") -> None:
    """The cube, all its rows or those of ``where``, is as drawn; an empty cell is null."""
    columns = table.strip().partition("\n")[0].replace("|", ",")
    assert rows_of(database, cube, columns, where) == draw(table)


def build(database: Connection) -> dict[str, int]:
    """Make all cubes, or bring all of their rows up to date; rows written by cube."""
    with database.transaction():
        set_search_path(database, LIVE.schemas.path)
        return run_cubes(database, whole=True).rows
