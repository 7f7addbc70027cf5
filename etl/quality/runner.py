"""Checks: whether the content of the warehouse is right, and the record of what was found.

Two kinds, one list: expectations rendered from the contracts, which Great Expectations answers,
and named SQL for what it cannot say. Checks only read. What they find is counts and the keys of
rows that fail, never another value. Some of them also gate a stage: they run in its transaction, on
the rows of the current load, before anybody sees what the stage did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import chain
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from etl.contracts.checks import CRITICAL, SEVERITIES, Check, Finding, passes
from etl.contracts.feeds import FEEDS
from etl.db import steps
from etl.db.connection import reading, set_search_path
from etl.db.statements import Values, insert, names, run, scalar
from etl.errors import ServerError
from etl.quality.checks.profile import profile_parts
from etl.quality.checks.registry import all_checks, checks_by_kind, gate_checks, sql_checks
from etl.quality.checks.sql_check import SqlCheck
from etl.quality.great_expectations import run_suites
from etl.quality.side_by_side import side_by_side
from etl.quality.truth import Truth, truth_checks
from etl.render.expectations import suites
from etl.stages import tables
from etl.warehouse.tables import Build

# What the registry calls fields of a check, and what of them no result repeats.
_COLUMNS = {"name": "check_name", "table": "table_name", "column": "column_name"}
_MEANING = ("means", "advice", "unit")

__all__ = [
    "CheckReport",
    "CheckResult",
    "all_checks",
    "define",
    "run_checks",
    "run_gate",
    "run_sql_checks",
]

# Where nobody says which members were erased by the list outside of the database.
_NOTHING_OUTSIDE: Values = {"erased_listed": [], "erased_named": []}

Answer = tuple[Check, Finding | None]


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
    """

    check_run_id: int
    checks: int
    failed: int
    failed_critical: int
    failures: tuple[CheckResult, ...]
    judged_nothing: tuple[str, ...] = ()


def run_checks(
    connection: psycopg.Connection[Any],
    url: str,
    build: Build,
    on_check: Callable[[CheckResult], None] = lambda _: None,
    truth: Truth | None = None,
    now: datetime | None = None,
    outside: Values | None = None,
) -> CheckReport:
    """Run every check on one build of the warehouse and record what each found.

    ``connection`` is in autocommit mode; ``url`` leads to the same database. ``truth``:
    what the feeds really contain, if that is known, to be compared as well. ``now``: the instant
    against which feeds may be late, none where their batches are of no real day. ``outside``:
    values that checks compare with and the database does not have. Whether a failure matters is
    left to the caller.
    """
    with connection.transaction():
        set_search_path(connection, build.schemas.path)
        define(connection)
        begun = {"load_id": None, "gate": None, **build.values}
        check_run_id = scalar(connection, "checks/record.begin_run", begun)
        thresholds = _thresholds(connection)
        _profile(connection, build)
    here = chain(
        run_sql_checks(connection, build, now, outside=outside),
        truth.run_checks(connection, build) if truth else (),
    )
    # Loading Great Expectations keeps Python busy, and the checks in SQL the server.
    there = run_suites(url, build.schemas, suites())
    results: tuple[list[CheckResult], list[CheckResult]] = ([], [])
    for (check, finding), is_there in side_by_side(here, there, _wait_for_suites):
        result = _judge(replace(check, **thresholds.get(check.name, {})), finding)
        results[is_there].append(result)
        on_check(result)
    return _record(connection, build, check_run_id, [*results[0], *results[1]])


def _wait_for_suites() -> None:
    steps.begin("Great Expectations counts what contracts allow, table by table")


