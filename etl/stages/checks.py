"""Checks: whether what the warehouse holds is right, and the record of having looked.

Two kinds, one list: expectations rendered from the contracts, which Great Expectations answers,
and named SQL for what it cannot say. Checks only read. What they find is counts, never values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg

from etl.db.connection import set_search_path
from etl.db.statements import run, scalar, statement
from etl.render.expectations import CRITICAL, Check, suites
from etl.stages.checks_gx import Counts, run_suites
from etl.stages.checks_sql import SqlCheck, sql_checks
from etl.stages.checks_truth import run_truth_checks
from etl.warehouse import Schemas


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found. ``rows_checked`` is ``None`` where it could not be evaluated."""

    name: str
    table: str
    column: str | None
    dimension: str
    severity: str
    passed: bool
    rows_checked: int | None
    rows_failed: int
    message: str | None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """A run of the checks. ``failures``: what failed, the worst first."""

    check_run_id: int
    checks: int
    failed: int
    failed_critical: int
    failures: tuple[CheckResult, ...]


def all_checks() -> tuple[Check, ...]:
    """Every check there is, those against the truth of synthetic feeds apart."""
    return (
        *(e.check for suite in suites() for e in suite.expectations),
        *(check for entry in sql_checks() for check in entry.checks.values()),
    )


def run_checks(
    connection: psycopg.Connection[Any],
    url: str,
    schemas: Schemas,
    statuses: tuple[str, ...],
    on_check: Callable[[CheckResult], None] = lambda _: None,
    truth: Path | None = None,
) -> CheckReport:
    """Run every check on one build of the warehouse and record what each found.

    ``connection`` is in autocommit mode; ``url`` leads to the same database. ``statuses`` are
    those of the loads that make up the build. ``truth``: folder of what synthetic feeds really
    hold, to be compared as well. Whether a failure matters is left to the caller.
    """
    with connection.transaction():
        set_search_path(connection, schemas.path)
        check_run_id = scalar(connection, "checks/record.begin_run")
    results = []
    found = chain(
        run_sql_checks(connection, schemas, statuses),
        run_truth_checks(connection, schemas, statuses, truth) if truth else (),
        run_suites(url, schemas, suites()),
    )
    for check, counts in found:
        result = _judge(check, counts)
        results.append(result)
        on_check(result)
    failures = sorted((r for r in results if not r.passed), key=_worst_first)
    report = CheckReport(
        check_run_id,
        len(results),
        len(failures),
        sum(r.severity == CRITICAL for r in failures),
        tuple(failures),
    )
    _record(connection, schemas, report, results)
    return report


def run_sql_checks(
    connection: psycopg.Connection[Any], schemas: Schemas, statuses: tuple[str, ...]
) -> Iterator[tuple[Check, Counts]]:
    """Each check in SQL with rows checked and rows failed, all of one state of the database.

    ``None`` instead of the counts where a check could not be evaluated.
    """
    with connection.transaction():
        run(connection, "checks/record.one_snapshot")
        run(connection, "checks/record.read_only")
        set_search_path(connection, schemas.path)
        loads = run(
            connection, "checks/staging.loads_of_build", {"statuses": list(statuses)}
        ).fetchall()
        for entry in sql_checks():
            yield from _run_sql(connection, entry, loads)


def _run_sql(
    connection: psycopg.Connection[Any], entry: SqlCheck, loads: list[tuple[int, bool]]
) -> Iterator[tuple[Check, Counts]]:
    values = {
        "feed": entry.feed,
        "loads": [
            load_id for load_id, is_in_facts in loads if is_in_facts or not entry.only_in_facts
        ],
        "loads_in_facts": [load_id for load_id, is_in_facts in loads if is_in_facts],
    }
    try:
        with connection.transaction():
            rows = run(connection, entry.statement, values, **entry.parts).fetchall()
        found = {rule: (checked, failed) for rule, checked, failed in rows}
    except (psycopg.ProgrammingError, psycopg.DataError):
        # A table is not there, such as a cube that was never made: the checks fail as not
        # evaluated. The server's words could quote a value and are left out.
        found = {}
    for rule, check in entry.checks.items():
        yield check, found.get(rule)


def _judge(check: Check, counts: Counts) -> CheckResult:
    checked, failed = (None, 0) if counts is None else counts
    if checked is None:
        message = "The check could not be evaluated: a table or column it reads is missing."
    elif failed:
        message = f"{failed:,} of {checked:,}: {check.means}."
    else:
        message = None
    return CheckResult(
        check.name,
        check.table,
        check.column,
        check.dimension,
        check.severity,
        message is None,
        checked,
        failed,
        message,
    )


def _worst_first(result: CheckResult) -> tuple[int, str]:
    return ("critical", "major", "minor").index(result.severity), result.name


def _record(
    connection: psycopg.Connection[Any],
    schemas: Schemas,
    report: CheckReport,
    results: list[CheckResult],
) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        set_search_path(connection, schemas.path)
        cursor.executemany(
            statement("checks/record.add_result"),
            [{"check_run_id": report.check_run_id, **asdict(result)} for result in results],
        )
        run(
            connection,
            "checks/record.finish_run",
            {
                "check_run_id": report.check_run_id,
                "checks": report.checks,
                "failed": report.failed,
                "failed_critical": report.failed_critical,
            },
        )
