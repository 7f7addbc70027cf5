"""A cluster of Citus for tests, where its library or the address of one is found."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from etl.access.roles import LOADER
from etl.config import ROOT, Settings
from etl.errors import AcaError
from etl.server import citus, nodes, server


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
