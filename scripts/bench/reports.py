"""How fast the documented reports are, compared with the same question asked of staging.

``sql/bench/reports.sql`` has a statement for each report that asks about claims, enrollments or
members, under the report's name. Reports on the ledger, on the checks and on what was known before
have none: staging does not contain what they read.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import psycopg
from measuring import show_table
from psycopg import sql

from etl.contracts.feeds import FEEDS
from etl.db.connection import connect, set_config
from etl.db.statements import read_file, statement
from etl.docs import report_queries
from etl.render import claim_status, validity
from etl.stages import tables
from etl.warehouse.tables import LIVE

TIMES = 3
ENOUGH = 60.0  # seconds after which a question is not asked once more
SHARED = (
    "claims_now",
    "members_in_time",
    "members_now",
    "plans_in_time",
    "providers_in_time",
    "enrollments_now",
)

Answer = list[tuple[Any, ...]]


def measure(url: str) -> dict[str, dict[str, Any]]:
    """Seconds of each documented report, the median of three, and of staging where it has one.

    ``SystemExit`` where the two answers to one question differ.
    """
    found: dict[str, dict[str, Any]] = {}
    of_staging = read_file("bench/reports").keys() - set(SHARED)
    rules = {"state": claim_status.state("s"), **validity.BOUNDS}
    shared = rules | {name: statement(f"bench/reports.{name}", **rules) for name in SHARED}
    with connect(url, "aca-warehouse bench") as connection:
        set_config(connection, "search_path", ", ".join(LIVE.schemas.readers_path), is_local=False)
        for feed in FEEDS.values():
            # Or autovacuum would do so in the midst of it.
            tables.analyze(connection, "staging", feed.table)
        for name, report in report_queries.reports().items():
            seconds, answer = _timed(partial(report.ask, connection))
            found[name] = {"star_seconds": seconds}
            if name not in of_staging:
                continue
            asked = statement(f"bench/reports.{name}", **shared)
            seconds, other = _timed(partial(_rows, connection, asked))
            # As sets of rows: where the page's order leaves two rows equal, either may be first.
            if Counter(answer) != Counter(other):
                raise SystemExit(_differing(name, answer, other))
            found[name]["staging_seconds"] = seconds
            found[name]["times_faster"] = round(seconds / found[name]["star_seconds"], 1)
    if unknown := of_staging - found.keys():
        raise SystemExit(f"{', '.join(sorted(unknown))}: no such report is documented.")
    return found


def show(result: dict[str, dict[str, Any]]) -> None:
    """Print a row per report: seconds of the star schema and of staging, and their ratio."""
    rows = []
    for name, spent in result.items():
        staging = spent.get("staging_seconds")
        compared = (f"{staging:.3f}", f"{spent['times_faster']:,.1f}") if staging else ("", "")
        rows.append((name, f"{spent['star_seconds']:.4f}", *compared))
    show_table(
        f"Documented reports, warm, the median of {TIMES}",
        ("report", "star schema, s", "staging, s", "times faster"),
        rows,
    )


def _rows(connection: psycopg.Connection[Any], asked: sql.Composed) -> Answer:
    return connection.execute(asked).fetchall()


def _timed(ask: Callable[[], Answer]) -> tuple[float, Answer]:
    """The median seconds of asking a few times, fewer if it takes long, and the last answer."""
    seconds = []
    for _ in range(TIMES):
        started = time.perf_counter()
        answer = ask()
        seconds.append(time.perf_counter() - started)
        if sum(seconds) > ENOUGH:
            break
    return round(median(seconds), 5), answer


def _differing(name: str, star: Answer, staging: Answer) -> str:
    """How many rows differ; never their values, which can be about a person."""
    only_star = sum((Counter(star) - Counter(staging)).values())
    only_staging = sum((Counter(staging) - Counter(star)).values())
    return (
        f"{name}: {only_star:,} rows of the star schema's answer are not in that of staging, "
        f"{only_staging:,} the other way round."
    )
