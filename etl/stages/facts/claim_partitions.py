"""Partitions of ``fact_claim``: those of months that have none yet are filled before attaching."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import run

_FILE = "facts/5_claim_partitions"


def insert(
    connection: psycopg.Connection[Any],
    schema: str,
    values: dict[str, Any],
    parts: dict[str, sql.Composable],
) -> tuple[int, int]:
    """Insert the claims that are new to the fact: their number and that of new partitions."""
    found = run(connection, f"{_FILE}.months", {**values, "schema": schema}, **parts).fetchall()
    new_months = [month for month, is_new in found if is_new]

    def insert_into(table: str, *, into_new: bool) -> int:
        return run(
            connection,
            "facts/6_claim_rows.insert_new",
            {**values, "new_months": new_months, "into_new": into_new},
            target=sql.Identifier(table),
            **parts,
        ).rowcount

    inserted = 0
    if new_months:
        _create(connection, new_months)
        inserted += insert_into("fact_claim_loading", into_new=True)
        _attach(connection, new_months)
    if len(new_months) < len(found):
        inserted += insert_into("fact_claim", into_new=False)
    return inserted, len(new_months)


def _create(connection: psycopg.Connection[Any], months: list[date]) -> None:
    run(connection, f"{_FILE}.create_loading")
    _run_each(connection, months, "create_partition")


def _attach(connection: psycopg.Connection[Any], months: list[date]) -> None:
    """Make the filled partitions part of the fact.

    Keys, indexes and foreign keys come after the rows, which costs a fraction of keeping them up
    row by row, and no reader waits: attaching locks out neither readers nor writers.
    """
    steps = (
        "detach",
        "add_key",
        "add_statistics",
        "add_bounds",
        "attach",
        "drop_bounds",
        "analyze",
    )
    _run_each(connection, months, *steps)
    run(connection, f"{_FILE}.drop_loading")


def _run_each(connection: psycopg.Connection[Any], months: list[date], *steps: str) -> None:
    for step in steps:
        for month in months:
            run(
                connection,
                f"{_FILE}.{step}",
                partition=sql.Identifier(f"fact_claim_{month:%Y_%m}"),
                month=sql.Literal(month),
                next=sql.Literal(_next_month(month)),
            )


def _next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
