"""Batches with late and corrected rows, what a reader sees now, and as known after a load."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row

from etl.warehouse.code_sets import GROWING
from etl.warehouse.details import DETAILS
from etl.warehouse.tables import DIMENSIONS, FACTS
from tests.support.tables import Drawn, draw

TABLES = [
    *(*GROWING, *(d.table for d in DIMENSIONS.values())),
    *(f.table for f in FACTS.values()),
    *(d.table for d in DETAILS),
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

# Batch and its feeds, in the order of arrival. Z is not named by its feed before the second.
BATCHES: list[tuple[str, dict[str, Drawn]]] = [
    (
        "2025-01-10",
        {
            "members": draw("""
                member_id | last_name | email | state
                A         | a         | a@old | TX
                B         | b         |       | FL
            """),
            "plans": draw("""
                plan_id | metal_tier
                P       | Silver
            """),
            "providers": draw("""
                provider_id
                R
            """),
            "enrollments": draw("""
                enrollment_id | member_id | plan_id
                E1            | A         | P
            """),
            "claims": draw("""
                claim_id | member_id | plan_id | provider_id | service_date | status
                C1       | A         | P       | R           | 2025-01-05   |
                C2       | Z         | P       | R           | 2025-01-05   |
                C3       | B         | P       | R           | 2025-01-05   | pending
            """),
        },
    ),
    (
        "2025-02-10",
        {
            "members": draw("""
                member_id | last_name | email | state | source_updated_at
                A         | a         | a@new | TX    |
                B         | bb        |       | FL    | 2025-02-01T12:00:00Z
                Z         |           |       | OH    |
            """),
            "enrollments": draw("""
                enrollment_id | member_id | plan_id | premium_paid
                E2            | A         | P       | 7.00
            """),
            "claims": draw("""
                claim_id | member_id | plan_id | provider_id | service_date | paid_amount
                C1       | A         | P       | R           | 2025-01-05   | 11.50
                C3       | B         | P       | R           | 2025-02-03   | 10.00
            """),
        },
    ),
    (
        "2025-01-20",
        {
            "members": draw("""
                member_id | last_name | email | state
                A         | aa        | a@old | TX
            """),
            "plans": draw("""
                plan_id | metal_tier
                P       | Gold
            """),
            "claims": draw("""
                claim_id | member_id | plan_id | provider_id | service_date | status
                C1       | A         | P       | R           | 2025-01-05   | pending
                C4       | A         | P       | R           | 2025-02-25   |
            """),
        },
    ),
    (
        "2025-03-10",
        {
            "members": draw("""
                member_id | last_name | email | state | source_updated_at
                A         | between   | a@old | TX    | 2025-01-03T00:00:00Z
            """),
            "providers": draw("""
                provider_id | specialty
                R           | other
            """),
            "enrollments": draw("""
                enrollment_id | member_id | plan_id | start_date
                E2            | A         | P       | 2025-03-01
            """),
            "claims": draw("""
                claim_id | member_id | plan_id | provider_id | service_date
                C2       | Z         | P       | R           | 2025-03-05
                C5       | Y         | unheard | R           | 2025-01-05
            """),
        },
    ),
    (
        "2025-04-10",  # a snapshot of the members
        {
            "members": draw("""
                member_id | last_name | state
                B         | b         | FL
                Y         |           | OH
            """),
            "enrollments": draw("""
                enrollment_id | member_id | plan_id | premium_paid
                E1            | A         | P       | 8.00
            """),
            "claims": draw("""
                claim_id | member_id | plan_id | provider_id | service_date | paid_amount
                C4       | A         | P       | R           | 2025-01-05   | -3.33
                C6       | B         | P       | R           | 2024-12-31   | 10.00
            """),
        },
    ),
    (
        "2025-02-20",
        {
            "members": draw("""
                member_id | last_name | email | state
                A         | a         | a@old | TX
            """),
            "claims": draw("""
                claim_id | member_id | plan_id | provider_id | service_date | paid_amount
                C6       | A         | P       | R           | 2025-01-05   | 99.99
            """),
        },
    ),
]


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
    """A state without load ids and clock times, which differ after a rebuild."""
    return {
        name: sorted(
            ({k: v for k, v in r.items() if k not in ("load_id", "created_at")} for r in rows),
            key=lambda row: repr(list(row.items())),
        )
        for name, rows in state.items()
    }
