"""Fixtures of whole runs: a warehouse of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from etl.config import AlertSettings, Settings
from etl.db.connection import connect
from etl.schema.migrations import migrate
from etl.stages.stage import unchanged_rows
from tests.support import citus, rehearsal
from tests.support.databases import drop
from tests.support.looking import Record, record
from tests.support.managed import Managed, managed_by, owned, role
from tests.support.receiver import Receiver, receiving
from tests.support.warehouse import CopyOf, LoadedOnce, Warehouse, fresh_warehouse


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
    with role(admin_url, owner):
        with psycopg.connect(admin_url, autocommit=True) as server:
            made = sql.SQL("create database {} owner {}")
            server.execute(made.format(sql.Identifier(name), sql.Identifier(owner)))
        migrate(owned(admin_url, owner, name))
        yield owner, name
        with psycopg.connect(admin_url, autocommit=True) as server:
            drop(server, name)


@pytest.fixture
def managed(
    managed_template: tuple[str, str], admin_url: str, inbox: Path, tmp_path: Path
) -> Iterator[Managed]:
    """A warehouse without a load whose owner is no superuser, and an empty inbox."""
    with managed_by(admin_url, *managed_template, inbox, tmp_path / "data") as managed:
        yield managed


@pytest.fixture(scope="module")
def module_warehouse(
    admin_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Warehouse]:
    """An empty warehouse and an empty inbox for all tests of a module."""
    folder = tmp_path_factory.mktemp("module")
    (folder / "inbox").mkdir()
    with fresh_warehouse(admin_url, template, folder / "inbox", folder) as warehouse:
        yield warehouse


@pytest.fixture
def other_warehouse(admin_url: str, template: str, tmp_path: Path) -> Iterator[Warehouse]:
    """A second empty warehouse, to compare with."""
    inbox = tmp_path / "other inbox"
    inbox.mkdir()
    with fresh_warehouse(admin_url, template, inbox, tmp_path / "other data") as warehouse:
        yield warehouse


@pytest.fixture
def warehouse(database_url: str, inbox: Path, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse and an empty inbox."""
    with connect(database_url, "test") as connection:
        yield Warehouse(database_url, inbox, tmp_path / "data", connection)


@pytest.fixture(scope="session")
def loaded_once(
    admin_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> LoadedOnce:
    """What was loaded once in this process."""
    return LoadedOnce(admin_url, template, tmp_path_factory.mktemp("loaded"))


@pytest.fixture
def copy_of(loaded_once: LoadedOnce, tmp_path: Path) -> Iterator[CopyOf]:
    """Gives a test a copy of what a load leaves; the load itself is done once in a process."""
    with ExitStack() as opened:
        yield lambda load: opened.enter_context(loaded_once.copy(load, tmp_path))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A web server that takes alerts."""
    with receiving() as found:
        yield found


@pytest.fixture
def chosen(database_url: str, inbox: Path, tmp_path: Path, receiver: Receiver) -> Settings:
    return Settings(
        database_url,
        inbox,
        tmp_path / "data",
        0.05,
        alerts=AlertSettings(webhook=receiver.url, repeat_hours=4),
    )


@pytest.fixture
def looked(warehouse: Warehouse, server_settings: Settings) -> Iterator[Record]:
    """The record of a warehouse without a load."""
    with record(server_settings, warehouse.url, warehouse.data) as made:
        yield made


@pytest.fixture
def two_members(looked: Record, warehouse: Warehouse) -> Record:
    """The record of a warehouse with two members, M1 and M12."""
    warehouse.send("2025-01-10", members=[{"member_id": "M1"}, {"member_id": "M12"}])
    warehouse.incremental()
    return looked


@pytest.fixture
def fingerprints_of_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a snapshot that come again are known in files of a few rows, as in those of many."""
    monkeypatch.setattr(unchanged_rows, "ROWS", 1)
    monkeypatch.setattr(unchanged_rows, "MOST_CHANGED", 1.0)


@pytest.fixture
def on_cluster(other_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A warehouse whose builds are made in the layout of a cluster."""
    rehearsal.begin(other_warehouse.connection, monkeypatch)
    return other_warehouse


@pytest.fixture
def on_nodes(server_folder: Path, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse on a cluster of Citus; skips where there is none."""
    (tmp_path / "inbox of nodes").mkdir()
    with citus.coordinator(server_folder) as url, connect(url, "test") as connection:
        yield Warehouse(url, tmp_path / "inbox of nodes", tmp_path / "data of nodes", connection)
