"""Which loads a fact is made of, and which rows of staging it is brought up to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import psycopg
from psycopg import sql

from etl.contracts.feed import Feed
from etl.db.statements import run, scalar
from etl.warehouse.tables import Build, Fact


class OldRows(Protocol):
    """Rows of settled loads that are in no table, and come back where they are asked for."""

    def bring_back_loads(
        self, connection: psycopg.Connection[Any], feeds: Collection[str], loads: Collection[int]
    ) -> int:
        """Put all rows of feeds that some loads brought back into staging; how many."""

    def bring_back_claims(
        self,
        connection: psycopg.Connection[Any],
        feeds: Collection[str],
        claims: sql.Composable,
        values: Mapping[str, Any],
        loads: Collection[int],
    ) -> int:
        """Put what loads brought of the claims of a query back, and what lies with it."""


@dataclass(frozen=True, slots=True)
class CurrentLoad:
    """The current load and the build that it goes into.

    ``old_rows``: what staging does not have of the loads before it, if it lacks any.
    ``newest_day``: that of the newest batch of a full load.
    """

    load_id: int
    build: Build
    old_rows: OldRows | None = None
    newest_day: date | None = None


@dataclass(frozen=True, slots=True)
class Corrected:
    """Rows that were corrected in staging: where they are, and the load that corrected them.

    ``displaces``: whether one of them took the place of a row that had been loaded.
    """

    lines: list[int]
    made_by: int
    displaces: bool


@dataclass(frozen=True, slots=True)
class FactLoads:
    """The loads from which the latest states of the facts that a load names are found.

    ``build_loads``: those that may have brought these facts, in the order of their batches, each
    with whether it is a snapshot; the load alone where its batch is the latest, because then its
    rows are the latest states. ``holding``: those that did bring some of them, in whose partitions
    of staging alone is looked; without it all.
    """

    load_id: int
    build_loads: list[tuple[int, bool]]
    corrected: Corrected | None = None
    holding: list[int] | None = None

    @property
    def is_late(self) -> bool:
        """Whether other batches may have brought later states."""
        return len(self.build_loads) > 1 or self.corrected is not None

    @property
    def is_snapshot(self) -> bool:
        """Whether the load ends what it lacks."""
        return self.corrected is None and (self.load_id, True) in self.build_loads

    @property
    def displaces(self) -> bool:
        """Whether a corrected row took the place of one that had been loaded."""
        return self.corrected is not None and self.corrected.displaces

    @property
    def values(self) -> dict[str, Any]:
        """What the statements bind."""
        build_loads = [load_id for load_id, _ in self.build_loads]
        return {
            "load_id": self.load_id,
            "build_loads": build_loads,
            "holding": build_loads if self.holding is None else self.holding,
            "snapshots": [is_snapshot for _, is_snapshot in self.build_loads],
            "is_snapshot": self.is_snapshot,
            "lines": self.corrected.lines if self.corrected else None,
            "current_load_id": self.corrected.made_by if self.corrected else self.load_id,
        }

    def is_current(self, alias: str = "s") -> sql.Composable:
        """Whether the facts are brought up to a row of staging."""
        of_load = sql.SQL("{}.load_id = %(load_id)s").format(sql.Identifier(alias))
        if self.corrected is None:
            return of_load
        of_lines = sql.SQL("{}.source_line = any(%(lines)s)").format(sql.Identifier(alias))
        return sql.SQL("{} and {}").format(of_load, of_lines)


def find(
    connection: psycopg.Connection[Any],
    fact: Fact,
    current_load: CurrentLoad,
    corrected: Corrected | None = None,
) -> FactLoads:
    """The loads that a load of this fact, or its corrected rows, have to be seen with."""
    build_loads = of_feed(connection, fact.feed, current_load)
    if corrected is None and build_loads[-1][0] == current_load.load_id:
        build_loads = build_loads[-1:]
    return FactLoads(current_load.load_id, build_loads, corrected)


def holding(
    connection: psycopg.Connection[Any],
    feed: Feed,
    values: dict[str, Any],
    claims: sql.Composable,
    old_rows: OldRows | None = None,
) -> list[int]:
    """Those of ``build_loads`` that brought any of the claims of a query.

    Their rows are in staging afterwards, if ``old_rows`` has any of them.
    """
    if old_rows is not None:
        old_rows.bring_back_claims(connection, [feed.name], claims, values, values["build_loads"])
    parts = {"staging": sql.Identifier(feed.table), "claims": claims}
    return scalar(connection, "facts/loads.holding", values, **parts)


def of_feed(
    connection: psycopg.Connection[Any], feed: Feed, current_load: CurrentLoad
) -> list[tuple[int, bool]]:
    """The loads of a feed in the facts, and the current one, in the order of their batches."""
    values = {"feed": feed.name, "load_id": current_load.load_id, **current_load.build.values}
    return run(connection, "facts/loads.build_loads", values).fetchall()
