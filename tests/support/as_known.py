"""What a reader sees now, and what one sees as known after a load."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row

from etl.warehouse.tables import DIMENSIONS, FACTS

TABLES = [
    *("dim_date", "dim_geography", *(d.table for d in DIMENSIONS.values())),
    *(f.table for f in FACTS.values()),
]
VIEWS = [f"{d.table}_{kind}" for d in DIMENSIONS.values() for kind in ("current", "as_is")]

REPORT = """
    select p.metal_tier, d.month_start, count(*) as claims, sum(c.paid_amount) as paid_usd
    from fact_claim c
    join dim_plan p on p.plan_sk = c.plan_sk
    join dim_member_as_is m on m.member_sk = c.member_sk
    join dim_date d on d.date_key = c.date_key
    group by p.metal_tier, d.month_start, m.state
    order by p.metal_tier, d.month_start, m.state
"""

State = dict[str, Any]


def read(connection: psycopg.Connection[Any], query: str) -> list[dict[str, Any]]:
    """Rows of a query in an order of their own."""
    rows = connection.cursor(row_factory=dict_row).execute(query).fetchall()
    return sorted(rows, key=lambda row: repr(list(row.items())))


def present(connection: psycopg.Connection[Any]) -> State:
    """All rows of dimensions and facts, and a report on them."""
    found = {name: read(connection, f"select * from warehouse.{name}") for name in TABLES + VIEWS}
    with connection.transaction(force_rollback=True):
        connection.execute("set local search_path = warehouse")
        return {**found, "report": read(connection, REPORT)}


def as_known(connection: psycopg.Connection[Any], load_id: int) -> State:
    """The same as known after a load: tables by their functions, the rest by a point set."""
    found = {
        name: read(connection, f"select * from warehouse.{name}_as_known_at({load_id})")
        for name in TABLES
    }
    # A set point is rolled back with its transaction.
    with connection.transaction(force_rollback=True):
        connection.execute("select warehouse.as_known_at(%s)", [load_id])
        for name in TABLES:
            assert read(connection, f"select * from as_known.{name}") == found[name]
        found |= {name: read(connection, f"select * from as_known.{name}") for name in VIEWS}
        connection.execute("set local search_path = as_known, warehouse")
        return {**found, "report": read(connection, REPORT)}


def without_clock(state: State) -> State:
    """A state without what every rebuild gives again."""
    return {
        name: sorted(
            ({k: v for k, v in r.items() if k not in ("load_id", "created_at")} for r in rows),
            key=lambda row: repr(list(row.items())),
        )
        for name, rows in state.items()
    }
