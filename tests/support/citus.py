"""A cluster of Citus for tests, where its library or the address of one is found."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl.access.roles import LOADER
from etl.config import ROOT, Settings
from etl.errors import AcaError
from etl.server import citus, cluster, nodes, server
from etl.server.home import Home
from tests.support.processes import Command, Ended


def programs() -> Path:
    """The programs that make a cluster; skips the test, with the reason, where there are none."""
    given = os.environ.get("CITUS_PROGRAMS", "")
    folder = (ROOT / given).resolve() if given else None
    try:
        return citus.programs(Settings("", ROOT, ROOT, 0.05, citus_programs=folder))
    except AcaError as error:
        pytest.skip(error.message)


def settings_in(folder: Path) -> Settings:
    """The settings of a cluster with its data in a folder of the test."""
    folder.chmod(0o755)
    data = folder / "data"
    return Settings("", folder / "inbox", data, 0.05, cluster=True, citus_programs=programs())


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@dataclass
class Cluster:
    """A cluster as commands have it: started and fixed by whichever needs it."""

    settings: Settings
    environment: dict[str, str]

    @property
    def url(self) -> str:
        return server.ensure_running(self.settings)

    def ask(self, query: str, **login: str) -> Any:
        with psycopg.connect(self.url, autocommit=True, **login) as connection:
            cursor = connection.execute(query)
            return cursor.fetchone()[0] if cursor.description else None

    def start(self, *arguments: str) -> Command:
        return Command(*arguments, environment=self.environment)

    def command(self, *arguments: str) -> Ended:
        return self.start(*arguments).ended()

    def node(self, name: str) -> Home:
        base = self.settings.data / "cluster"
        pointer = base / "location"
        place = Path(pointer.read_text().strip()) if pointer.exists() else base
        return replace(nodes.coordinator(self.settings), state=place / name, base=place / name)

    def kill(self, name: str) -> None:
        found = cluster.postmaster(self.node(name))
        assert found is not None
        found.kill()
        wait_until(lambda: cluster.postmaster(self.node(name)) is None)


@contextmanager
def cluster_in(server_folder: Path, prefix: str) -> Iterator[Cluster]:
    """A cluster that is not made yet, and goes afterwards, with a folder and an inbox of its own.

    Skips where there are no programs that make one.
    """
    found = programs()
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=server_folder))
    settings = settings_in(folder)
    environment = {
        **os.environ,
        **dict.fromkeys(("DATABASE_URL", "DATABASE_URL_FILE"), ""),
        "CITUS_PROGRAMS": str(found),
        "INBOX": str(settings.inbox),
        "DATA_DIR": str(settings.data),
    }
    try:
        yield Cluster(settings, environment)
    finally:
        nodes.remove(settings)
        shutil.rmtree(folder)


@contextmanager
def coordinator(server_folder: Path) -> Iterator[str]:
    """The URL of a coordinator with two workers, on which the loader may act."""
    with cluster_in(server_folder, "aca-layout-") as made:
        nodes.up(made.settings, lambda _: None, LOADER)
        yield made.url
