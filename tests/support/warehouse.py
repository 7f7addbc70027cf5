"""Whole runs: a warehouse of its own for each test, driven as the command line drives it."""

from __future__ import annotations

import os
import shutil
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from etl.config import Settings
from etl.contracts.checks import CRITICAL, Finding
from etl.db.connection import connect, set_config, set_search_path
from etl.pipeline import commands
from etl.pipeline.session import RunContext, open_run
from etl.pipeline.status import Overview, overview
from etl.pipeline.summary import Summary
from etl.quality.runner import CheckReport, run_sql_checks
from etl.stages.cubes.definitions import definition
from etl.synthetic import marker
from etl.warehouse.code_sets import GROWING
from etl.warehouse.details import DETAILS
from etl.warehouse.tables import CUBES, DIMENSIONS, FACTS, LIVE
from tests.support.databases import copy, fresh_database, url_of
from tests.support.feeds import write_batch
from tests.support.processes import Command, Ended
from tests.support.watching import Silent

Contents = dict[str, list[tuple[Any, ...]]]


@dataclass
class Warehouse:
    """A database and an inbox."""

    url: str
    inbox: Path
    data: Path
    connection: psycopg.Connection[Any]
    watcher: Silent = field(default_factory=Silent)

    def find_tables_as_readers(self) -> None:
        """Find tables without a schema where readers do, as the documented reports name them."""
        path = ", ".join(LIVE.schemas.readers_path)
        set_config(self.connection, "search_path", path, is_local=False)

    def environment(self, **more: str) -> dict[str, str]:
        given = {"DATABASE_URL": self.url, "DATABASE_URL_FILE": ""}
        places = {"INBOX": str(self.inbox), "DATA_DIR": str(self.data)}
        return {**os.environ, **given, **places, **more}

    def start(self, *arguments: str, **environment: str) -> Command:
        """Begin ``python -m etl ...``."""
        return Command(*arguments, environment=self.environment(**environment))

    def command(self, *arguments: str, **environment: str) -> Ended:
        """Run ``python -m etl ...`` to its end."""
        return self.start(*arguments, **environment).ended()

    @contextmanager
    def pipeline(
        self, reject_share: float = 0.05, checks: Callable[[], object] | None = lambda: None
    ) -> Iterator[RunContext]:
        """A run inside the test's own process.

        ``checks``: what is called in place of all the checks, which have tests of their own and
        take seconds; ``None`` runs them.
        """
        settings = Settings(self.url, self.inbox, self.data, reject_share)
        self.watcher = Silent()
        now = partial(marker.now, self.inbox)
        with open_run(self.url, settings, self.watcher, "test", now) as context:
            if checks is not None:
                context.checks = lambda *_: (checks(), CheckReport(0, 0, 0, 0, ()))[1]
            yield context

    def overview(self) -> Overview:
        """What ``make status`` says of it."""
        return overview(self.url, self.inbox, marker.now(self.inbox))

    def incremental(self, reject_share: float = 0.05) -> Summary:
        """Load what is pending, without the checks, which have tests of their own."""
        with self.pipeline(reject_share) as pipeline:
            commands.run_stages(pipeline, ("stage", "dims", "facts"))
            summary = commands.run_cubes(pipeline)
        failures = [result for gate in summary.gates for result in gate.failures]
        assert [r.check.name for r in failures if r.found is None] == [], "not evaluated"
        assert differing_cubes(self.connection) == []
        return summary

    def rebuild(self, reject_share: float = 0.05) -> Summary:
        """Rebuild from the whole inbox, likewise without the checks."""
        with self.pipeline(reject_share) as pipeline:
            return commands.full_load(pipeline)

    def run(self, command: Callable[..., Any], *arguments: Any, **choices: Any) -> Any:
        """Run one command of the pipeline without the checks; its result."""
        with self.pipeline() as pipeline:
            return command(pipeline, *arguments, **choices)

    def send(self, batch_id: str, *described: Any, **feeds: Any) -> Path:
        """Write a batch folder into the inbox, as ``write_batch`` does."""
        return write_batch(self.inbox, batch_id, *described, **feeds)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def column(self, query: str) -> list[Any]:
        """The values of a query of one column."""
        return [value for (value,) in self.rows(query)]

    def value(self, query: str) -> Any:
        """The only value of a query."""
        (value,) = self.column(query)
        return value

    def clear(self) -> None:
        """Empty the inbox and every table but the calendar and the geography.

        A trigger of the member dimension empties its limited copy.
        """
        shutil.rmtree(self.inbox)
        self.inbox.mkdir()
        tables = self.column(
            "select format('%I.%I', schemaname, tablename) from pg_tables "
            "where schemaname in ('staging', 'warehouse', 'internal', 'ledger', 'quality') "
            "and tablename not in ('dim_date', 'dim_geography', 'dim_member_limited') "
            "or (schemaname, tablename) = ('access', 'row_fingerprint')"
        )
        self.connection.execute(f"truncate {', '.join(tables)} restart identity")

    def contents(self, *, keys: bool = True) -> Contents:
        """Every row of dimensions and facts, load ids and clock times apart."""
        entries = (*DIMENSIONS.values(), *FACTS.values(), *DETAILS)
        tables = (*GROWING, *(entry.table for entry in entries))
        found = {}
        for table in tables:
            columns = [
                name
                for (name,) in self.rows(
                    "select column_name from information_schema.columns where "
                    f"table_schema = 'warehouse' and table_name = '{table}' order by 1"
                )
                if name not in ("load_id", "created_at") and (keys or not name.endswith("_sk"))
            ]
            found[table] = self.rows(
                f"select {', '.join(columns)} from warehouse.{table} order by {table}::text"
            )
            found[table].sort(key=repr)
        return found


