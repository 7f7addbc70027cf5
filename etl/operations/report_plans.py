"""The plans of the documented reports: recorded after each load, compared with those before.

Reports are planned as readers find the tables, each in a transaction that can write nothing and is
rolled back. Planning costs milliseconds. Running a report costs what it costs, so a load runs only
as many as fit into a share of its own time, those that were not run for longest first.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import psycopg
from psycopg import sql

from etl.db.connection import set_config, set_search_path
from etl.db.statements import run, scalar
from etl.docs.report_queries import Report, reports
from etl.operations.objectives import LEAST_COST, REPORT_COST
from etl.operations.plan_shape import hash_of, read_by, shape_of
from etl.stages.tables import STALE_SHARE, analyze
from etl.warehouse.tables import KEPT, LIVE

# Of the time of a run, what its reports may take; and the longest that one may.
SHARE_OF_RUN = 0.02
LONGEST_SECONDS = 30.0
_RECORDED = ("report", "shape", "cost", "rows", "pages")

# Tables, partitions and indexes by name, each with the name of the whole, and its pages.
Relations = dict[str, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a report is planned.

    ``cost`` in the planner's unit, ``rows`` as it expects them; ``pages`` of the tables it reads.
    """

    report: str
    shape: str
    cost: float
    rows: int
    pages: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PlanChange:
    """A report whose plan has had another shape since a load (``changed_at``, UTC).

    ``growth``: how many times as large its tables are now. ``ratio``: how many times as much it
    costs now, apart from that.
    """

    report: str
    load_id: int
    changed_at: datetime
    cost_before: float
    cost_now: float
    growth: float
    ratio: float

    @property
    def is_breach(self) -> bool:
        """Whether it costs so much more that somebody should look."""
        return self.ratio > REPORT_COST


@dataclass(frozen=True, slots=True)
class ReportSeconds:
    """How long a report took, 95 in 100 of the times that it was run."""

    report: str
    times: int
    p95_seconds: float


def record(connection: psycopg.Connection[Any], run_seconds: float) -> list[Plan]:
    """Record the plans of the latest load, if that is not done; what was recorded.

    ``connection`` is in autocommit mode and finds the tables of the ledger. ``run_seconds``: what
    the run took so far; reports are run for up to ``SHARE_OF_RUN`` of it.
    """
    load_id = scalar(connection, "operations/report_plans.load_to_record")
    if load_id is None:
        return []
    _renew_statistics(connection)
    found = list(_timed(connection, run_seconds * SHARE_OF_RUN))
    for plan in found:
        values = {name: getattr(plan, name) for name in _RECORDED}
        values |= {"load_id": load_id, "shape_hash": hash_of(plan.shape), "seconds": plan.seconds}
        run(connection, "operations/report_plans.record", values)
    return found


def _renew_statistics(connection: psycopg.Connection[Any]) -> None:
    """Refresh what the planner knows of tables that no build has and that every run adds to.

    Stages see to the tables of their build. Left to autovacuum, these would be planned without
    statistics until some run, and another plan with another cost would then come of nothing.
    """
    values = {"schemas": list(KEPT), "share": STALE_SHARE}
    for schema, table in run(connection, "operations/report_plans.outgrown", values).fetchall():
        analyze(connection, schema, table)


def current(connection: psycopg.Connection[Any]) -> dict[str, Plan]:
    """The plans of now, by report; none is run."""
    relations = _relations(connection)
    plans = (_planned(connection, report, relations) for report in asking())
    return {plan.report: plan for plan in plans if plan is not None}


def changes(connection: psycopg.Connection[Any], now: datetime | None = None) -> list[PlanChange]:
    """The reports whose plans changed their shape in the last week and kept the new one."""
    values = {"now": now or datetime.now(UTC), "least_cost": LEAST_COST}
    return [PlanChange(*row) for row in run(connection, "operations/report_plans.changes", values)]


