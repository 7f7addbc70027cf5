"""From which day on rows are kept: what the ledger says, and what folders of the archive do."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import psycopg

from etl.db.statements import scalar

_FOLDER = re.compile(r"before-(\d{4}-\d{2}-\d{2})(-\d+)?")


def in_force(connection: psycopg.Connection[Any]) -> date | None:
    """The day before which rows have gone; ``None`` if nobody ever let any go."""
    return scalar(connection, "retention/run.horizon")


def folder_of(horizon: date, number: int = 1) -> str:
    """The name of a folder of the archive; ``number``: of those of one horizon."""
    return f"before-{horizon}" + (f"-{number}" if number > 1 else "")


def newest_of(archive: Path) -> date | None:
    """The latest horizon that an archive has a folder of."""
    folders = archive.iterdir() if archive.is_dir() else ()
    found = (_FOLDER.fullmatch(folder.name) for folder in folders)
    return max((date.fromisoformat(match[1]) for match in found if match), default=None)
