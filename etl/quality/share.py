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
from itertools import chain
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from etl.contracts.checks import CRITICAL
from etl.contracts.feeds import FEEDS
from etl.db.connection import set_search_path
from etl.db.statements import Parts, Values, run, statement
from etl.quality.checks.by_month import FACTS, HISTORY, PAST, STAGING
from etl.retention.staging_archive import StagingArchive
from etl.schema import layout
from etl.stages import tables
from etl.warehouse.staging import PARTITIONED
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

    It looks at everything where there are few claims, or nothing of the build was looked at yet,
    and on a cluster, where no share was tried.
    Months in which a critical check failed are looked at until it passes.
    """
    asked = {"loads": list(loads)}
    found = run(connection, "checks/share.months", asked, parents=_literals(FACTS)).fetchall()
    months = [month for month, _ in found]
    last = run(connection, "checks/share.last_look", asked).fetchone()
    if nights is None or last is None or not _may_be_shared(connection, build):
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


def _may_be_shared(connection: psycopg.Connection[Any], build: Build) -> bool:
    claims = tables.rows_about(connection, build.schemas.warehouse, FACT_CLAIM.table)
    return claims > WHOLE_UP_TO and not layout.is_cluster(connection)


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
def taken(
    connection: psycopg.Connection[Any],
    build: Build,
    look: Look,
    archive: StagingArchive | None = None,
) -> Iterator[None]:
    """A transaction that sees one state of the database, and the share taken apart.

    ``archive``: has rows of staging that are in no table. Once all is taken nothing can be
    written.
    """
    with connection.transaction():
        run(connection, "db/session.one_state")
        set_search_path(connection, build.schemas.path)
        run(connection, "ledger/session.work_transaction")
        run(connection, "ledger/session.checks_transaction")
        if not look.is_whole:
            _take(connection, look, archive)
        elif archive is not None:
            _add_archived(connection, build, archive)
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


def _add_archived(
    connection: psycopg.Connection[Any], build: Build, archive: StagingArchive
) -> None:
    """Let staging have what is in files as well, for whoever finds copies first."""
    for feed in map(FEEDS.__getitem__, PARTITIONED):
        files = archive.files(connection, [feed.name])
        if not files:
            continue
        archived = sql.Identifier(f"archived_{feed.table}")
        table = sql.Identifier(build.schemas.staging, feed.table)
        run(connection, "checks/share.create_archived", archived=archived, table=table)
        for file in files:
            archive.read_into(connection, feed, file, archived)
        run(connection, "checks/share.analyze", name=archived)
        parts = {"name": sql.Identifier(feed.table), "table": table, "archived": archived}
        run(connection, "checks/share.with_archived", **parts)


def _take(connection: psycopg.Connection[Any], look: Look, archive: StagingArchive | None) -> None:
    """Copy the rows of the claims that are looked at."""
    _take_archived_claims(connection, look, archive)
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
                statement("checks/share.archived_claims"),
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
        if archive is not None and name in STAGING:
            _take_archived_rows(connection, archive, name)
        run(connection, "checks/share.analyze", name=table)


def _take_archived_claims(
    connection: psycopg.Connection[Any], look: Look, archive: StagingArchive | None
) -> None:
    """Find the claims of files with a row of the months, or of loads since the last look."""
    run(connection, "checks/share.create_archived_claims")
    if archive is None:
        return
    months = [(month, _next(month)) for month in look.months]
    # Asked for before the COPY begins, during which the connection takes nothing else.
    files = archive.files(connection)
    of_loads = archive.files(connection, loads=look.loads_since)
    into = statement("checks/share.fill_archived_claims")
    with connection.cursor() as cursor, cursor.copy(into) as copy:
        for claim in chain(archive.claims_of(files, months), archive.claims_of(of_loads)):
            copy.write_row([claim])


def _take_archived_rows(
    connection: psycopg.Connection[Any], archive: StagingArchive, table: str
) -> None:
    """Add what files have of the claims that are looked at to the copy of a table."""
    feed = next(FEEDS[feed] for feed in PARTITIONED if FEEDS[feed].table == table)
    files = archive.files(connection, [feed.name])
    if files:
        claims = {claim for (claim,) in run(connection, "checks/share.claims_looked_at")}
        for file in archive.having(files, claims):
            archive.read_into(connection, feed, file, sql.Identifier("pg_temp", table), claims)


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
