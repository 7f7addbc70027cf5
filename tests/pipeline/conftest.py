"""Whole runs: a warehouse of its own for each test, driven as the command line drives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl.config import ROOT, Settings
from etl.contracts.checks import CRITICAL
from etl.db.connection import connect, set_search_path
from etl.pipeline.commands import Pipeline
from etl.pipeline.summary import Summary
from etl.quality.runner import run_sql_checks
from etl.schema.migrations import migrate
from etl.stages.cubes.refresh import definition
from etl.warehouse.tables import CUBES, LIVE
from tests.conftest import drop, url_of
from tests.watching import Silent

Contents = dict[str, list[tuple[Any, ...]]]


def _heed_hang_up() -> None:
    """Be stopped by SIGHUP also where the tests themselves are run to go on after it (nohup)."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@dataclass
class Warehouse:
    """A database and an inbox."""

    url: str
    inbox: Path
    data: Path
    connection: psycopg.Connection[Any]
    watcher: Silent = field(default_factory=Silent)

    def environment(self, **more: str) -> dict[str, str]:
        given = {"DATABASE_URL": self.url, "INBOX": str(self.inbox), "DATA_DIR": str(self.data)}
        return {**os.environ, **given, **more}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Begin ``python -m etl ...``."""
        return subprocess.Popen(
            [sys.executable, "-m", "etl", *arguments],
            cwd=ROOT,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_heed_hang_up,
        )

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m etl ...`` to its end."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=180)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def pipeline(self, reject_share: float = 0.05) -> Pipeline:
        """A run inside the test's own process."""
        settings = Settings(self.url, self.inbox, self.data, reject_share)
        self.watcher = Silent()
        return Pipeline(self.url, settings, self.watcher, "test")

    def incremental(self, reject_share: float = 0.05) -> Summary:
        """Load what is pending, without the checks, which have tests of their own."""
        with self.pipeline(reject_share) as pipeline:
            pipeline.run_stages(("stage", "dims", "facts"))
            summary = pipeline.run_cubes()
        assert differing_cubes(self.connection) == []
        return summary

    def rebuild(self, reject_share: float = 0.05) -> Summary:
        """Rebuild from the whole inbox, likewise without the checks."""
        with self.pipeline(reject_share) as pipeline:
            pipeline.run_checks = lambda *_: pipeline.summary
            return pipeline.full_load()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def contents(self, *, keys: bool = True) -> Contents:
        """Every row of dimensions and facts, load ids and clock times apart."""
        tables = (
            "dim_date dim_geography dim_member dim_plan dim_provider fact_claim fact_enrollment"
        )
        found = {}
        for table in tables.split():
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


def differing_cubes(connection: psycopg.Connection[Any]) -> list[str]:
    """Cubes that are not what their definitions say."""
    found = []
    with connection.transaction():
        set_search_path(connection, LIVE.path)
        for name, cube in CUBES.items():
            held = connection.execute(sql.SQL("select * from {}").format(sql.Identifier(name)))
            if Tally(held) != Tally(connection.execute(definition(cube))):
                found.append(name)
    return found


def failed_critical(connection: psycopg.Connection[Any]) -> set[str]:
    """Critical checks in SQL that fail. What the text that fills feeds is worth is not at issue."""
    return {
        check.name
        for check, found in run_sql_checks(connection, LIVE, ("running", "loaded"))
        if check.severity == CRITICAL and (found is None or found.rows_failed)
    }


def odd_password() -> str:
    """Every sign that means something in a URL, in key=value pairs or to a library on the way."""
    return "p@ss/w:rd?#%41$HOME${X}&a=b+c' \\\"ü"


@dataclass
class Managed(Warehouse):
    """A warehouse on a server as managed ones are: its owner is no superuser.

    ``address``: what DATABASE_URL says. ``admin``: a connection of the superuser to the same
    database; with ``server`` one to another.
    """

    owner: str = ""
    address: str = ""
    admin: psycopg.Connection[Any] = field(kw_only=True)
    server: psycopg.Connection[Any] = field(kw_only=True)
    roles: list[str] = field(default_factory=list)

    def login(self, role: str) -> str:
        """Make a role that may log in; the address by which it does."""
        identifier = sql.Identifier(role)
        self.admin.execute(
            sql.SQL("create role {} login nosuperuser password {}").format(
                identifier, odd_password()
            )
        )
        self.roles.append(role)
        return make_conninfo(self.address, user=role)


def owned(admin_url: str, owner: str, name: str) -> str:
    """The address of a database for a role."""
    parts = {"user": owner, "password": odd_password(), "dbname": name}
    return make_conninfo("", **conninfo_to_dict(admin_url) | parts)


@contextmanager
def role(admin_url: str, name: str) -> Iterator[None]:
    """A role that may log in and do no more."""
    with psycopg.connect(admin_url, autocommit=True) as server:
        made = sql.SQL("create role {} login password {}")
        server.execute(made.format(sql.Identifier(name), odd_password()))
        yield
        server.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@contextmanager
def managed_by(
    admin_url: str, owner: str, template: str, inbox: Path, data: Path
) -> Iterator[Managed]:
    """A database of this owner, a copy of the template."""
    name = "managed"
    parts = {"database": name, "owner": owner, "template": template}
    made = sql.SQL("create database {database} owner {owner} template {template} strategy wal_log")
    with psycopg.connect(admin_url, autocommit=True) as server:
        server.execute(made.format(**{k: sql.Identifier(v) for k, v in parts.items()}))
        roles: list[str] = []
        address = owned(admin_url, owner, name)
        try:
            with connect(address, "test") as own, connect(url_of(admin_url, name), "test") as admin:
                yield Managed(
                    address, inbox, data, own, Silent(), owner, address,
                    admin=admin, server=server, roles=roles,
                )  # fmt: skip
        finally:
            drop(server, name)
            for made_role in reversed(roles):
                server.execute(sql.SQL("drop role {}").format(sql.Identifier(made_role)))


@pytest.fixture
def bare(admin_url: str, inbox: Path, tmp_path: Path) -> Iterator[Managed]:
    """An empty database whose owner is no superuser, and an empty inbox."""
    with (
        role(admin_url, "bare_owner"),
        managed_by(admin_url, "bare_owner", "template0", inbox, tmp_path / "data") as managed,
    ):
        yield managed


@pytest.fixture(scope="session")
def managed_template(admin_url: str) -> Iterator[tuple[str, str]]:
    """A role that is no superuser, and a database of it with the migrated schema."""
    owner, name = "managed_owner", "managed_template"
    with role(admin_url, owner), psycopg.connect(admin_url, autocommit=True) as server:
        made = sql.SQL("create database {} owner {}")
        server.execute(made.format(sql.Identifier(name), sql.Identifier(owner)))
        migrate(owned(admin_url, owner, name))
        yield owner, name
        drop(server, name)


@pytest.fixture
def managed(
    managed_template: tuple[str, str], admin_url: str, inbox: Path, tmp_path: Path
) -> Iterator[Managed]:
    """A warehouse without a load whose owner is no superuser, and an empty inbox."""
    with managed_by(admin_url, *managed_template, inbox, tmp_path / "data") as managed:
        yield managed


@pytest.fixture
def warehouse(database_url: str, inbox: Path, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse and an empty inbox."""
    with connect(database_url, "test") as connection:
        yield Warehouse(database_url, inbox, tmp_path / "data", connection)
