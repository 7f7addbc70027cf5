"""What the warehouse is like now: its day, its last load, and what the checks found.

Read with the eyes of whoever asks: what a role may not read, and what is not there, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import psycopg

from etl.db.statements import run

# A schema or view that is not there, or that the role may not read.
_NOT_SEEN = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
)

CUBES_ARE_DUE = (
    "The cubes lack what was loaded since they were made: make incremental brings them up to date."
)


@dataclass(frozen=True, slots=True)
class LastLoad:
    """The load that came last, and the day that the data speaks of; ``loads``: of how many."""

    batch_id: str
    finished_at: datetime
    day: date
    loads: int


@dataclass(frozen=True, slots=True)
class LastChecks:
    """The latest run of all checks, how many loads came since, and what fails now.

    ``all_since``: since when every claim was looked at, where it looked at a share of them.
    ``failing``: as (check, severity, rows that fail), the worst first.
    """

    finished_at: datetime
    checks: int
    loads_since: int
    all_since: datetime | None = None
    failing: tuple[tuple[str, str, int], ...] = ()

    @property
    def verdict(self) -> str:
        """How many passed and when, in a phrase."""
        failed = len(self.failing)
        said = f"{self.checks - failed:,} of {self.checks:,} checks passed, {at(self.finished_at)}"
        if self.all_since:
            said += f"; every claim was looked at since {at(self.all_since)}"
        if self.loads_since:
            loads = "load has" if self.loads_since == 1 else "loads have"
            said += f"; {self.loads_since:,} {loads} come since"
        return said


@dataclass(frozen=True, slots=True)
class Latest:
    """What the warehouse is like now; ``None`` is what nothing is known of."""

    load: LastLoad | None = None
    checks: LastChecks | None = None

    @property
    def lines(self) -> list[tuple[str, str]]:
        """What a person reads of it, each line with its label."""
        said = []
        if self.load:
            loads = "load" if self.load.loads == 1 else "loads"
            done = f"batch {self.load.batch_id}, {at(self.load.finished_at)}"
            said.append(("As of", f"{self.load.day}, the day that the data speaks of"))
            said.append(("Loaded", f"{done}; {self.load.loads:,} {loads} in all"))
        if self.checks:
            said.append(("Quality", self.checks.verdict))
        return said


def at(instant: datetime) -> str:
    """An instant to the minute, as people read it."""
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def read(connection: psycopg.Connection[Any]) -> Latest:
    """Ask a warehouse, on a connection in autocommit mode."""
    loads = _seen(connection, "load")
    checks = _seen(connection, "quality")
    failing = tuple(_seen(connection, "failing")) if checks else ()
    return Latest(
        LastLoad(*loads[0]) if loads else None,
        replace(LastChecks(*checks[0]), failing=failing) if checks else None,
    )


def _seen(connection: psycopg.Connection[Any], name: str) -> list[tuple[Any, ...]]:
    """The rows of a statement; none where the role may not read them."""
    try:
        return run(connection, f"ledger/latest.{name}").fetchall()
    except _NOT_SEEN:
        return []
