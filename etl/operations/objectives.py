"""The service levels: what is measured, how good it has to be, how often, and what to do else.

An objective is met or broken at any instant. Over its window it may be broken for a share of the
time, the error budget (``etl.operations.incidents`` counts what is left of it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum

# A run counts for a night that ended at most so long before its deadline, or after it.
NIGHT = timedelta(hours=12)
# The commands that load what has come.
LOADS = ("full-load", "incremental")
# How many times as much a report may cost after its plan has changed its shape.
REPORT_COST = 1.5
# In the planner's unit, about 10 ms: of a report that cost less before, this is taken instead, so
# that nobody is called for one that nobody waits for.
LEAST_COST = 1000


class Severity(StrEnum):
    """What a broken objective is: readers suffer now, or will if nobody does anything."""

    WARNING = "warning"
    BREACH = "breach"


@dataclass(frozen=True, slots=True)
class Objective:
    """One service level.

    ``means``: when it is met, as a sentence. ``statement``: the named statement that measures it,
    with a row per subject (a feed, a report; empty where there is one only): subject, measured,
    allowed, both in ``unit``, since when it is broken, NULL if it is met, and perhaps why. Without
    a statement it is about whether the database answers, which no statement can say. ``limit``:
    what is allowed, where the subject does not say so itself. ``share``: of the time of the window
    in which it has to be met. ``runbook``: the page of docs/runbooks that says what to do.
    """

    name: str
    means: str
    statement: str | None
    limit: float
    unit: str
    share: float
    window: timedelta
    severity: Severity
    runbook: str

    def __post_init__(self) -> None:
        if self.unit not in _SHOWN:
            raise ValueError(f"{self.name}: {self.unit} is no known unit")
        if not 0 < self.share < 1:
            raise ValueError(f"{self.name}: {self.share} leaves no error budget, or is no share")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


# How figures of a unit are shown to a person.
_SHOWN: dict[str, Callable[[float], str]] = {
    "seconds": _duration,
    "days": lambda n: f"{n:,.1f} days",
    "times": lambda n: f"{n:,.1f} times",
    "share": lambda n: f"{n:.1%}",
    "rows": lambda n: f"{n:,.0f} rows",
    "batches": lambda n: f"{n:,.0f} batches",
    "stages": lambda n: f"{n:,.0f} stages",
    "bytes": lambda n: f"{n / 2**20:,.0f} MiB",
}

DATABASE = Objective(
    "database",
    "The database answers in time and has the ledger of this version.",
    None,
    5,
    "seconds",
    share=0.995,
    window=timedelta(days=30),
    severity=Severity.BREACH,
    runbook="the-load-failed",
)

OBJECTIVES = (
    DATABASE,
    Objective(
        "nightly_load",
        "A load ended well by the time it is due (LOAD_DUE, LOAD_ZONE).",
        "operations/objectives.nightly_load",
        0,
        "seconds",
        share=0.99,
        window=timedelta(days=90),
        severity=Severity.BREACH,
        runbook="the-load-failed",
    ),
    Objective(
        "load_success",
        "Nearly all loads of the last 28 days ended well, if need be at a later try.",
        "operations/objectives.load_success",
        0.9,
        "share",
        share=0.95,
        window=timedelta(days=90),
        severity=Severity.WARNING,
        runbook="the-load-failed",
    ),
    Objective(
        "feed_freshness",
        "Each feed came within the days that its contract allows.",
        "operations/objectives.feed_freshness",
        0,
        "days",
        share=0.97,
        window=timedelta(days=90),
        severity=Severity.BREACH,
        runbook="late-feed",
    ),
    Objective(
        "held_feed",
        "No file waits because several of its sender in a row were refused.",
        "operations/objectives.held_feed",
        0,
        "days",
        share=0.97,
        window=timedelta(days=90),
        severity=Severity.WARNING,
        runbook="sender-held",
    ),
    Objective(
        "quality_score",
        "The score of the latest run of every check is high enough.",
        "operations/objectives.quality_score",
        0.95,
        "share",
        share=0.97,
        window=timedelta(days=90),
        severity=Severity.BREACH,
        runbook="wrong-numbers",
    ),
    Objective(
        "latest_stage",
        "The latest stage ended well.",
        "operations/objectives.latest_stage",
        0,
        "stages",
        share=0.97,
        window=timedelta(days=90),
        severity=Severity.BREACH,
        runbook="the-load-failed",
    ),
    Objective(
        "refused_batches",
        "No batch is refused.",
        "operations/objectives.refused_batches",
        0,
        "batches",
        share=0.97,
        window=timedelta(days=90),
        severity=Severity.BREACH,
        runbook="a-batch-was-refused",
    ),
    Objective(
        "checks",
        "No check fails that says that numbers are wrong: no critical and no major one.",
        "operations/objectives.checks",
        0,
        "rows",
        share=0.97,
        window=timedelta(days=90),
        severity=Severity.BREACH,
        runbook="wrong-numbers",
    ),
    Objective(
        "arrivals",
        "What came last of each feed is like what came before, in volume and values.",
        "operations/objectives.arrivals",
        1,
        "times",
        share=0.95,
        window=timedelta(days=90),
        severity=Severity.WARNING,
        runbook="wrong-numbers",
    ),
    Objective(
        "report_cost",
        "No documented report costs many times what it did before its plan changed.",
        "operations/objectives.report_cost",
        REPORT_COST,
        "times",
        share=0.97,
        window=timedelta(days=90),
        severity=Severity.BREACH,
        runbook="slow",
    ),
    Objective(
        "report_seconds",
        "The documented reports answer in time, 95 in 100 times.",
        "operations/objectives.report_seconds",
        10,
        "seconds",
        share=0.97,
        window=timedelta(days=90),
        severity=Severity.BREACH,
        runbook="slow",
    ),
    Objective(
        "backup_age",
        "There is a backup that is not older than a day and two hours.",
        "operations/objectives.backup_age",
        26 * 3600,
        "seconds",
        share=0.97,
        window=timedelta(days=90),
        severity=Severity.BREACH,
        runbook="no-backup",
    ),
    Objective(
        "drill_age",
        "A backup was restored and compared well in the last 30 days (make restore-drill).",
        "operations/objectives.drill_age",
        30,
        "days",
        share=0.95,
        window=timedelta(days=365),
        severity=Severity.WARNING,
        runbook="no-backup",
    ),
    Objective(
        "disk_room",
        "The disk has room for a full load next to the live warehouse.",
        "operations/objectives.disk_room",
        0,
        "bytes",
        share=0.97,
        window=timedelta(days=90),
        severity=Severity.WARNING,
        runbook="disk-full",
    ),
    Objective(
        "wal_backlog",
        "The server's log (WAL) does not pile up, waiting for its archive or for a standby.",
        "operations/objectives.wal_backlog",
        2**30,
        "bytes",
        share=0.99,
        window=timedelta(days=30),
        severity=Severity.WARNING,
        runbook="disk-full",
    ),
    Objective(
        "replica_lag",
        "Each replica reads the server's log and is no more than five minutes behind.",
        "operations/objectives.replica_lag",
        300,
        "seconds",
        share=0.97,
        window=timedelta(days=90),
        severity=Severity.WARNING,
        runbook="replicas",
    ),
)


def latest_deadline(now: datetime, due: time, zone: tzinfo) -> datetime:
    """The latest instant not after ``now``, UTC, at which the clocks of a zone show a time."""
    day = now.astimezone(zone).date()
    candidates = (
        datetime.combine(day - timedelta(days=back), due, zone).astimezone(UTC) for back in (0, 1)
    )
    return next(deadline for deadline in candidates if deadline <= now)


def shown(value: float, unit: str) -> str:
    """A figure of an objective's unit, for a person."""
    return _SHOWN[unit](value)
