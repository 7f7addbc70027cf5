"""The metrics: what they are, and the file of them that Prometheus reads.

They have no timestamps of their own: a file that is no longer written shows by
``aca_health_timestamp_seconds``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from etl.contracts.checks import SEVERITIES
from etl.db.connection import reading
from etl.db.statements import run
from etl.operations.budget import Record
from etl.operations.incidents import Incident
from etl.operations.judge import Judgment
from etl.operations.objectives import Severity

Rows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Metric:
    """A gauge. ``unit`` as its name ends; ``statement``: the named statement that measures it.

    Without a statement it comes of the look itself. It is absent while the database is down then,
    if it is about what is in it.
    """

    name: str
    means: str
    unit: str
    labels: tuple[str, ...] = ()
    statement: str | None = None


_SQL = "operations/metrics"
METRICS = (
    Metric("aca_database_up", "1 if the database answers, else 0.", "0 or 1"),
    Metric(
        "aca_health_timestamp_seconds",
        "When service levels were last judged, by make health or at the end of a run.",
        "seconds since 1970",
    ),
    Metric(
        "aca_objective_met",
        "1 if the service level is met for the subject, else 0.",
        "0 or 1",
        ("objective", "subject", "severity"),
    ),
    Metric(
        "aca_error_budget_left_ratio",
        "Share of the error budget of the service level's window that is left; below 0 when it is "
        "overspent.",
        "ratio",
        ("objective",),
    ),
    Metric(
        "aca_incidents_open",
        "Incidents that are open.",
        "incidents",
        ("severity",),
    ),
    Metric(
        "aca_feed_age_seconds",
        "Time since each feed came last.",
        "seconds",
        ("feed",),
    ),
    Metric(
        "aca_last_success_timestamp_seconds",
        "When each command last ended well.",
        "seconds since 1970",
        ("command",),
        f"{_SQL}.last_success",
    ),
    Metric(
        "aca_stage_seconds",
        "How long each stage took when it was last done.",
        "seconds",
        ("stage",),
        f"{_SQL}.stage_seconds",
    ),
    Metric(
        "aca_stage_rows",
        "What each stage counted when it was last done, by the names of ledger.stage_run.",
        "rows",
        ("stage", "count"),
        f"{_SQL}.stage_rows",
    ),
    Metric(
        "aca_quarantine_open_rows",
        "Rejected rows that nobody has dealt with.",
        "rows",
        ("feed",),
        f"{_SQL}.quarantine_open_rows",
    ),
    Metric(
        "aca_failed_checks",
        "Checks that failed in the latest run of all of them.",
        "checks",
        ("severity",),
        f"{_SQL}.failed_checks",
    ),
    Metric(
        "aca_backup_age_seconds",
        "Time since the newest backup that is there began.",
        "seconds",
        (),
        f"{_SQL}.backup_age",
    ),
    Metric(
        "aca_drill_age_seconds",
        "Time since a backup was last restored and compared well.",
        "seconds",
        (),
        f"{_SQL}.drill_age",
    ),
    Metric(
        "aca_report_seconds",
        "How long each documented report took when it was last run.",
        "seconds",
        ("report",),
        f"{_SQL}.report_seconds",
    ),
    Metric(
        "aca_replica_lag_seconds",
        "How long ago the server wrote what each replica that reads its log has not applied.",
        "seconds",
        ("replica",),
        f"{_SQL}.replica_lag_seconds",
    ),
    Metric(
        "aca_replica_lag_bytes",
        "How much of the server's log each replica that reads it has not applied.",
        "bytes",
        ("replica",),
        f"{_SQL}.replica_lag_bytes",
    ),
)
_DAY = 86_400


def measured(connection: psycopg.Connection[Any], now: datetime) -> Rows:
    """The rows of the metrics that a statement measures: label values, then the value."""
    values = {"now": now, "severities": list(SEVERITIES)}
    with reading(connection):
        return {
            metric.name: run(connection, metric.statement, values).fetchall()
            for metric in METRICS
            if metric.statement is not None
        }


def seen(
    judged: Iterable[Judgment],
    incidents: Iterable[Incident],
    records: Iterable[Record],
    now: datetime,
) -> Rows:
    """The rows of the metrics that come of a look itself."""
    judged = list(judged)
    is_up = all(j.objective.statement or j.broken_since is None for j in judged)
    still_open = [incident.severity for incident in incidents if incident.is_open]
    return {
        "aca_database_up": [(int(is_up),)],
        "aca_health_timestamp_seconds": [(now.timestamp(),)],
        "aca_objective_met": [
            (j.objective.name, j.subject, j.objective.severity.value, int(j.broken_since is None))
            for j in judged
        ],
        "aca_error_budget_left_ratio": [(r.objective.name, r.budget_left) for r in records],
        "aca_incidents_open": [(s.value, still_open.count(s.value)) for s in Severity],
        "aca_feed_age_seconds": [
            (j.subject, j.measured * _DAY)
            for j in judged
            if j.objective.name == "feed_freshness" and j.measured is not None
        ],
    }


def write(file: Path, rows: Rows) -> None:
    """Write the file, whole or not at all; metrics without rows are left out."""
    registry = CollectorRegistry()
    for metric in METRICS:
        if found := rows.get(metric.name):
            gauge = Gauge(metric.name, metric.means, metric.labels, registry=registry)
            for *labels, value in found:
                (gauge.labels(*labels) if labels else gauge).set(value)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(file), registry)
