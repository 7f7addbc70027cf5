"""The report on data quality as files: ``report.html``, and Great Expectations' data docs.

Reads the quality views in one snapshot and runs no check. Keys of rows lead to people, so only the
owner of the files can read them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row

from etl.db.connection import connect, reading, set_search_path
from etl.db.statements import names, scalar, statement
from etl.errors import SchemaError, UsageError
from etl.inbox.refused import HeldBatch
from etl.quality import report_rows as page_rows
from etl.quality.data_docs import write_data_docs
from etl.quality.report_page import quality_page
from etl.quality.truth import Detection, Truth
from etl.reports.frame import write_private
from etl.schema import revisions
from etl.warehouse.tables import LIVE

PAGE = "report.html"
DATA_DOCS = "data-docs"
# How much the page shows at most: runs and loads as bars and points that can be seen apart.
MOST_RUNS = MOST_LOADS = 120
MOST_DETAILS = 300
MOST_RESOLVED = 30
STEPS = ("defects", "results", "pages")

_Row = TypeVar("_Row")
HeldNow = Callable[[psycopg.Connection[Any]], Sequence[HeldBatch]]


def write_report(
    url: str,
    folder: Path,
    truth: Truth | None = None,
    held: HeldNow = lambda _: (),
    advance: Callable[[str], None] = lambda _: None,
) -> tuple[Path, Path]:
    """Write both into the folder; where the page and the first of the data docs are.

    ``truth``: what the feeds really contain, if that is known, for the defects that are detected.
    ``held``: finds the batches that are not in the warehouse. ``advance`` is called with each of
    ``STEPS`` before it begins. Raises ``UsageError`` if the checks never ran or the folder cannot
    be written, ``SchemaError`` if the views are of another version.
    """
    with connect(url, "aca-warehouse report") as connection:
        revisions.refuse_of_before(connection)
        advance(STEPS[0])
        defects = _defects(connection, truth) if truth else None
        advance(STEPS[1])
        report = read_report(connection, defects, held)
    advance(STEPS[2])
    path = folder / PAGE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, quality_page(report))
        docs = write_data_docs(folder / DATA_DOCS, report.latest, report.checks)
    except OSError as error:
        raise UsageError(
            f"The report cannot be written into {folder}: {error.strerror or 'it is no folder'}.",
            "Name a folder that can be written: make dq-report TO=folder",
        ) from error
    return path, docs


def read_report(
    connection: psycopg.Connection[Any],
    defects: Sequence[Detection] | None = None,
    held: HeldNow = lambda _: (),
) -> page_rows.QualityReport:
    """What the page shows, all of one state of the database."""
    try:
        with reading(connection):
            return _read(connection, defects, _held(connection, held))
    except (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedTable) as error:
        raise SchemaError(
            "The views on data quality are those of another version of the code.",
            "Run make migrate.",
        ) from error


def _defects(connection: psycopg.Connection[Any], truth: Truth) -> list[Detection] | None:
    """Which defects of the feeds were detected; ``None`` where none were put in."""
    try:
        kinds = truth.detections(connection, LIVE)
    except (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedTable):
        return None  # of another version, which reading the report says
    return [k for k in kinds if k.injected or k.detected or k.false_positives] or None


def _held(connection: psycopg.Connection[Any], held: HeldNow) -> Sequence[HeldBatch]:
    set_search_path(connection, LIVE.schemas.path)
    return held(connection)


def _read(
    connection: psycopg.Connection[Any],
    defects: Sequence[Detection] | None,
    held: Sequence[HeldBatch],
) -> page_rows.QualityReport:
    def rows(kind: type[_Row], name: str, **values: Any) -> list[_Row]:
        query = statement(f"quality/report.{name}", columns=names(kind.__annotations__))
        with connection.cursor(row_factory=class_row(kind)) as cursor:
            return cursor.execute(query, values).fetchall()

    found = (
        rows(page_rows.Latest, "latest_run")
        if scalar(connection, "quality/report.views_are_there")
        else []
    )
    if not found:
        raise UsageError(
            "There is nothing to report: no run of the quality checks has finished.",
            "Run make dq-check first.",
        )
    latest = found[0]
    return page_rows.QualityReport(
        latest=latest,
        held=held,
        trend=rows(page_rows.Run, "trend", runs=MOST_RUNS),
        scores=rows(page_rows.Score, "scores", check_run_id=latest.check_run_id),
        failing=rows(page_rows.Failure, "failing"),
        resolved=rows(page_rows.Resolved, "resolved", most=MOST_RESOLVED),
        times_to_resolve=rows(page_rows.TimeToResolve, "times_to_resolve"),
        stopped=rows(page_rows.Stopped, "stopped", most=MOST_RESOLVED),
        arrivals=rows(page_rows.Arrival, "arrivals", loads=MOST_LOADS),
        freshness=rows(page_rows.Freshness, "freshness"),
        quarantine_reasons=rows(page_rows.QuarantineReason, "quarantine_reasons"),
        quarantine=rows(page_rows.Quarantined, "quarantine", most=MOST_DETAILS),
        checks=rows(page_rows.CheckRow, "checks"),
        defects=defects,
        has_data_docs=True,
        most_details=MOST_DETAILS,
    )
