"""The record of a run of the checks: what was looked at, what was found and how it was judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from etl.contracts.checks import CRITICAL, SEVERITIES, Check, Finding, passes
from etl.db.connection import set_search_path
from etl.db.statements import insert, names, run, scalar
from etl.quality import share
from etl.quality.checks.registry import checks_by_kind, names_by_month
from etl.quality.share import Look
from etl.quality.truth import truth_checks
from etl.warehouse.tables import Build

# What the registry calls fields of a check, and what of them no result repeats.
_COLUMNS = {"name": "check_name", "table": "table_name", "column": "column_name"}
_MEANING = ("means", "advice", "unit")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found and how it was judged; ``found`` is ``None`` where it could not be."""

    check: Check
    found: Finding | None
    passed: bool
    message: str | None

    @property
    def rows_failed(self) -> int:
        """How many rows failed; 0 where that is not known."""
        return self.found.rows_failed if self.found else 0


@dataclass(frozen=True, slots=True)
class CheckReport:
    """A run of the checks. ``failures``: what failed, the worst first.

    ``judged_nothing``: names of those that had rows to look at and could judge none of them.
    ``look``: what it looked at, where it was no gate. ``still_open``: names of those that passed on
    that, and failed before at claims that were not looked at again.
    """

    check_run_id: int
    checks: int
    failed: int
    failed_critical: int
    failures: tuple[CheckResult, ...]
    judged_nothing: tuple[str, ...] = ()
    look: Look | None = None
    still_open: tuple[str, ...] = ()

    @property
    def worst(self) -> str:
        """How many critical checks failed, and the first few by name."""
        found = [r for r in self.failures if r.check.severity == CRITICAL]
        named = "; ".join(f"{r.check.name} ({r.rows_failed:,} rows)" for r in found[:3])
        return f"{len(found)} critical check{'s' if len(found) > 1 else ''} failed: {named}"


def define(connection: psycopg.Connection[Any]) -> None:
    """Keep the registry in the database, so that whoever reads results knows what they mean."""
    answered_by = {"sql": tuple(truth_checks().values())}
    for kind, checks in checks_by_kind().items():
        answered_by[kind] = (*checks, *answered_by.get(kind, ()))
    declared = {
        check.name: {**_row(check), "answered_by": kind}
        for kind, checks in answered_by.items()
        for check in checks
    }
    columns = names(next(iter(declared.values())))
    held = {row[0]: row for row in run(connection, "checks/record.definitions", columns=columns)}
    changed = [
        {**row, "retired_at": None}
        for name, row in declared.items()
        if held.get(name) != tuple(row.values())
    ]
    insert(connection, "check_definition", changed, key="check_name")
    if held.keys() - declared.keys():
        run(connection, "checks/record.retire", {"names": list(declared)})


def _row(check: Check) -> dict[str, Any]:
    """A check in the columns of the registry; each result has them too, but for ``_MEANING``."""
    return {_COLUMNS.get(f.name, f.name): getattr(check, f.name) for f in fields(check)}


def begin(
    connection: psycopg.Connection[Any],
    build: Build,
    load_id: int | None = None,
    gate: str | None = None,
    look: Look | None = None,
) -> int:
    """Open the record of a run: of a gate, or of a look."""
    seen = look.values if look else dict.fromkeys(("months", "since_load_id", "oldest"))
    begun = {"is_whole": gate is None, "load_id": load_id, "gate": gate, **build.values, **seen}
    return int(scalar(connection, "checks/record.begin_run", begun))


def loads_of(connection: psycopg.Connection[Any], build: Build) -> list[int]:
    """The loads that make up a build, those on their way among them."""
    found = run(connection, "checks/staging.loads_of_build", build.values)
    return [load_id for load_id, _ in found]


def thresholds_of(connection: psycopg.Connection[Any]) -> dict[str, dict[str, Any]]:
    """What people changed, by check: fields of ``Check`` with their values."""
    fields = ("threshold", "threshold_share", "severity")
    return {
        name: {f: value for f, value in zip(fields, changed, strict=True) if value is not None}
        for name, *changed in run(connection, "checks/record.thresholds")
    }


def judge(check: Check, found: Finding | None) -> CheckResult:
    """The result of a check, by its threshold and severity."""
    if found is None:
        message = "The check could not be evaluated: a table or column it reads is missing."
        return CheckResult(check, None, False, message)
    passed = passes(check, found)
    if passed and found.judged_nothing:
        message = (
            f"The check judged 0 of {found.rows_checked:,} rows: none has the values it looks at."
        )
        return CheckResult(check, found, True, message)
    if passed:
        return CheckResult(check, found, True, None)
    if check.unit == "rows":
        message = f"{found.rows_failed:,} of {found.rows_checked:,}: {check.means}."
    else:
        message = (
            f"{found.figure:,.1f} {check.unit}, at most {check.threshold:,.1f}: {check.means}."
        )
    return CheckResult(check, found, False, message)


def _worst_first(result: CheckResult) -> tuple[int, str]:
    return SEVERITIES.index(result.check.severity), result.check.name


def record(
    connection: psycopg.Connection[Any],
    build: Build,
    check_run_id: int,
    results: list[CheckResult],
    look: Look | None = None,
    in_part: Sequence[date] = (),
) -> CheckReport:
    """Write down what was found, and sum it up.

    ``look`` and ``in_part``: what it looked at, and months of which it did in part.
    """
    failures = sorted((r for r in results if not r.passed), key=_worst_first)
    before = _open_runs(connection, build, check_run_id) if look else {}
    open_runs = {r.check.name: before[r.check.name] for r in results if r.check.name in before}
    still_open = sorted(r.check.name for r in results if r.passed and r.check.name in open_runs)
    by_month = names_by_month()
    report = CheckReport(
        check_run_id,
        len(results),
        len(failures),
        sum(r.check.severity == CRITICAL for r in failures),
        tuple(failures),
        tuple(r.check.name for r in results if r.found and r.found.judged_nothing),
        look,
        tuple(still_open),
    )
    with connection.transaction():
        set_search_path(connection, build.schemas.path)
        insert(
            connection,
            "check_result",
            [
                {
                    **{n: v for n, v in _row(result.check).items() if n not in _MEANING},
                    "check_run_id": check_run_id,
                    "passed": result.passed,
                    "rows_checked": result.found.rows_checked if result.found else None,
                    "rows_judged": result.found.rows_judged if result.found else None,
                    "rows_failed": result.rows_failed,
                    "message": result.message,
                    "measured": result.found.figure if result.found else None,
                    "failing_keys": Jsonb(result.found.keys if result.found else ()),
                    "is_by_month": look is not None and result.check.name in by_month,
                    "open_run_id": open_runs.get(result.check.name),
                }
                for result in results
            ],
        )
        run(
            connection,
            "checks/record.finish_run",
            {
                "check_run_id": check_run_id,
                "checks": report.checks,
                "failed": report.failed,
                "failed_critical": report.failed_critical,
                "months_in_part": list(in_part) if look else None,
            },
        )
    return report


def _open_runs(
    connection: psycopg.Connection[Any], build: Build, check_run_id: int
) -> dict[str, int]:
    """By check the earlier run at which it failed, at claims not all looked at again since."""
    with connection.transaction():
        set_search_path(connection, build.schemas.path)
        found = share.open_failures(connection, loads_of(connection, build), check_run_id)
    return {name: failure.check_run_id for name, failure in found.items()}
