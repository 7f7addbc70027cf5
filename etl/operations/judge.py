"""Whether the service levels are met at an instant, seen from outside of any run."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from etl.config import Settings
from etl.contracts.feeds import FEEDS
from etl.contracts.senders import SENDERS
from etl.db.connection import reading
from etl.db.statements import run
from etl.errors import one_line
from etl.operations.objectives import (
    DATABASE,
    LEAST_COST,
    LOADS,
    NIGHT,
    OBJECTIVES,
    Objective,
    Severity,
    latest_deadline,
)
from etl.server import replicas, server
from etl.warehouse.tables import LIVE


@dataclass(frozen=True, slots=True)
class Judgment:
    """One objective for one subject at an instant.

    ``measured`` and ``allowed``: in the objective's unit; ``None`` where nothing could be measured.
    ``broken_since``: ``None`` while it is met. ``why``: what is known of the cause.
    """

    objective: Objective
    subject: str
    measured: float | None
    allowed: float | None
    broken_since: datetime | None
    why: str = ""

    @property
    def state(self) -> str:
        """ok, warning or breach."""
        return "ok" if self.broken_since is None else self.objective.severity.value

    @property
    def title(self) -> str:
        """The objective, and its subject if there is more than one."""
        return f"{self.objective.name} of {self.subject}" if self.subject else self.objective.name


def judge(
    connection: psycopg.Connection[Any],
    settings: Settings,
    now: datetime,
    is_synthetic: bool,
    seconds: float,
) -> list[Judgment]:
    """Measure every objective of a database that answered after so many seconds.

    ``is_synthetic``: the days of its batches are none of the real world.
    """
    values = _values(settings, now, is_synthetic=is_synthetic)
    judged = [Judgment(DATABASE, "", seconds, DATABASE.limit, None)]
    with reading(connection):
        for objective in OBJECTIVES:
            if objective.statement is not None:
                judged += _measure(connection, objective, values)
    return judged


def database_down(now: datetime, why: str) -> Judgment:
    """That the database cannot be asked, which is all that can be said then."""
    return Judgment(DATABASE, "", None, DATABASE.limit, now, why)


def worst(judged: Sequence[Judgment]) -> str:
    """The state of all of them together."""
    states = {judgment.state for judgment in judged}
    order = (Severity.BREACH.value, Severity.WARNING.value)
    return next((state for state in order if state in states), "ok")


def _values(settings: Settings, now: datetime, *, is_synthetic: bool) -> dict[str, Any]:
    """What the statements of the objectives are given besides their limit."""
    deadline = latest_deadline(now, settings.load_due, settings.load_zone)
    agreed = [(feed.name, feed.name, feed.freshness_days) for feed in FEEDS.values()]
    agreed += [(s.name, s.feed.name, s.expected_freshness_days) for s in SENDERS.values()]
    limited = [agreement for agreement in agreed if agreement[2] is not None]
    contracts, feeds, days = zip(*limited, strict=True)
    return {
        "now": now,
        "deadline": deadline,
        "night_began": deadline - NIGHT,
        "loads": list(LOADS),
        "disk_free": _disk_free(settings),
        "replicas": replicas.wanted_in(settings),
        "schemas": list(LIVE.schemas.names),
        "is_synthetic": is_synthetic,
        "contracts": list(contracts),
        "feeds": list(feeds),
        "feed_days": list(days),
        "least_cost": LEAST_COST,
    }


def _disk_free(settings: Settings) -> int | None:
    """Bytes that are free where the database is; ``None`` where that cannot be seen from here."""
    folder = server.data_folder(settings)
    try:
        return None if folder is None else shutil.disk_usage(folder).free
    except OSError:
        return None


def _measure(
    connection: psycopg.Connection[Any], objective: Objective, values: dict[str, Any]
) -> list[Judgment]:
    assert objective.statement is not None
    try:
        with connection.transaction():
            asked = {**values, "limit": objective.limit}
            rows = run(connection, objective.statement, asked).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        return []  # a managed server does not show everything to the warehouse's owner
    return [Judgment(objective, one_line(subject), *rest) for subject, *rest in rows]
