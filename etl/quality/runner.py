"""Checks: whether the content of the warehouse is right, and the record of what was found.

Two kinds, one list: expectations rendered from the contracts, which Great Expectations answers,
and named SQL for what it cannot say. Checks only read. What they find is counts and the keys of
rows that fail, never another value. Some of them also gate a stage: they run in its transaction, on
the rows of the current load, before anybody sees what the stage did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import date, datetime
from itertools import chain
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.checks import Check, Finding
from etl.contracts.feeds import FEEDS
from etl.db import steps
from etl.db.connection import connect, reading, set_search_path
from etl.db.side_by_side import InTurn, side_by_side
from etl.db.statements import Values, run, scalar, statement
from etl.errors import ServerError
from etl.quality import share
from etl.quality.checks.profile import profile_parts
from etl.quality.checks.registry import (
    all_checks,
    constraint_checks,
    gate_checks,
    sql_checks,
)
from etl.quality.checks.sql_check import SqlCheck
from etl.quality.great_expectations import run_suites
from etl.quality.record import (
    CheckReport,
    CheckResult,
    begin,
    define,
    judge,
    loads_of,
    record,
    thresholds_of,
)
from etl.quality.share import Look
from etl.quality.truth import Truth
from etl.render.expectations import suites
from etl.retention.staging_archive import StagingArchive
from etl.stages import tables
from etl.stages.facts import fact_loads, look_up
from etl.warehouse.staging import PARTITIONED
from etl.warehouse.tables import Build

__all__ = [
    "CheckReport",
    "CheckResult",
    "all_checks",
    "define",
    "run_checks",
    "run_gate",
    "run_share",
    "run_sql_checks",
]

# Where nobody says which members were erased by the list outside of the database.
_NOTHING_OUTSIDE: Values = {"erased_listed": [], "erased_named": []}

Answer = tuple[Check, Finding | None]


def run_checks(
    connection: psycopg.Connection[Any],
    url: str,
    build: Build,
    on_check: Callable[[CheckResult], None] = lambda _: None,
    truth: Truth | None = None,
    now: datetime | None = None,
    outside: Values | None = None,
    nights: int | None = None,
    archive: StagingArchive | None = None,
) -> CheckReport:
    """Run every check on one build of the warehouse and record what each found.

    ``archive``: has rows of the build's staging that are in no table.
    ``nights``: look at a share of the months of claims, of which each has its turn in so many such
    runs, and at all that changed; without it at everything.

    ``connection`` is in autocommit mode; ``url`` leads to the same database. ``truth``:
    what the feeds really contain, if that is known, to be compared as well. ``now``: the instant
    against which feeds may be late, none where their batches are of no real day. ``outside``:
    values that checks compare with and the database does not have. Whether a failure matters is
    left to the caller.
    """
    with connection.transaction():
        set_search_path(connection, build.schemas.path)
        define(connection)
        look = share.plan(connection, build, loads_of(connection, build), nights)
        check_run_id = begin(connection, build, look=look)
        thresholds = thresholds_of(connection)
        _profile(connection, build)
        if archive is not None and not archive.files(connection):
            archive = None
    of_truth = truth.run_checks(connection, build) if truth else ()
    in_part: list[date] = []
    found: list[CheckResult] = []
    others: tuple[Iterator[Answer], ...] = ()
    with ExitStack() as opened:
        if look.is_whole and archive is None:
            here, there = _by_two(opened, connection, url, build, now, outside)
            # Great Expectations keeps Python busy, and the checks in SQL the server.
            others = (there, run_suites(url, build.schemas, suites()))
        else:
            here = run_share(
                connection, build, look, in_part, now, outside=outside, archive=archive
            )
        come = side_by_side(chain(here, of_truth), *others, on_wait=_wait_for_others)
        opened.enter_context(closing(come))
        for (check, finding), _ in come:
            result = judge(replace(check, **thresholds.get(check.name, {})), finding)
            found.append(result)
            on_check(result)
    place = {check.name: place for place, check in enumerate(all_checks())}
    found.sort(key=lambda result: place.get(result.check.name, len(place)))
    return record(connection, build, check_run_id, found, look, in_part)


def _wait_for_others() -> None:
    steps.begin("Great Expectations counts what contracts allow, table by table")


def _by_two(
    opened: ExitStack,
    connection: psycopg.Connection[Any],
    url: str,
    build: Build,
    now: datetime | None,
    outside: Values | None,
) -> tuple[Iterator[Answer], Iterator[Answer]]:
    """All checks in SQL, by two sessions that see one state: each takes the next that is left.

    Most of them keep one core busy. ``opened`` closes the second session; the first one's
    transaction ends with its last answer.
    """
    ours = opened.enter_context(ExitStack())
    ours.enter_context(reading(connection, build.schemas.path))
    state = scalar(connection, "db/session.give_out")
    other = opened.enter_context(connect(url, "aca-warehouse checks"))
    opened.enter_context(reading(other, build.schemas.path, state))
    for session in (connection, other):
        for settings in ("work_transaction", "checks_transaction", "one_of_two"):
            run(session, f"ledger/session.{settings}")
    asked = InTurn(_with_values(connection, sql_checks(), build, now, outside))

    def first() -> Iterator[Answer]:
        for entry, values in asked:
            yield from _run_sql(connection, entry, values)
        ours.close()

    def second() -> Iterator[Answer]:
        for entry, values in asked:
            yield from _run_sql(other, entry, values)

    return first(), second()


def run_gate(
    work: psycopg.Connection[Any],
    ledger: psycopg.Connection[Any],
    build: Build,
    stage: str,
    load_id: int | None,
    feeds: Collection[str],
    kind: str | None = None,
    archive: StagingArchive | None = None,
) -> CheckReport:
    """Run the checks of a stage's gate for a load, and record the results.

    ``work`` is in the transaction of the stage, whose search path leads to the build. The record is
    made on ``ledger``, so that it stays if the stage is rolled back, which is for the caller to
    decide. ``feeds``: those that the load brought. ``kind``: which of the stage's gates, where it
    has more than one. ``archive``: from it rows of staging come back that the gate looks at.
    """
    with ledger.transaction():
        set_search_path(ledger, build.schemas.path)
        check_run_id = begin(ledger, build, load_id, stage)
        thresholds = thresholds_of(ledger)
    entries = gate_checks(kind or stage, feeds)
    of_feed = {
        feed: _gate_values(work, feed, build, stage, load_id, archive)
        for feed in {entry.feed for entry in entries}
    }
    asked = [(entry, {**entry.values, **of_feed[entry.feed]}) for entry in entries]
    results = [
        judge(replace(check, **thresholds.get(check.name, {})), finding)
        for check, finding in _run_together(work, asked)
    ]
    return record(ledger, build, check_run_id, results)


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
        check_run_id = begin(connection, build, gate="arrivals")
        thresholds = thresholds_of(connection)
        _profile(connection, build)
        asked = _with_values(connection, gate_checks("arrivals"), build, now)
        found = _run_together(connection, asked)
    results = [judge(replace(c, **thresholds.get(c.name, {})), finding) for c, finding in found]
    return record(connection, build, check_run_id, results)


def _gate_values(
    work: psycopg.Connection[Any],
    feed: str | None,
    build: Build,
    stage: str,
    load_id: int | None,
    archive: StagingArchive | None,
) -> Values:
    """What checks of a gate on a feed are about: the load, and loads that can explain its rows."""
    asked = {"load_id": load_id, **build.values}
    loads, loads_before = [load_id], []
    look: Values = {}
    if stage == "dims":
        loads = [found for found, _ in run(work, "checks/staging.loads_of_build", asked)]
    elif stage == "facts" and feed is not None:
        # The state of a fact is that of the last of these; an earlier one has a say only in
        # whether that reverses it.
        ordered = run(work, "facts/loads.build_loads", {"feed": feed, **asked}).fetchall()
        in_order = [found for found, _ in ordered]
        place = in_order.index(load_id)
        loads_before, loads = in_order[:place], in_order[place:]
        is_snapshot = dict(ordered)[load_id]
        if len(loads) > 1 and not is_snapshot and feed in PARTITIONED:
            look = _of_claims(work, feed, load_id, loads, archive)
    values = {
        **asked,
        "feed": feed,
        "loads_before": loads_before,
        "loads": loads,
        "loads_in_facts": loads,
        **_of_all(loads),
        **look,
    }
    return {**values, "are_few": stage == "facts" and _name_few(work, values["naming"])}


def _name_few(work: psycopg.Connection[Any], loads: Sequence[int | None]) -> bool:
    """Whether loads name so few claims that these cost less to look up than all to read."""
    asked = {"naming": list(loads), "feeds": list(PARTITIONED)}
    return scalar(work, "facts/loads.rows_brought", asked) <= look_up.FEW_CLAIMS


def _of_all(loads: Sequence[int | None]) -> Values:
    """What checks look at of some loads: all of their rows."""
    return {"naming": loads, "holding": loads, "is_whole": True}


def _of_claims(
    work: psycopg.Connection[Any],
    feed: str,
    load_id: int | None,
    loads: Sequence[int | None],
    archive: StagingArchive | None,
) -> Values:
    """What a late load can have changed: the claims that it names, in the loads that have them."""
    claims = statement("facts/loads.named", staging=sql.Identifier(FEEDS[feed].table))
    values = {"load_id": load_id, "build_loads": loads}
    held = fact_loads.holding(work, FEEDS[feed], values, claims, archive)
    return {"naming": [load_id], "holding": held, "is_whole": False}


def _profile(connection: psycopg.Connection[Any], build: Build) -> None:
    """Write down what the loads of the build look like that have no profile yet, feed by feed."""
    loads = loads_of(connection, build)
    for feed in FEEDS.values():
        values = {"feed": feed.name, "loads": loads}
        new = [load_id for (load_id,) in run(connection, "checks/arrivals.unprofiled", values)]
        if new:
            values["loads"] = new
            parts = profile_parts(feed)
            for step in ("look", "profile"):
                run(connection, f"checks/arrivals.{step}", values, **parts)
            tables.drop(connection, "looked_at")


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
        run(connection, "ledger/session.checks_transaction")
        for entry, values in _with_values(connection, entries, build, now, outside):
            for check, found in _run_sql(connection, entry, values):
                if wanted(check):
                    yield check, found


def run_share(
    connection: psycopg.Connection[Any],
    build: Build,
    look: Look,
    in_part: list[date],
    now: datetime | None = None,
    wanted: Callable[[Check], bool] = lambda _: True,
    outside: Values | None = None,
    archive: StagingArchive | None = None,
) -> Iterator[Answer]:
    """Each check that is wanted, with what it found, those of claims on the rows of a look.

    What contracts say is asked in SQL as well, of the same rows. ``in_part`` gets the months of
    which some claims were looked at. ``archive``: has rows of staging that are in no table.
    """
    every = (*sql_checks(), *constraint_checks())
    entries = tuple(e for e in every if any(map(wanted, e.checks.values())))
    with share.taken(connection, build, look, archive):
        if not look.is_whole:
            in_part += share.months_in_part(connection, look)
        for entry, values in _with_values(connection, entries, build, now, outside):
            share.turn_to(connection, build, share=entry.is_by_month)
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
                **_of_all(in_facts if entry.only_in_facts else every),
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
