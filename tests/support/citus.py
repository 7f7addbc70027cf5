"""A cluster of Citus for tests, where its library or the address of one is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etl.config import ROOT, Settings
from etl.errors import AcaError
from etl.server import citus


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
