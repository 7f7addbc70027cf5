"""Restore: a backup next to the live database, compared and without the erased, then in its place.

Nothing of the live database changes before the copy is right. The database before it is kept until
somebody confirms that it can go.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from etl.config import Settings
from etl.db.connection import connect
from etl.db.statements import run, scalar
from etl.errors import AlreadyRunningError, BatchError, ServerError, UsageError, one_line
from etl.inbox.pending import Lookout
from etl.operations.backup import copy, records, store, trial
from etl.operations.backup.store import Backup
from etl.pipeline.running import LOCK_KEY, session_name, who_runs
from etl.pipeline.session import set_session_path
from etl.pipeline.summary import Watcher
from etl.server import cluster, exchange, server


@dataclass(slots=True)
class Restored:
    """What a restore did.

    ``state_at``: the moment whose state it has. ``is_short``: the log ended before the one that was
    asked for. ``kept``: where the database before it is. ``due``: batches to load again, ``lost``:
    those among them that the inbox no longer has.
    """

    backup: Backup
    state_at: datetime
    is_short: bool = False
    kept: Path | None = None
    due: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def restore(settings: Settings, watcher: Watcher, name: str = "", at: str = "") -> Restored:
    """Restore a backup, or the state at a moment, and let it take the live place.

    ``name``: of the backup; the newest one if empty. Raises ``RestoreError`` where that cannot be;
    then nothing was changed.
    """
    moment = moment_of(at) if at else None
    with ExitStack() as opened:
        opened.enter_context(store.locked(settings.backups, "restore"))
        before = opened.enter_context(_idle_live(settings))
        home = opened.enter_context(copy.place(settings))
        with trial.brought_up(settings, home, name, moment) as made:
            if moment is None:
                trial.prove(made)
            else:
                trial.require_rows(made)
            trial.apply_erasures(settings, watcher, made)
        kept = server.take_place(settings, home.cluster)
    url = server.ensure_running(settings)
    with suppress(psycopg.errors.UndefinedTable):  # the next run makes it
        records.enter(url, store.listed(settings.backups)[0])
    restored = Restored(made.backup, made.state_at, made.is_short, kept)
    _name_due(settings, url, before, restored)
    return restored


def confirm(settings: Settings) -> list[Path]:
    """Delete the databases that restores have replaced; ``UsageError`` where there is none."""
    with store.locked(settings.backups, "restore CONFIRM=yes"):
        forgotten = exchange.forget(server.home_of(settings))
    if not forgotten:
        raise UsageError(
            "There is nothing to confirm: no database is kept that a restore has replaced.",
            "make restore restores the newest backup first.",
        )
    return forgotten


def moment_of(text: str) -> datetime:
    """A moment that a person wrote; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"AT={one_line(text)!r} is no moment.", "Write it as AT='2025-03-01 17:59:30' (UTC)."
        ) from None


@contextmanager
def _idle_live(settings: Settings) -> Iterator[set[str]]:
    """Let no run begin on the live database, if it answers; the batches that it has loaded."""
    home = server.home_of(settings)
    with ExitStack() as opened:
        port = cluster.running_port(home) if home.cluster.exists() else None
        loaded: set[str] = set()
        # A database that is beyond use is a reason to restore.
        with suppress(ServerError, psycopg.OperationalError, psycopg.errors.UndefinedTable):
            if port is not None:
                url = cluster.url_of(cluster.password_of(home), port)
                session = opened.enter_context(closing(connect(url, session_name("restore"))))
                _take_lock(session)
                loaded = _loaded(session)
        yield loaded


def _take_lock(session: psycopg.Connection[Any]) -> None:
    if not scalar(session, "ledger/ledger.try_lock", {"key": LOCK_KEY}):
        found = "".join(f"It is {said}. " for said in who_runs(session))
        raise AlreadyRunningError(
            "A run is working on the warehouse that would be replaced.",
            f"{found}Wait for it to end. Nothing was changed.",
        )


def _loaded(session: psycopg.Connection[Any]) -> set[str]:
    return {batch for (batch,) in run(session, "operations/restore.loaded_batches")}


def _name_due(settings: Settings, url: str, before: set[str], restored: Restored) -> None:
    """Say which batches have to be loaded again, and which of them the inbox no longer has."""
    with closing(connect(url, copy.SESSION)) as session:
        set_session_path(session)
        with suppress(psycopg.errors.UndefinedTable):
            due = before - _loaded(session)
            there: set[str] = set()
            with suppress(BatchError):
                inbox = Lookout(settings.inbox, None, only_looks=True).look(session)
                there = {batch.batch_id for batch in inbox.batches}
                due |= {batch.batch_id for batch, _ in inbox.pending}
            restored.due, restored.lost = sorted(due & there), sorted(due - there)
