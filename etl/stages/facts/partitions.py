"""Partitions of tables of claims: those that are not there yet are filled before attaching.

A table is partitioned by ``service_date``: by month in the last years, by year before them, since
each partition costs every statement time and a lock. A full load decides from which year on. On a
cluster all are of years: each has a part for each part of the table, made one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from etl.db.statements import names, run, scalar
from etl.schema import layout
from etl.stages.facts.fact_loads import CurrentLoad
from etl.warehouse.details import DETAILS
from etl.warehouse.tables import FACT_CLAIM

_FILE = "facts/5_partitions"
# At least so many months up to the newest one have partitions of their own, from a January on.
MONTHS = 36
# The tables that have partitions by day of service; all have the same.
TABLES = (FACT_CLAIM.table, *(detail.table for detail in DETAILS))
_ALL = sql.SQL(", ").join(map(sql.Literal, TABLES))


class Part(NamedTuple):
    """A partition, of a month or a year: its days up to the one after the last, and if it lacks."""

    first_day: date
    next_day: date
    is_new: bool

    @property
    def suffix(self) -> str:
        """What its name has after that of the table."""
        is_of_year = self.next_day.year > self.first_day.year and self.first_day.month == 1
        return f"{self.first_day:%Y}" if is_of_year else f"{self.first_day:%Y_%m}"


@dataclass(frozen=True, slots=True)
class Partitioned:
    """A partitioned table.

    ``key``: the columns of its primary key. ``filtered``: the columns that joins and filters use.
    ``current_load``: the load and its build, which decide what partitions are of.
    ``has_status``: whether the planner has to know of the status of its rows.
    ``is_filled_on_workers``: whether new partitions lie there before they are filled.
    """

    table: str
    key: tuple[str, ...]
    filtered: tuple[str, ...]
    current_load: CurrentLoad
    has_status: bool = False
    is_filled_on_workers: bool = False

    @property
    def loading(self) -> str:
        """Name of the parent of partitions that are being filled."""
        return f"{self.table}_loading"


def insert(
    connection: psycopg.Connection[Any],
    into: Partitioned,
    name: str,
    values: dict[str, Any],
    parts: dict[str, sql.Composable],
    days: sql.Composable,
) -> tuple[int, int]:
    """Insert the rows of a named statement; their number and that of new partitions.

    The statement takes ``{target}``, and inserts those of its rows that are wanted there
    (``is_wanted``). ``parts``: with ``day``, the column of a row that has its day of service.
    ``days``: a query for these days.
    """
    build = layout.found(connection, into.current_load.build.schemas)
    asked = values | {
        "newest_day": into.current_load.newest_day,
        "months_before": MONTHS - 1,
        "is_on_nodes": build.has_history,
    }
    by_month = {"by_month_from": scalar(connection, f"{_FILE}.by_month_from", asked, parents=_ALL)}
    own = {"parents": sql.Literal(into.table), "day": sql.Identifier("days", "service_date")}
    query = run(connection, f"{_FILE}.parts", values | by_month, days=days, **own)
    found = [Part(*row) for row in query]
    new = [part for part in found if part.is_new]

    def insert_into(table: str, *, into_new: bool) -> int:
        return run(
            connection,
            name,
            values | by_month | {"new_days": [p.first_day for p in new], "into_new": into_new},
            target=sql.Identifier(table),
            **parts,
        ).rowcount

    inserted = 0
    if new:
        _create(connection, into, new)
        inserted += insert_into(into.loading, into_new=True)
        _attach(connection, into, new)
    if len(new) < len(found):
        inserted += insert_into(into.table, into_new=False)
    return inserted, len(new)


def _create(connection: psycopg.Connection[Any], into: Partitioned, new: list[Part]) -> None:
    run(connection, f"{_FILE}.create_loading", **_names(into))
    if into.is_filled_on_workers:
        layout.spread(connection, into.loading, into.table)
    _run_each(connection, into, new, ["create_partition"])


def _attach(connection: psycopg.Connection[Any], into: Partitioned, new: list[Part]) -> None:
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
    _run_each(connection, into, new, steps)
    run(connection, f"{_FILE}.drop_loading", **_names(into))


def _run_each(
    connection: psycopg.Connection[Any],
    into: Partitioned,
    new: list[Part],
    steps: Iterable[str],
) -> None:
    for step in steps:
        for part in new:
            run(
                connection,
                f"{_FILE}.{step}",
                partition=sql.Identifier(f"{into.table}_{part.suffix}"),
                first_day=sql.Literal(part.first_day),
                next_day=sql.Literal(part.next_day),
                **_names(into),
            )


def _names(into: Partitioned) -> dict[str, sql.Composable]:
    return {
        "table": sql.Identifier(into.table),
        "loading": sql.Identifier(into.loading),
        "key": names(into.key),
        "filtered": names(into.filtered),
    }
