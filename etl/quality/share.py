"""A share of the months: what the checks look at of claims where they do not look at everything.

A night looks at the months of service that were looked at longest ago, so many that each has its
turn within ``NIGHTS``, and at every claim that loads named or changed since the last look. Which
months these are follows from ``quality.check_run``: a night that was skipped, or that failed,
leaves no gap. The rows are taken into temporary tables that bear the names of the real ones: the
statements of checks are the same on a share as on everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from etl.contracts.checks import CRITICAL
from etl.db.connection import set_search_path
from etl.db.statements import Parts, Values, run, statement
from etl.quality.checks.by_month import FACTS, HISTORY, PAST, STAGING
from etl.warehouse.tables import FACT_CLAIM, Build

# In how many nights every month has its turn: between two monthly reports each claim was looked at.
NIGHTS = 30
# Up to so many claims everything is looked at, which takes seconds.
WHOLE_UP_TO = 500_000

# Where copies of the claims looked at are found first, and where everything is what it is called.
_COPIES = "pg_temp"


class OpenFailure(NamedTuple):
    """A check that failed: at which run, and the months that were not seen again since."""

    severity: str
    check_run_id: int
    months: list[date]


@dataclass(frozen=True, slots=True)
class Look:
    """What a run of the checks looks at.

    ``months``: those of service of which it looks at every claim, of ``months_there``.
    ``since_load_id``: the latest load that the look before saw, and ``loads_since`` those since,
    whose claims it looks at too; ``None`` where it looks at everything. ``oldest``: when that of
    the other months was looked at that was so longest ago.
    """

    months: tuple[date, ...]
    months_there: int
    since_load_id: int | None = None
    loads_since: tuple[int, ...] = ()
    oldest: datetime | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it looks at everything."""
        return self.since_load_id is None

    @property
    def values(self) -> Values:
        """What the record of the run says of it."""
        return {
            "is_whole": self.is_whole,
            "months": list(self.months),
            "since_load_id": self.since_load_id,
            "oldest": self.oldest,
        }

    @property
    def words(self) -> str:
        """What it looks at where that is a share, for a person."""
        months = ", ".join(f"{month:%Y-%m}" for month in self.months) or "none"
        loads = "load" if len(self.loads_since) == 1 else "loads"
        since = f"; every month was looked at since {self.oldest:%Y-%m-%d}" if self.oldest else ""
        return (
            f"Of claims looked at what {len(self.loads_since):,} {loads} brought or changed since "
            f"the last look, and at a share of {self.months_there:,} months: {months}{since}. "
            "make dq-check ALL=1 looks at everything."
        )


def plan(
    connection: psycopg.Connection[Any], build: Build, loads: Sequence[int], nights: int | None
) -> Look:
    """What a run looks at: everything, or with ``nights`` the share of one of so many.

    It looks at everything where there are few claims, or nothing of the build was looked at yet.
    Months in which a critical check failed are looked at until it passes.
    """
    asked = {"loads": list(loads)}
    found = run(connection, "checks/share.months", asked, parents=_literals(FACTS)).fetchall()
    months = [month for month, _ in found]
    last = run(connection, "checks/share.last_look", asked).fetchone()
    if nights is None or last is None or _are_few(connection):
        return Look(tuple(sorted(months)), len(months))
    _, last_load_id, last_started_at = last
    due = set(months[: math.ceil(len(months) / nights)])
    for failure in open_failures(connection, loads).values():
        due.update(set(failure.months) & set(months) if failure.severity == CRITICAL else ())
    seen = {"last_load_id": last_load_id, "last_started_at": last_started_at, **asked}
    return Look(
        tuple(sorted(due)),
        len(months),
        last_load_id,
        tuple(load_id for (load_id,) in run(connection, "checks/share.loads_since", seen)),
        min((at for month, at in found if at and month not in due), default=None),
    )


