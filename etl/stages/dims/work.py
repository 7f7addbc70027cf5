"""What the steps of a dimension share: its load, its statements and their temporary tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import psycopg
from psycopg import sql

from etl.db.statements import begin_step, statement
from etl.stages import tables
from etl.stages.dims import fragments, versions
from etl.warehouse.tables import Build, Dimension, Schemas

_EARLIEST = datetime(1, 1, 1)


@dataclass(frozen=True, slots=True)
class FeedLoad:
    """A feed of the current load: its batch's ``as_of``, whether it is a snapshot, its build."""

    load_id: int
    as_of: datetime
    is_snapshot: bool
    build: Build


@dataclass(frozen=True, slots=True)
class Watermark:
    """How the current load compares with the others of its feed (UTC).

    ``known_until``: the latest instant at which a row of the others took effect. ``out_of_order``:
    one of them has a later batch. ``may_repeat``: its file may name a key twice. ``rows``: of its
    file; none where the load has no file.
    """

    known_until: datetime
    out_of_order: bool
    may_repeat: bool
    rows: int | None


class DimensionWork:
    """One dimension and load: runs the statements of ``sql/dims/`` for them.

    Temporary tables last until the work ends, so that the next dimension may make its own.
    ``schemas``: those of the build in the layout that it has.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        dimension: Dimension,
        load: FeedLoad,
        schemas: Schemas,
        rekey_reason: str = "rebuilt",
    ) -> None:
        self.connection = connection
        self.dimension = dimension
        self.load = load
        self.schemas = schemas
        self.rekey_reason = rekey_reason
        self.parts = {**fragments.of_dimension(dimension)}
        self.temporary: list[str] = []
        self.values: dict[str, Any] = {
            "load_id": load.load_id,
            "as_of": load.as_of,
            "is_snapshot": load.is_snapshot,
            **load.build.values,
            "feed": dimension.feed.name,
            "hash_version": dimension.hash_version,
        }
        self.run("1_arrivals.create_build_load", makes="build_load")
        self.file_columns: dict[int, list[str]] = dict(self.run("1_arrivals.file_columns"))
        self.watermark = self._watermark()
        self.is_first = versions.last_sk(connection, dimension) == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Make room for the next dimension; a failed statement ends the transaction anyway."""
        if exception[0] is None:
            tables.drop(self.connection, *reversed(self.temporary))

    def run(
        self,
        name: str,
        parts: Mapping[str, sql.Composable] | None = None,
        *,
        makes: str | None = None,
        **values: Any,
    ) -> psycopg.Cursor[Any]:
        """Run ``sql/dims/<name>``; ``makes``: the temporary table that it leaves."""
        begin_step(f"dims/{name}")
        cursor = self.connection.execute(self.text(name, parts), {**self.values, **values})
        if makes is not None:
            self.temporary.append(makes)
        return cursor

    def drop(self, table: str) -> None:
        """Drop a temporary table before the work ends."""
        tables.drop(self.connection, table)
        self.temporary.remove(table)

    def text(self, name: str, parts: Mapping[str, sql.Composable] | None = None) -> sql.Composed:
        """The statement ``sql/dims/<name>`` for this dimension."""
        return statement(f"dims/{name}", **self.parts, **(parts or {}))

    def row(self, name: str) -> tuple[Any, ...]:
        """The row of a statement that always gives one."""
        (found,) = self.run(name).fetchall()
        return tuple(found)

    def insert(self, name: str) -> int:
        """Add the versions that a query of ``sql/dims/`` gives; how many."""
        last_sk = versions.last_sk(self.connection, self.dimension)
        return versions.insert(
            self.connection, self.dimension, self.text(name), {**self.values, "last_sk": last_sk}
        )

    def analyze(self, table: str) -> None:
        """Gather statistics of a temporary table for the joins that follow."""
        tables.analyze(self.connection, table)

    def analyze_dimension(self, changed: int) -> None:
        """Renew the planner's statistics if enough has changed for it to matter."""
        if changed and tables.are_stale(self.connection, self.dimension.table):
            versions.analyze(self.connection, self.dimension)

    def loads_without(self) -> dict[str, list[int]]:
        """Attributes that the files of some loads have and others lack, with the loads without.

        Whether a row says since when it is true, or that it is gone, concerns that row alone.
        """
        found = {}
        for column in (*self.dimension.drivers, *self.dimension.type_1):
            loads = [n for n, columns in self.file_columns.items() if column not in columns]
            if column != self.dimension.feed.effective and 0 < len(loads) < len(self.file_columns):
                found[column] = loads
        return found

    def _watermark(self) -> Watermark:
        known_until, is_late, may_repeat, rows = self.row("1_arrivals.watermark")
        return Watermark(known_until or _EARLIEST, bool(is_late), bool(may_repeat), rows)