def change_of(
    connection: psycopg.Connection[Any], load_id: int, recorded_at: datetime, then: Plan, now: Plan
) -> PlanChange:
    """What a plan of now costs against one that was recorded after a load."""
    values = {
        "cost_before": then.cost,
        "pages_before": then.pages,
        "cost_now": now.cost,
        "pages_now": now.pages,
        "least_cost": LEAST_COST,
    }
    ((growth, ratio),) = run(connection, "operations/report_plans.compare", values)
    return PlanChange(now.report, load_id, recorded_at, then.cost, now.cost, growth, ratio)


def breaches(connection: psycopg.Connection[Any], now: datetime | None = None) -> list[PlanChange]:
    """The changes of shape for which a report costs more than ``REPORT_COST`` times as much."""
    return [change for change in changes(connection, now) if change.is_breach]


def report_seconds(
    connection: psycopg.Connection[Any], now: datetime | None = None
) -> list[ReportSeconds]:
    """How long the reports took in the last 30 days."""
    values = {"now": now or datetime.now(UTC)}
    return [
        ReportSeconds(*row) for row in run(connection, "operations/report_plans.seconds", values)
    ]


def asking() -> list[Report]:
    """The documented reports that read a table."""
    return [report for report in reports().values() if report.question is not None]


def _timed(connection: psycopg.Connection[Any], budget: float) -> Iterator[Plan]:
    """Every report's plan; the one not run for longest is run, and others while the budget lasts.

    One that was never run is expected to take no time.
    """
    last = {
        report: (recorded_at, seconds)
        for report, recorded_at, seconds in run(connection, "operations/report_plans.last_timed")
    }
    never = (datetime.min.replace(tzinfo=UTC), 0.0)
    relations = _relations(connection)
    spent = 0.0
    for place, report in enumerate(sorted(asking(), key=lambda r: last.get(r.name, never)[0])):
        _, expected = last.get(report.name, never)
        is_run = place == 0 or spent + expected < budget
        started = time.monotonic()
        plan = _planned(connection, report, relations, is_run=is_run)
        spent += time.monotonic() - started
        if plan is not None:
            yield plan


def _planned(
    connection: psycopg.Connection[Any],
    report: Report,
    relations: Relations,
    *,
    is_run: bool = False,
) -> Plan | None:
    """A report's plan; ``None`` where it cannot be asked, such as one of a load that is no more."""
    with suppress(psycopg.Error):
        if is_run:
            with suppress(psycopg.errors.QueryCanceled):
                found = _explained(connection, report, "explain_run")
                seconds = (found["Planning Time"] + found["Execution Time"]) / 1000
                return _plan(report, found["Plan"], relations, seconds)
        found = _explained(connection, report, "explain")
        return _plan(report, found["Plan"], relations, LONGEST_SECONDS if is_run else None)
    return None


def _plan(
    report: Report, root: dict[str, Any], relations: Relations, seconds: float | None
) -> Plan:
    roots = {name: whole for name, (whole, _) in relations.items()}
    pages = sum(relations[name][1] for name in read_by(root) if name in relations)
    shape = shape_of(root, roots)
    return Plan(report.name, shape, root["Total Cost"], root["Plan Rows"], pages, seconds)


def _explained(
    connection: psycopg.Connection[Any], report: Report, statement_name: str
) -> dict[str, Any]:
    """What EXPLAIN says of a report's question, with the session where the report puts it."""
    with connection.transaction(force_rollback=True):
        run(connection, "db/session.change_nothing")
        set_search_path(connection, LIVE.schemas.readers_path)
        set_config(connection, "statement_timeout", f"{LONGEST_SECONDS:.0f}s")
        for text in report.statements:
            # The page is a file of the checkout, like those of sql/.
            asked = sql.SQL(text)
            if text == report.question:
                name = f"operations/report_plans.{statement_name}"
                return cast(dict[str, Any], scalar(connection, name, report=asked)[0])
            connection.execute(asked)
    raise ValueError(f"{report.name} asks nothing")


def _relations(connection: psycopg.Connection[Any]) -> Relations:
    values = {"schemas": [*LIVE.schemas.names, *KEPT]}
    found = run(connection, "operations/report_plans.relations", values)
    return {name: (whole, pages) for name, whole, pages in found}
