"""A cluster of Citus for tests, where its library or the address of one is found."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl.access.roles import LOADER
from etl.config import ROOT, Settings
from etl.errors import AcaError
from etl.pipeline import swap
from etl.schema import repeatable
from etl.schema.objects import SchemaObject
from etl.server import citus, nodes, server
from etl.warehouse.tables import LIVE, Schemas

# Where people read.
_OF_READERS = (LIVE.schemas.as_known, LIVE.schemas.mart, *LIVE.schemas.masked)


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


@contextmanager
def coordinator(server_folder: Path) -> Iterator[str]:
    """The URL of a coordinator with two workers, on which the loader may act."""
    programs()  # skips before there is a folder
    folder = Path(tempfile.mkdtemp(prefix="aca-layout-", dir=server_folder))
    settings = settings_in(folder)
    try:
        nodes.up(settings, lambda _: None, LOADER)
        yield server.ensure_running(settings)
    finally:
        nodes.remove(settings)
        shutil.rmtree(folder)


def leave_out_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let loads run on a cluster without what it cannot give to readers (docs/cluster.md).

    Without the views and policies that Citus refuses, those that keep it from adding months to
    facts, and locks against readers when a build goes live.
    """
    make_usually = repeatable._make

    def make(
        connection: psycopg.Connection[Any],
        entry: SchemaObject,
        schemas: Schemas,
        *,
        is_sent_on: bool,
    ) -> bool:
        place = entry.place
        if is_sent_on and (place.schema in _OF_READERS or place.name.endswith("_as_known_at")):
            return True
        try:
            with connection.transaction():
                return make_usually(connection, entry, schemas, is_sent_on=is_sent_on)
        except (psycopg.NotSupportedError, psycopg.InternalError):
            return True

    lock_usually = swap._let_reports_end
    monkeypatch.setattr(repeatable, "_make", make)
    monkeypatch.setattr(
        swap,
        "_let_reports_end",
        lambda run: None if repeatable.layout.is_cluster(run.work) else lock_usually(run),
    )
