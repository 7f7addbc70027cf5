"""What ``make status`` says of a warehouse, without changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg

from etl.db.connection import connect, set_config
from etl.db.statements import run, scalar
from etl.errors import BatchError, SchemaError, ServerError
from etl.inbox import pending, refused
from etl.inbox.pending import Inbox, Lookout
from etl.pipeline import latest, swap
from etl.pipeline.latest import CUBES_ARE_DUE, Latest
from etl.pipeline.running import who_runs
from etl.pipeline.session import set_session_path
from etl.pipeline.waiting import describe
from etl.retention import horizon
from etl.schema import loader, revisions
from etl.server.requirements import sees_other_sessions

LOOK_SECONDS = 5  # who only looks waits no longer than this for a lock


@dataclass(frozen=True, slots=True)
class Overview:
    """What ``make status`` says of a warehouse.

    ``held``: batches that are not in it. ``running``: the run at work. ``stages``: the latest,
    newest first, as (begun, stage, batch, status, seconds). ``horizon``: rows from before it have
    gone to the archive. ``archived``: files, rows and bytes of staging that are in files.
    ``loader``: who loads and owns the tables, in a sentence. ``latest``: its day, its last load and
    what the checks found.
    """

    held: Sequence[refused.HeldBatch] = ()
    running: Sequence[str] = ()
    stages: Sequence[tuple[Any, ...]] = ()
    horizon: date | None = None
    archived: tuple[int, int, int] = (0, 0, 0)
    loader: str = ""
    latest: Latest = field(default_factory=Latest)


def _look(
    connection: psycopg.Connection[Any],
    inbox: Path,
    now: datetime | None,
    *,
    is_named: bool = False,
) -> Inbox:
    """What the inbox contains, for those who only look; ``is_named``: it has to be there."""
    try:
        lookout = Lookout(inbox, now, only_looks=True, has_to_be_there=is_named)
        return lookout.look(connection)
    except BatchError as error:
        return Inbox(stray=error, is_there=False)


def held_in(
    inbox: Path, now: datetime | None, *, is_named: bool = False
) -> Callable[[psycopg.Connection[Any]], list[refused.HeldBatch]]:
    """What finds the batches of an inbox that are not in a warehouse, without changing either."""
    return lambda connection: refused.held_batches(
        connection, _look(connection, inbox, now, is_named=is_named)
    )


@contextmanager
def _looking(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection for who only looks, and does not wait long for what somebody keeps.

    Raises ``ServerError`` that names who keeps it.
    """
    with connect(url, "aca-warehouse status") as connection:
        set_session_path(connection)
        set_config(connection, "lock_timeout", f"{LOOK_SECONDS}s", is_local=False)
        try:
            yield connection
        except psycopg.errors.LockNotAvailable as error:
            found = run(connection, "ledger/session.who_locks").fetchall()
            whom = "; ".join(map(describe, found)) or "a session that has let go of it since"
            raise ServerError(
                f"A table of the warehouse was locked for {LOOK_SECONDS} s by {whom}.",
                "End that transaction, or ask again when it is over. Nothing was changed.",
            ) from error


def overview(url: str, inbox: Path, now: datetime | None, *, is_named: bool = False) -> Overview:
    """Look at a warehouse and its inbox, which has to be there if named; changes neither."""
    with _looking(url) as connection:
        try:
            running = who_runs(connection)
            values = {"is_at_work": bool(running)}
            return Overview(
                held_in(inbox, now, is_named=is_named)(connection),
                running,
                run(connection, "ledger/ledger.latest_runs", values).fetchall(),
                horizon.in_force(connection),
                archived_rows(connection),
                loader.who_loads(connection),
                latest.read(connection),
            )
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            return Overview()  # no run has made the tables of this version yet


def archived_rows(connection: psycopg.Connection[Any]) -> tuple[int, int, int]:
    """How many files, rows and bytes of staging are archived."""
    found = run(connection, "retention/staging_archive.summary").fetchone()
    return found or (0, 0, 0)


def notices(url: str, archive: Path) -> list[str]:
    """What whoever runs the warehouse should know of it, each in a sentence.

    ``archive``: where rows went whose retention is over.
    """
    with _looking(url) as connection:
        said = swap.notes(connection) + _of_archive(connection, archive) + _of_cubes(connection)
        try:
            revisions.refuse_of_before(connection)
        except SchemaError as error:
            said.append(f"{error.message} {error.hint}")
        if not sees_other_sessions(connection):
            role = scalar(connection, "server/server.login")
            said.append(
                f"{role} cannot see what sessions of other roles are doing, so it cannot say whose "
                f"transaction a run waits for: grant pg_monitor to {role}."
            )
    return said


def _of_cubes(connection: psycopg.Connection[Any]) -> list[str]:
    """That a run ended between the facts and the cubes, as on a full disk."""
    try:
        is_due = scalar(connection, "ledger/ledger.cubes_are_due")
    except psycopg.errors.UndefinedTable:
        return []
    return [CUBES_ARE_DUE] if is_due and not who_runs(connection) else []


def _of_archive(connection: psycopg.Connection[Any], archive: Path) -> list[str]:
    """That a restored or remade database has rows again that had gone, or that a run was killed."""
    try:
        newest, gone = horizon.newest_of(archive), horizon.in_force(connection)
    except (psycopg.errors.UndefinedTable, OSError):
        return []
    if newest is None or (gone is not None and newest <= gone):
        return []
    return [
        f"{archive} has rows from before {newest}, and the warehouse does not know that they have "
        "gone: it was restored or made again since, or the run was stopped. make retention shows "
        "what is still to go."
    ]


def assumed_unchanged(url: str, inbox: Path) -> tuple[int, int]:
    """How many loaded files of the inbox, and bytes of them, are taken as unchanged unread."""
    with _looking(url) as connection:
        try:
            files = pending.assumed(connection, inbox)
        except (psycopg.errors.UndefinedTable, BatchError):
            return 0, 0
        return len(files), sum(file.size_bytes for file in files)
