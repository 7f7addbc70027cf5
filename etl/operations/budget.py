"""How reliable the warehouse was: times to detect and to repair, and the error budget left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from etl.db.statements import run
from etl.operations.objectives import OBJECTIVES, Objective


@dataclass(frozen=True, slots=True)
class Record:
    """How an objective fared over its window.

    ``incidents``: how many there were, ``still_open`` of them are open. ``mttd``: mean seconds from
    broken to detected; ``mttr``: from detected to met again, of those that are over.
    ``broken_seconds``: how much of the window it was broken.
    """

    objective: Objective
    incidents: int
    still_open: int
    mttd: float | None
    mttr: float | None
    broken_seconds: float

    @property
    def budget_seconds(self) -> float:
        """How much of the window it may be broken."""
        return self.objective.window.total_seconds() * (1 - self.objective.share)

    @property
    def budget_left(self) -> float:
        """The share of the budget that is left; below zero when it is overspent."""
        return 1 - self.broken_seconds / self.budget_seconds


def records(connection: psycopg.Connection[Any], now: datetime) -> list[Record]:
    """How each objective fared over its window up to an instant."""
    by_name = {objective.name: objective for objective in OBJECTIVES}
    seconds = [objective.window.total_seconds() for objective in OBJECTIVES]
    values = {"now": now, "objectives": list(by_name), "seconds": seconds}
    return [
        Record(by_name[name], *figures)
        for name, *figures in run(connection, "operations/incidents.figures", values)
    ]
