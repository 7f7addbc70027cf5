"""What the quality checks cost: all of them, against a plain COPY and a plain scan of the tables.

The scan reads every table that contracts describe once and counts its rows. No check can cost
less, and a table that several checks read is scanned once for all of them in the ideal case.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

from measuring import ratio_cells, show_table, timed
from psycopg import sql

from etl.db.connection import connect, set_search_path
from etl.db.statements import run
from etl.quality.runner import CheckResult, run_checks
from etl.render.expectations import suites
from etl.warehouse.tables import LIVE

_IMPORT = "import great_expectations"


def measure(url: str, rounds: int) -> dict[str, Any]:
    """Seconds of all the checks and of the scans; the best round counts.

    Great Expectations is imported before, and its seconds are listed apart: a run of its own
    imports it while the first checks are at work. ``SystemExit`` where a check cannot be evaluated.
    """
    imported = timed(["-c", _IMPORT])["wall"]
    importlib.import_module(_IMPORT.split()[-1])
    checks, scans = zip(*((_all_checks(url), _scans(url)) for _ in range(rounds)), strict=True)
    return {
        "import_seconds": imported,
        "checks_seconds": round(min(checks), 2),
        "scan_seconds": round(min(scans), 2),
    }


def show(result: dict[str, Any], floor: float) -> None:
    """Print the measurements as a table of seconds and ratios to ``floor``, the plain COPY."""
    rows = (
        ("all checks", result["checks_seconds"]),
        ("importing Great Expectations, apart", result["import_seconds"]),
        ("one scan of every table that is checked", result["scan_seconds"]),
    )
    show_table(
        "The checks; plain COPY of all files = 1",
        ("what", "seconds", "ratio"),
        ((what, *ratio_cells(spent, floor)) for what, spent in rows),
    )


def _all_checks(url: str) -> float:
    """Seconds of a whole run of the checks, its record included."""

    def evaluated(result: CheckResult) -> None:
        if result.found is None:
            raise SystemExit(f"{result.check.name} could not be evaluated.")

    with connect(url, "aca-warehouse bench") as connection:
        started = time.perf_counter()
        run_checks(connection, url, LIVE, evaluated)
        return time.perf_counter() - started


def _scans(url: str) -> float:
    """Seconds of one scan of each table with a contract."""
    with connect(url, "aca-warehouse bench") as connection, connection.transaction():
        set_search_path(connection, LIVE.schemas.path)
        started = time.perf_counter()
        for suite in suites():
            run(connection, "bench/floor.scan", table=sql.Identifier(suite.table))
        return time.perf_counter() - started