def run_gate(
    work: psycopg.Connection[Any],
    ledger: psycopg.Connection[Any],
    build: Build,
    stage: str,
    load_id: int | None,
    feeds: Collection[str],
    kind: str | None = None,
) -> CheckReport:
    """Run the checks of a stage's gate for a load, and record the results.

    ``work`` is in the transaction of the stage, whose search path leads to the build. The record is
    made on ``ledger``, so that it stays if the stage is rolled back, which is for the caller to
    decide. ``feeds``: those that the load brought. ``kind``: which of the stage's gates, where it
    has more than one.
    """
    with ledger.transaction():
        set_search_path(ledger, build.schemas.path)
        begun = {"load_id": load_id, "gate": stage, **build.values}
        check_run_id = scalar(ledger, "checks/record.begin_run", begun)
        thresholds = _thresholds(ledger)
    entries = gate_checks(kind or stage, feeds)
    of_feed = {
        feed: _gate_values(work, feed, build, stage, load_id)
        for feed in {entry.feed for entry in entries}
    }
    asked = [(entry, {**entry.values, **of_feed[entry.feed]}) for entry in entries]
    results = [
        _judge(replace(check, **thresholds.get(check.name, {})), finding)
        for check, finding in _run_together(work, asked)
    ]
    return _record(ledger, build, check_run_id, results)


def run_arrivals(
    connection: psycopg.Connection[Any],
    build: Build,
    now: datetime | None = None,
) -> CheckReport:
    """Judge how much came of each feed, of what kind and when, and record that; see ``run_checks``.

    Loads that have no profile yet get one, so that it costs what is new and not what there is.
    """
    with connection.transaction():
        set_search_path(connection, build.schemas.path)
        begun = {"load_id": None, "gate": "arrivals", **build.values}
        check_run_id = scalar(connection, "checks/record.begin_run", begun)
        thresholds = _thresholds(connection)
        _profile(connection, build)
        asked = _with_values(connection, gate_checks("arrivals"), build, now)
        found = _run_together(connection, asked)
    results = [_judge(replace(c, **thresholds.get(c.name, {})), finding) for c, finding in found]
    return _record(connection, build, check_run_id, results)


def _gate_values(
    work: psycopg.Connection[Any],
    feed: str | None,
    build: Build,
    stage: str,
    load_id: int | None,
) -> Values:
    """What checks of a gate on a feed are about: the load, and loads that can explain its rows."""
    asked = {"load_id": load_id, **build.values}
    loads, loads_before = [load_id], []
    if stage == "dims":
        loads = [found for found, _ in run(work, "checks/staging.loads_of_build", asked)]
    elif stage == "facts" and feed is not None:
        # The state of a fact is that of the last of these; an earlier one has a say only in
        # whether that reverses it.
        ordered = run(work, "facts/loads.build_loads", {"feed": feed, **asked})
        in_order = [found for found, _ in ordered]
        place = in_order.index(load_id)
        loads_before, loads = in_order[:place], in_order[place:]
    return {
        **asked,
        "feed": feed,
        "loads_before": loads_before,
        "loads": loads,
        "loads_in_facts": loads,
    }


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


def _profile(connection: psycopg.Connection[Any], build: Build) -> None:
    """Write down what the loads of the build look like that have no profile yet, feed by feed."""
    asked = build.values
    loads = [load_id for load_id, _ in run(connection, "checks/staging.loads_of_build", asked)]
    for feed in FEEDS.values():
        values = {"feed": feed.name, "loads": loads}
        new = [load_id for (load_id,) in run(connection, "checks/arrivals.unprofiled", values)]
        if new:
            values["loads"] = new
            parts = profile_parts(feed)
            for step in ("look", "profile"):
                run(connection, f"checks/arrivals.{step}", values, **parts)
            tables.drop(connection, "looked_at")


def _thresholds(connection: psycopg.Connection[Any]) -> dict[str, dict[str, Any]]:
    """What people changed, by check: fields of ``Check`` with their values."""
    fields = ("threshold", "threshold_share", "severity")
    return {
        name: {f: value for f, value in zip(fields, changed, strict=True) if value is not None}
        for name, *changed in run(connection, "checks/record.thresholds")
    }


def run_sql_checks(
    connection: psycopg.Connection[Any],
    build: Build,
    now: datetime | None = None,
    wanted: Callable[[Check], bool] = lambda _: True,
    outside: Values | None = None,
) -> Iterator[Answer]:
    """Each check in SQL that is wanted, with what it found, all of one state of the database.

    ``None`` where a check could not be evaluated. A statement that answers none of them is not run.
    """
    entries = tuple(e for e in sql_checks() if any(map(wanted, e.checks.values())))
    with reading(connection, build.schemas.path):
        run(connection, "ledger/session.work_transaction")
        for entry, values in _with_values(connection, entries, build, now, outside):
            for check, found in _run_sql(connection, entry, values):
                if wanted(check):
                    yield check, found


