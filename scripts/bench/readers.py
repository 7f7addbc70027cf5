"""How fast the documented reports are for analysts, compared with the owner of the warehouse.

Each report is asked in turn by the owner, who reads the tables, by a login of ``aca_analyst`` and
by one of ``aca_analyst_scoped`` that sees every state, so that all of them have as many rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import date
from typing import Any

import psycopg
from measuring import show_table
from psycopg import sql
from psycopg.conninfo import make_conninfo

from etl.access import logins
from etl.access.classification import cube_columns
from etl.access.logins import role_of
from etl.db.connection import connect, set_config
from etl.db.statements import run, scalar
from etl.docs import report_queries
from etl.warehouse.measures import MEASURES
from etl.warehouse.tables import CUBES, LIVE, Cube

TIMES = 3
ROLES = ("analyst", "scoped")
# How many times as long as the owner each may wait.
MOST = {"analyst": 1.1, "scoped": 1.3}
# A report that takes longer is given up.
PATIENCE = "60s"
# Milliseconds that an analyst may wait for a month of a cube.
MOST_OF_MONTH = 50

# How a role is refused a report on what it has no right to, or none of.
_REFUSED = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
)

Seconds = dict[str, float | None]


def measure(url: str) -> dict[str, Seconds]:
    """Seconds of each documented report by who asks, the least of three; none where it may not."""
    with ExitStack() as opened:
        owner = opened.enter_context(connect(url, "aca-warehouse bench"))
        states = [state for (state,) in run(owner, "bench/analysts.states")]
        sessions = {"owner": owner}
        set_config(owner, "search_path", ", ".join(LIVE.schemas.readers_path), is_local=False)
        for role in ROLES:
            wanted = states if role == "scoped" else []
            name, password = logins.trial(owner, role_of(role), wanted, None)
            opened.callback(logins.drop, owner, name)
            address = make_conninfo(url, user=name, password=password)
            sessions[role] = opened.enter_context(connect(address, "aca-warehouse bench"))
            path = ", ".join(role_of(role).path)
            set_config(sessions[role], "search_path", path, is_local=False)
            set_config(sessions[role], "statement_timeout", PATIENCE, is_local=False)
        return {name: _least(r, sessions) for name, r in report_queries.reports().items()}


def months(url: str) -> dict[str, float]:
    """Milliseconds in which an analyst has a month of each cube added up, the least of three."""
    with connect(url, "aca-warehouse bench") as owner:
        month = scalar(owner, "bench/analysts.last_month")
        name, password = logins.trial(owner, role_of("analyst"), [], None)
        try:
            with connect(make_conninfo(url, user=name, password=password), "bench") as analyst:
                path = ", ".join(role_of("analyst").path)
                set_config(analyst, "search_path", path, is_local=False)
                return {cube.name: _month(analyst, cube, month) for cube in CUBES.values()}
        finally:
            logins.drop(owner, name)


def _month(analyst: psycopg.Connection[Any], cube: Cube, month: date) -> float:
    days = ("month", "service_date", "discharge_date", "last_service_date")
    day = next(column for column in days if column in cube_columns(cube.name))
    measure = next(column for column in cube_columns(cube.name) if column in MEASURES)
    took = []
    for _ in range(TIMES):
        started = time.perf_counter()
        run(
            analyst,
            "bench/analysts.month_of_cube",
            {"month": month},
            cube=sql.Identifier(cube.name),
            measure=sql.Identifier(measure),
            day=sql.Identifier(day),
        ).fetchall()
        took.append(time.perf_counter() - started)
    return round(1000 * min(took), 1)


def show_months(result: Mapping[str, float]) -> None:
    """Print the milliseconds of each cube."""
    show_table(
        f"A month of each cube for an analyst, warm, the least of {TIMES}",
        ("cube", f"ms (at most {MOST_OF_MONTH})"),
        ((cube, f"{took:.1f}") for cube, took in result.items()),
    )


def show(result: dict[str, Seconds]) -> None:
    """Print a row per report: the owner's seconds, and of the others how many times as long."""
    rows = []
    for name, spent in result.items():
        owner = spent["owner"] or 0.0
        ratios = (f"{took / owner:.2f}" if took and owner else "" for took in map(spent.get, ROLES))
        rows.append((name, f"{owner:.4f}", *ratios))
    most = (f"{who} (at most {most})" for who, most in MOST.items())
    show_table(
        f"Documented reports by who asks, warm, the least of {TIMES}; the owner = 1",
        ("report", "owner, s", *most),
        rows,
    )


def _least(
    report: report_queries.Report, sessions: Mapping[str, psycopg.Connection[Any]]
) -> Seconds:
    """The least seconds that a report took each session, which ask it in turn."""
    least: Seconds = dict.fromkeys(sessions)
    for _ in range(TIMES):
        for who, session in sessions.items():
            took = _seconds(report, session)
            least[who] = None if took is None else min(took, least[who] or took)
    return least


def _seconds(report: report_queries.Report, session: psycopg.Connection[Any]) -> float | None:
    """The seconds that a report took; none where the session may not ask it."""
    started = time.perf_counter()
    try:
        report.ask(session)
    except _REFUSED:
        return None
    except psycopg.errors.QueryCanceled:
        return float("inf")
    return round(time.perf_counter() - started, 5)
