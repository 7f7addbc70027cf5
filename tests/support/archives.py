"""What is in an archive of rows whose retention is over, and in files of settled staging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from etl.contracts.checks import CRITICAL
from etl.quality.runner import run_share
from etl.quality.share import Look
from etl.retention.staging_archive import StagingArchive
from etl.warehouse.tables import LIVE
from tests.support.warehouse import Warehouse

WHOLE = Look((), 0)


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of every file of an archive by the name of the file."""
    return {p.name: pq.read_table(p).to_pylist() for p in sorted(folder.glob("*.parquet"))}


def failed_with_files(warehouse: Warehouse, look: Look = WHOLE) -> set[str]:
    """Critical checks that fail, those of claims asked of tables and files."""
    answers = run_share(
        warehouse.connection,
        LIVE,
        look,
        [],
        wanted=lambda check: check.severity == CRITICAL,
        archive=StagingArchive(warehouse.data / "staging-archive"),
    )
    return {check.name for check, found in answers if found is None or found.rows_failed}
