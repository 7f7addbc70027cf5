"""Enrollments: one row per member, plan and start of coverage, its latest state."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import assign, differ, names, run, scalar, statement
from etl.render import staged_rows
from etl.render.values import end
from etl.stages import bulk, tables
from etl.stages.dims import publishing
from etl.stages.facts import references
from etl.stages.facts.fact_loads import FactLoads
from etl.warehouse.tables import FACT_ENROLLMENT, Build

_FILE = "facts/7_enrollments"
_COLUMNS = (
    *(reference.sk for reference in FACT_ENROLLMENT.references),
    "enrollment_start_date_key",
    "enrollment_end_date_key",
    "start_date",
    "end_date",
    "coverage_days",
    *FACT_ENROLLMENT.carried,
)


def merge(connection: psycopg.Connection[Any], loads: FactLoads, build: Build) -> dict[str, int]:
    """Bring the enrollments of a build up to the current rows; counts by kind."""
    is_first = build.is_rebuild and not scalar(connection, f"{_FILE}.has_rows")
    parts = parts_of(loads)
    latest = run(connection, f"{_FILE}.find_latest", loads.values, **parts).rowcount
    displaced = scalar(connection, f"{_FILE}.delete_displaced", loads.values)
    tables.analyze(connection, "latest_enrollment")
    canceled = run(connection, f"{_FILE}.delete_superseded", loads.values, **parts).rowcount
    run(connection, f"{_FILE}.key_rows", loads.values, **parts)
    tables.analyze(connection, "keyed_enrollment")
    displaced += run(connection, f"{_FILE}.replace_same_grain").rowcount
    updated = run(connection, f"{_FILE}.update_existing", **parts).rowcount
    in_bulk = is_first and latest >= bulk.ROWS
    with bulk.without_indexes(connection, FACT_ENROLLMENT.table) if in_bulk else nullcontext():
        inserted = run(connection, f"{_FILE}.insert_new", **parts).rowcount
    if is_first:
        publishing.analyze(connection, build.schemas, FACT_ENROLLMENT.table)
    tables.drop(connection, "keyed_enrollment", "latest_enrollment")
    return {
        "inserted": inserted,
        "updated": updated,
        "displaced": displaced,
        "taken_back": canceled,
    }


def parts_of(loads: FactLoads) -> dict[str, sql.Composable]:
    """Identifiers and fragments of the enrollments' statements."""
    feed = FACT_ENROLLMENT.feed
    plan_year_end = sql.SQL("make_date(day.plan_year, 12, 31)")
    return {
        **references.parts(FACT_ENROLLMENT),
        "build_load": statement("facts/loads.build_load"),
        "is_named_r_by_p": staged_rows.is_named(feed, "r", "p"),
        "is_named_f": staged_rows.is_named(feed, "f"),
        # What a displaced row displaced before may be valid again, whichever load brought it.
        "is_current": sql.SQL("true") if loads.displaces else loads.is_current(),
        "last_day": end(feed.column("end_date"), "s", plan_year_end),
        "columns": names(_COLUMNS),
        "keyed_columns": names(_COLUMNS, "k"),
        "assign_columns": assign(_COLUMNS, "k"),
        "columns_differ": differ(_COLUMNS, "f", "k"),
    }
