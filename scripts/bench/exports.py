"""What an export costs next to a plain COPY of the same table, and how fast a laptop answers then.

The claims are exported as an analyst reads them, in each format but the workbook, whose sheets end
at a million rows. Then the documented reports are asked of the warehouse and of the file of DuckDB.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from measuring import show_table
from psycopg import sql
from psycopg.conninfo import make_conninfo

from etl.access import logins
from etl.access.logins import role_of
from etl.db.connection import connect, set_config
from etl.db.statements import statement
from etl.docs import report_queries
from etl.export import duck, make

TABLE = "claim"
FORMATS = (make.PARQUET, make.CSV, make.DUCKDB)
# How many times as long as a plain COPY of the table an export of it may take.
MOST = 3
TIMES = 3
_ROLE = "analyst"


class _Unseen:
    """A watcher of whom nobody sees anything."""

    def begin(self, stage: str, what: str, total: int | None = None) -> None:
        """Nothing is shown."""

    def advance(self, amount: int) -> None:
        """Nothing is shown."""

    def end(self) -> None:
        """Nothing is shown."""


def measure(url: str, folder: Path) -> dict[str, Any]:
    """Seconds of a plain COPY of the claims and of each export; seconds of the reports by engine.

    ``reports`` has those that both answer, as (warehouse, DuckDB), each the least of three.
    """
    with connect(url, "aca-warehouse bench") as owner:
        name, password = logins.trial(owner, role_of(_ROLE), [], None)
        try:
            address = make_conninfo(url, user=name, password=password)
            with connect(address, "aca-warehouse bench") as analyst:
                set_config(analyst, "search_path", ", ".join(role_of(_ROLE).path), is_local=False)
                rows, copied = _copied(analyst, folder / "plain.csv")
                spent = {form: _exported(analyst, form, TABLE, folder) for form in FORMATS}
                everything = _exported(analyst, make.DUCKDB, "all", folder)
                file = _folder(folder, make.DUCKDB, "all") / duck.FILE
                with duckdb.connect(str(file), read_only=True) as opened:
                    asked = _reports(analyst, opened)
        finally:
            logins.drop(owner, name)
    return {"rows": rows, "copy": copied, "exports": spent, "all": everything, "reports": asked}


def show(result: dict[str, Any]) -> None:
    """Print each format next to the COPY, and the reports that DuckDB answers faster or slower."""
    show_table(
        f"Export of {result['rows']:,} claims; a COPY takes {result['copy']:.2f} s",
        ("format", "seconds", f"ratio (at most {MOST})"),
        (
            (form, f"{spent:.2f}", f"{spent / result['copy']:.2f}")
            for form, spent in result["exports"].items()
        ),
    )
    show_table(
        f"Documented reports, the least of {TIMES}; the file took {result['all']:.1f} s",
        ("report", "warehouse, s", "DuckDB, s", "times as fast"),
        (
            (name, f"{ours:.4f}", f"{theirs:.4f}", f"{ours / theirs:.1f}")
            for name, (ours, theirs) in result["reports"].items()
        ),
    )


def _copied(analyst: psycopg.Connection[Any], path: Path) -> tuple[int, float]:
    """Rows of the table, and seconds of the second COPY of them to a file."""
    text = statement("bench/floor.copy_out", table=sql.Identifier(TABLE))
    for _ in range(2):
        started = time.perf_counter()
        with analyst.cursor() as cursor, path.open("wb") as file:
            with cursor.copy(text) as copied:
                for block in copied:
                    file.write(block)
            count = cursor.rowcount
        took = time.perf_counter() - started
    path.unlink()
    return count, took


def _exported(analyst: psycopg.Connection[Any], form: str, tables: str, folder: Path) -> float:
    to = _folder(folder, form, tables)
    request = make.Request(role_of(_ROLE), form, folder, tables, to=to)
    started = time.perf_counter()
    make.export(analyst, request, _Unseen())
    return time.perf_counter() - started


def _folder(folder: Path, form: str, tables: str) -> Path:
    return folder / f"export-{form}-{tables}"


def _reports(
    analyst: psycopg.Connection[Any], opened: duckdb.DuckDBPyConnection
) -> dict[str, tuple[float, float]]:
    found = {}
    for name, report in report_queries.reports().items():
        if (question := report.question) is None:
            continue
        # A file has no ledger and nothing of earlier loads.
        with suppress(duckdb.CatalogException, psycopg.errors.InsufficientPrivilege):
            theirs = _least(opened, question)
            found[name] = (_least(analyst, question), theirs)
    return found


def _least(asked: psycopg.Connection[Any] | duckdb.DuckDBPyConnection, question: str) -> float:
    took = []
    for _ in range(TIMES):
        started = time.perf_counter()
        asked.execute(question).fetchall()
        took.append(time.perf_counter() - started)
    return min(took)
