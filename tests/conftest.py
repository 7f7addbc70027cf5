"""Fixtures that give tests a real PostgreSQL: one server a process, one database a test.

The server is the project's embedded one in a folder of its own, so that no test can touch a real
warehouse. Each process of ``pytest -n`` starts a new server, which keeps its files in memory where
there is room and never waits for the disk. A migrated template database is made once; each test's
database is a copy of it.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

from etl.config import ROOT, Settings
from etl.db.connection import connect, set_search_path
from etl.pipeline.session import open_run
from etl.server import server
from etl.server.tuning import core_count
from etl.stages.cubes.refresh import run_cubes
from etl.warehouse.tables import LIVE
from tests.support.databases import drop, fresh_database, url_of
from tests.support.watching import Silent

# How many examples a test draws that does not say so itself, and whether always the same ones;
# pytest --hypothesis-profile=long chooses the other.
settings.register_profile("same", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("long", max_examples=20_000, deadline=None, derandomize=False)
settings.load_profile("same")

TEMPLATE = "aca_template"
MOST_WORKERS = 4
# Where Linux keeps files in memory, and the bytes that all servers together may come to need. Each
# test's database is a copy of hundreds of small files: on a disk that is a third of the time.
MEMORY = Path("/dev/shm")
ROOM = 6 << 30
# Settings that lose data in a crash, which does not matter here. Tests of the server start servers
# of their own with the product's settings. Whenever a database is copied or dropped, the server
# goes through all of its buffers, so it has few; and a client spends more time on the rounds of its
# password than on all else that it takes to connect.
FOR_TESTS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "min_wal_size": "64MB",
    "max_wal_size": "512MB",
    "shared_buffers": "128MB",
    "scram_iterations": "1",
    "io_method": "sync",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many processes ``-n auto`` means: one more than cores, at most ``MOST_WORKERS``.

    A test and its server take turns, and both wait at times: a process keeps no core busy.
    """
    return min(core_count() + 1, MOST_WORKERS)


class Durations:
    """Keeps the seconds of each test from run to run, so that the slowest modules go first.

    At the end of a run no process is then left with a long module while the others are idle.
    ``make test ARGS=--durations=40`` lists the slowest tests.
    """

    FILE = "aca/durations"

    def __init__(self, config: pytest.Config) -> None:
        self.cache = getattr(config, "cache", None)  # pytest may be run without one
        self.is_kept = not hasattr(config, "workerinput")  # by the process that hands out tests
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        known = self.cache.get(self.FILE, {}) if self.cache else {}
        of_module: dict[Path, float] = {}
        for item in items:
            of_module[item.path] = of_module.get(item.path, 0) + known.get(item.nodeid, 0)
        items.sort(key=lambda item: -of_module[item.path])

    def pytest_sessionfinish(self) -> None:
        if self.cache and self.is_kept and self.seconds:
            before = self.cache.get(self.FILE, {})
            rounded = {test: round(seconds, 2) for test, seconds in self.seconds.items()}
            self.cache.set(self.FILE, {**before, **rounded})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--server", type=Path, help="folder of a server that stays when tests end")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Durations(config))
    # What ends a run is to be seen at once; trials of what follows say how long it is tried again.
    os.environ["RETRY_MINUTES"] = "0"


def servers_folder() -> Path:
    """Where the servers of tests live: in memory where it has room for them, else in ``data``."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        return MEMORY / f"aca-tests-{os.getuid()}"
    return ROOT / "data" / "test"


@pytest.fixture(scope="session")
def kept_server(pytestconfig: pytest.Config) -> Path | None:
    """The folder of a server that stays when the tests end; whoever asks for it removes it."""
    return pytestconfig.getoption("--server")


@pytest.fixture(scope="session")
def server_folder(kept_server: Path | None) -> Iterator[Path]:
    """A folder that no other process has, in this session or another."""
    if kept_server is not None:
        yield kept_server
        return
    for number in itertools.count(1):
        folder = servers_folder() / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "taken").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield folder
            return


@pytest.fixture(scope="session")
def server_settings(server_folder: Path, kept_server: Path | None) -> Iterator[Settings]:
    """Settings of the process's own server, which is removed at the end."""
    settings = Settings("", server_folder / "inbox", server_folder, reject_share=0.05)
    if kept_server is None:
        server.remove(settings)  # what a killed session left
    if not server.is_there(settings):
        _set_up(settings)
    yield settings
    if kept_server is None:
        server.remove(settings)


def _set_up(settings: Settings) -> None:
    """Make a server with the settings of tests; some are read when it starts."""
    with psycopg.connect(server.ensure_running(settings), autocommit=True) as connection:
        for name, value in FOR_TESTS.items():
            connection.execute(
                sql.SQL("alter system set {} = {}").format(sql.Identifier(name), sql.Literal(value))
            )
    server.stop(settings)
    with psycopg.connect(server.ensure_running(settings), autocommit=True) as connection:
        connection.execute(
            sql.SQL("alter role {} password {}").format(
                sql.Identifier(connection.info.user), sql.Literal(connection.info.password)
            )
        )


@pytest.fixture(scope="session")
def admin_url(server_settings: Settings) -> str:
    """URL of the process's server."""
    return server.ensure_running(server_settings)


@pytest.fixture(scope="session")
def template(admin_url: str, server_settings: Settings) -> str:
    """A database as ``make migrate cubes`` leaves it, which tests are copied from."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        there = [name for (name,) in connection.execute("select datname from pg_database")]
        for name in there:
            if name.startswith("test_"):  # what the last session left
                drop(connection, name)
        if TEMPLATE not in there:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(TEMPLATE)))
            address = url_of(admin_url, TEMPLATE)
            with (
                open_run(address, server_settings, Silent(), "migrate") as context,
                context.work.transaction(),
            ):
                # Empty cubes: else each test's first load would make all of them.
                set_search_path(context.work, LIVE.schemas.path)
                run_cubes(context.work)
    return TEMPLATE


@pytest.fixture
def empty_url(admin_url: str) -> Iterator[str]:
    """URL of an empty database."""
    with fresh_database(admin_url, "template0") as url:
        yield url


@pytest.fixture
def database_url(admin_url: str, template: str) -> Iterator[str]:
    """URL of a fresh database with the migrated schema."""
    with fresh_database(admin_url, template) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """An autocommit connection to a fresh database with the migrated schema."""
    with connect(database_url, "test") as connection:
        yield connection


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """An empty inbox."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder
