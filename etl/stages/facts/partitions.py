"""Partitions of tables of claims: those of months that have none yet are filled before attaching.

A table is partitioned by month of ``service_date``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import names, run

_FILE = "facts/5_partitions"


@dataclass(frozen=True, slots=True)
class Partitioned:
    """A partitioned table, and the schema of its partitions.

    ``key``: the columns of its primary key. ``filtered``: the columns that joins and filters use.
    ``has_status``: whether the planner has to know of the status of its rows.
    """

    schema: str
    table: str
    key: tuple[str, ...]
    filtered: tuple[str, ...]
    has_status: bool = False

    @property
    def loading(self) -> str:
        """Name of the parent of partitions that are being filled."""
        return f"{self.table}_loading"


def insert(
    connection: psycopg.Connection[Any],
    into: Partitioned,
    statement: str,
    values: dict[str, Any],
    parts: dict[str, sql.Composable],
    days: sql.Composable,
) -> tuple[int, int]:
    """Insert the rows of a statement; their number and that of new partitions.

    ``statement``: takes ``{target}``, and inserts those of its rows whose month is among
    ``new_months`` if ``into_new``, else the others. ``days``: a query for their days of service.
    """
    asked = {**values, "schema": into.schema, "table": into.table}
    found = run(connection, f"{_FILE}.months", asked, days=days).fetchall()
    new_months = [month for month, is_new in found if is_new]

    def insert_into(table: str, *, into_new: bool) -> int:
        return run(
            connection,
            statement,
            {**values, "new_months": new_months, "into_new": into_new},
            target=sql.Identifier(table),
            **parts,
        ).rowcount

    inserted = 0
    if new_months:
        _create(connection, into, new_months)
        inserted += insert_into(into.loading, into_new=True)
        _attach(connection, into, new_months)
    if len(new_months) < len(found):
        inserted += insert_into(into.table, into_new=False)
    return inserted, len(new_months)


def _create(connection: psycopg.Connection[Any], into: Partitioned, months: list[date]) -> None:
    run(connection, f"{_FILE}.create_loading", **_names(into))
    _run_each(connection, into, months, ["create_partition"])


def _attach(connection: psycopg.Connection[Any], into: Partitioned, months: list[date]) -> None:
    """Make the filled partitions part of the table.

    Keys, indexes and foreign keys come after the rows, which costs a fraction of keeping them up
    row by row, and no reader waits: attaching locks out neither readers nor writers.
    """
    steps = [
        "detach",
        "add_key",
        *(["add_statistics"] if into.has_status else []),
        "add_bounds",
        "attach",
        "drop_bounds",
        "analyze",
    ]
    _run_each(connection, into, months, steps)
    run(connection, f"{_FILE}.drop_loading", **_names(into))


def _run_each(
    connection: psycopg.Connection[Any],
    into: Partitioned,
    months: list[date],
    steps: Iterable[str],
) -> None:
    for step in steps:
        for month in months:
            run(
                connection,
                f"{_FILE}.{step}",
                partition=sql.Identifier(f"{into.table}_{month:%Y_%m}"),
                month=sql.Literal(month),
                next=sql.Literal(_next_month(month)),
                **_names(into),
            )


def _names(into: Partitioned) -> dict[str, sql.Composable]:
    return {
        "table": sql.Identifier(into.table),
        "loading": sql.Identifier(into.loading),
        "key": names(into.key),
        "filtered": names(into.filtered),
    }


def _next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