def _with_values(
    connection: psycopg.Connection[Any],
    entries: tuple[SqlCheck, ...],
    build: Build,
    now: datetime | None,
    outside: Values | None = None,
) -> list[tuple[SqlCheck, Values]]:
    """Checks on all that a build contains, each with the values that its statement takes."""
    asked = build.values
    loads = run(connection, "checks/staging.loads_of_build", asked).fetchall()
    in_facts = [load_id for load_id, is_in_facts in loads if is_in_facts]
    common = {"now": now, "loads_before": [], "loads_in_facts": in_facts}
    every = [load_id for load_id, _ in loads]
    return [
        (
            entry,
            {
                **entry.values,
                **common,
                **(outside or _NOTHING_OUTSIDE),
                "feed": entry.feed,
                "loads": in_facts if entry.only_in_facts else every,
            },
        )
        for entry in entries
    ]


def _run_together(
    connection: psycopg.Connection[Any], asked: Sequence[tuple[SqlCheck, Values]]
) -> list[Answer]:
    """What checks find; one by one only where one of them cannot be evaluated."""
    try:
        with connection.transaction():
            found = [_execute(connection, entry, values) for entry, values in asked]
    except (psycopg.ProgrammingError, psycopg.DataError):
        return [answer for entry, values in asked for answer in _run_sql(connection, entry, values)]
    return [
        (check, of_entry.get(rule))
        for (entry, _), of_entry in zip(asked, found, strict=True)
        for rule, check in entry.checks.items()
    ]


def _execute(
    connection: psycopg.Connection[Any], entry: SqlCheck, values: Values
) -> dict[str, Finding]:
    """What the statement of a check finds, by rule."""
    steps.begin(f"Check {', '.join(entry.checks)}")
    cursor = connection.execute(entry.statement, values)
    columns = [c.name for c in cursor.description or ()]
    rows = [dict(zip(columns, row, strict=True)) for row in cursor]
    found = {row["rule"]: _finding(row) for row in rows}
    failing = [rule for rule, finding in found.items() if finding.rows_failed]
    if entry.keys_of is not None and failing:
        for rule, keys in connection.execute(entry.keys_of(failing), values):
            found[rule] = replace(found[rule], keys=tuple(keys))
    return found


def _run_sql(
    connection: psycopg.Connection[Any], entry: SqlCheck, values: Values
) -> Iterator[Answer]:
    try:
        with connection.transaction():
            found = _execute(connection, entry, values)
    except psycopg.errors.InsufficientPrivilege as error:
        names = ", ".join(entry.checks)
        raise ServerError(
            f"The role of DATABASE_URL may not read what these checks ask: {names}.",
            "Run the checks as the owner of the warehouse.",
        ) from error
    except (psycopg.ProgrammingError, psycopg.DataError):
        # A table is not there, such as a cube that was never made: the checks fail as not
        # evaluated. The server's words could quote a value and are left out.
        found = {}
    for rule, check in entry.checks.items():
        yield check, found.get(rule)


def _finding(row: dict[str, Any]) -> Finding:
    measured = row.get("measured")
    return Finding(
        row["rows_checked"],
        row["rows_failed"],
        None if measured is None else float(measured),
        tuple(row.get("failing_keys") or ()),
        row.get("rows_judged"),
    )


def _judge(check: Check, found: Finding | None) -> CheckResult:
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


def _record(
    connection: psycopg.Connection[Any],
    build: Build,
    check_run_id: int,
    results: list[CheckResult],
) -> CheckReport:
    """Write down what was found, and sum it up."""
    failures = sorted((r for r in results if not r.passed), key=_worst_first)
    report = CheckReport(
        check_run_id,
        len(results),
        len(failures),
        sum(r.check.severity == CRITICAL for r in failures),
        tuple(failures),
        tuple(r.check.name for r in results if r.found and r.found.judged_nothing),
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
            },
        )
    return report