# Fills an empty warehouse; and gives a copy of one that a load has filled.
Load = Callable[[Warehouse], object]
CopyOf = Callable[[Load], Warehouse]


@contextmanager
def fresh_warehouse(admin_url: str, template: str, inbox: Path, data: Path) -> Iterator[Warehouse]:
    """A warehouse in a database of its own, copied from a template."""
    with fresh_database(admin_url, template) as url, connect(url, "test") as connection:
        yield Warehouse(url, inbox, data, connection)


class LoadedOnce:
    """Warehouses that are loaded once in a process; each test works in a copy.

    A load is a function that is given an empty warehouse. It takes ten times as long as a copy of
    what it leaves: the database, the inbox and the data folder.
    """

    def __init__(self, admin_url: str, template: str, folder: Path) -> None:
        self._admin_url, self._template, self._folder = admin_url, template, folder
        self._made: dict[Load, tuple[str, Path]] = {}

    @contextmanager
    def copy(self, load: Load, folder: Path) -> Iterator[Warehouse]:
        """A copy, its inbox and data in a folder of the test."""
        if load not in self._made:
            self._made[load] = self.make(load, f"loaded_{len(self._made) + 1}")
        database, made = self._made[load]
        shutil.copytree(made, folder, dirs_exist_ok=True)
        with fresh_warehouse(
            self._admin_url, database, folder / "inbox", folder / "data"
        ) as warehouse:
            yield warehouse

    def make(self, load: Load, name: str) -> tuple[str, Path]:
        """Load; the database that holds it, and the folder of inbox and data."""
        folder, database = self._folder / name, f"test_{name}"
        (folder / "inbox").mkdir(parents=True)
        with psycopg.connect(self._admin_url, autocommit=True) as server:
            copy(server, self._template, database)
        url = url_of(self._admin_url, database)
        with connect(url, "test") as connection:
            load(Warehouse(url, folder / "inbox", folder / "data", connection))
        return database, folder


def differing_cubes(connection: psycopg.Connection[Any]) -> list[str]:
    """Cubes that are not what their definitions say."""
    found = []
    with connection.transaction():
        set_search_path(connection, LIVE.schemas.path)
        for name, cube in CUBES.items():
            rows = connection.execute(sql.SQL("select * from {}").format(sql.Identifier(name)))
            if Tally(rows) != Tally(connection.execute(definition(cube))):
                found.append(name)
    return found


def found_by(connection: psycopg.Connection[Any], name: str) -> Finding:
    """What one SQL check finds."""
    ((_, found),) = run_sql_checks(connection, LIVE, wanted=lambda check: check.name == name)
    assert found is not None
    return found


def failed_critical(connection: psycopg.Connection[Any]) -> set[str]:
    """Critical checks in SQL that fail; others may fail on the text that fills the feeds."""
    return {
        check.name
        for check, found in run_sql_checks(
            connection, LIVE, wanted=lambda check: check.severity == CRITICAL
        )
        if found is None or found.rows_failed
    }