def _are_few(connection: psycopg.Connection[Any]) -> bool:
    (claims,) = run(connection, "checks/share.claims").fetchone() or (0,)
    return bool(claims <= WHOLE_UP_TO)


def open_failures(
    connection: psycopg.Connection[Any], loads: Sequence[int], check_run_id: int = 0
) -> dict[str, OpenFailure]:
    """Checks that failed at a look whose months were not all seen again, by name.

    ``check_run_id``: the run at work, which counts as a look.
    """
    asked = {"loads": list(loads), "check_run_id": check_run_id}
    found = run(connection, "checks/share.open_failures", asked)
    return {name: OpenFailure(*rest) for name, *rest in found}


@contextmanager
def taken(connection: psycopg.Connection[Any], build: Build, look: Look) -> Iterator[None]:
    """A transaction that sees one state of the database, and the share taken apart.

    Once it is taken, nothing can be written.
    """
    with connection.transaction():
        run(connection, "db/session.one_state")
        set_search_path(connection, build.schemas.path)
        run(connection, "ledger/session.work_transaction")
        _take(connection, look)
        run(connection, "db/session.change_nothing")
        yield


def turn_to(connection: psycopg.Connection[Any], build: Build, *, share: bool) -> None:
    """Let names of tables stand for the rows that were taken, or for all there are."""
    path = build.schemas.path
    set_search_path(connection, (_COPIES, *path) if share else (*path, _COPIES))


def months_in_part(connection: psycopg.Connection[Any], look: Look) -> list[date]:
    """The months of which some claims were looked at and not every one."""
    days = sql.SQL("\nunion all\n").join(
        statement("checks/share.days_of", name=sql.Identifier(name))
        for name in (FACT_CLAIM.table, *STAGING)
    )
    found = run(
        connection, "checks/share.months_in_part", days=days, in_months=_within(look.months)
    )
    return [month for (month,) in found]


def _take(connection: psycopg.Connection[Any], look: Look) -> None:
    """Copy the rows of the claims that are looked at."""
    shared: dict[str, Parts] = {
        "in_months": _within(look.months),
        "loads_since": sql.SQL("array[{}]::bigint[]").format(
            sql.SQL(", ").join(map(sql.Literal, look.loads_since))
        ),
    }
    run(
        connection,
        "checks/share.find_claims",
        claims=sql.SQL("\nunion\n").join(
            [
                *_each("claims_of_months", FACTS, shared),
                *_each("claims_named", STAGING, shared),
                *_each("claims_changed", PAST, shared),
            ]
        ),
    )
    run(connection, "checks/share.add_key")
    run(connection, "checks/share.analyze", name=sql.Identifier("claim_looked_at"))
    kinds = {
        **dict.fromkeys(FACTS, "copy_facts"),
        **dict.fromkeys((*STAGING, FACT_CLAIM.state), "copy_rows"),
        HISTORY: "copy_history",
    }
    # Before a table is copied its name is still that of the table.
    for name, kind in kinds.items():
        table = sql.Identifier(name)
        run(connection, f"checks/share.{kind}", name=table, table=table, **shared)
        run(connection, "checks/share.analyze", name=table)


def _each(name: str, tables: Sequence[str], parts: dict[str, Parts]) -> list[Parts]:
    """A statement asked of each table."""
    return [
        statement(f"checks/share.{name}", table=sql.Identifier(table), **parts) for table in tables
    ]


def _within(months: Sequence[date]) -> Parts:
    """Whether the day of service of a row ``t`` is in one of the months, each a range of days."""
    ranges = [
        sql.SQL("(t.service_date >= {} and t.service_date < {})").format(
            sql.Literal(month), sql.Literal(_next(month))
        )
        for month in months
    ]
    return sql.SQL("({})").format(sql.SQL(" or ").join(ranges or [sql.SQL("false").format()]))


def _next(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _literals(words: Sequence[str]) -> Parts:
    return sql.SQL(", ").join(map(sql.Literal, words))
