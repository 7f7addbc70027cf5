"""Restore: a backup next to the live database, compared and without the erased, then in its place.

Nothing of the live database changes before the copy is right. The database before it is kept until
somebody confirms that it can go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from etl.config import Settings
from etl.db.connection import connect
from etl.db.statements import run, scalar
from etl.errors import (
    AcaError,
    AlreadyRunningError,
    BatchError,
    RestoreError,
    ServerError,
    UsageError,
    one_line,
)
from etl.inbox.pending import Lookout
from etl.operations.backup import copy, dump, records, staging_files, store, trial
from etl.operations.backup.copy import Copy
from etl.operations.backup.one_server import refuse_cluster
from etl.operations.backup.store import Backup
from etl.pipeline.running import LOCK_KEY, session_name, who_runs
from etl.pipeline.session import set_session_path
from etl.pipeline.summary import Watcher
from etl.server import cluster, exchange, replicas, server
from etl.server.home import Home


@dataclass(slots=True)
class Undone:
    """What an undo did.

    ``kept``: what the restored database is kept as. ``due``: batches to load again that the inbox
    has, ``lost``: those that it no longer has.
    """

    kept: str
    due: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Restored:
    """What a restore did.

    ``state_at``: the moment whose state it has. ``is_short``: the log ended before the one that was
    asked for. ``kept``: what the database before it is kept as, if there was one. ``due``: batches
    to load again that the inbox has, ``lost``: those that it no longer has.
    """

    backup: Backup
    state_at: datetime
    is_short: bool = False
    kept: str = ""
    due: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def restore(settings: Settings, watcher: Watcher, name: str = "", at: str = "") -> Restored:
    """Restore a backup, or the state at a moment, and let it take the live place.

    ``name``: of the backup; the newest one if empty. Raises ``RestoreError`` where that cannot be;
    then nothing was changed.
    """
    _refuse_cluster(settings)
    moment = moment_of(at) if at else None
    if moment is not None and settings.database_url:
        raise UsageError(
            "AT= is for the embedded server, and DATABASE_URL names another.",
            "Ask whoever runs that server, which has its log; or restore a dump (make backups).",
        )
    with store.locked(settings.backups, "restore"), copy.place(settings) as home:
        with _idle_live(settings) as before:
            if settings.database_url:
                url = server.ensure_running(settings)
                bring_up = trial.dump_brought_up(settings, url, home, name)
            else:
                bring_up = trial.brought_up(settings, home, name, moment)
            with bring_up as made:
                _try_out(settings, watcher, made, moment)
        with _idle_live(settings):
            kept = _take_place(settings, home)
    url = server.ensure_running(settings)
    _bring_back_replicas(settings, watcher)
    with suppress(psycopg.errors.UndefinedTable):  # the next run makes it
        records.enter(url, store.listed(settings.backups)[0])
    restored = Restored(made.backup, made.state_at, made.is_short, kept)
    restored.due, restored.lost = _due(settings, url, before)
    return restored


def _refuse_cluster(settings: Settings) -> None:
    """The same as ``refuse_cluster``, of a server that need not run: it may be why one restores."""
    if not settings.is_embedded:
        refuse_cluster(server.ensure_running(settings))


def _try_out(settings: Settings, watcher: Watcher, made: Copy, moment: datetime | None) -> None:
    """See that a copy may take the live place."""
    if moment is None:
        trial.prove(made)
    else:
        trial.require_rows(made)
    with staging_files.at_hand(settings, watcher, made.url, is_to_be_live=True) as own:
        trial.apply_erasures(own, watcher, made.url, is_dump=made.is_dump)


def _take_place(settings: Settings, home: Home) -> str:
    """Let the copy be live; what the database before it is kept as, if there was one."""
    if settings.database_url:
        return f"the database {dump.take_place(server.ensure_running(settings))}"
    kept = server.take_place(settings, home.cluster)
    return str(kept) if kept else ""


def undo(settings: Settings, watcher: Watcher) -> Undone:
    """Let the database that the last restore replaced be live again; the other one is kept.

    Who was erased after the restore is in it as before, and is erased before it takes the live
    place. Raises ``UsageError`` where none is kept, and ``RestoreError`` where somebody cannot be
    erased; then nothing was changed. Killed anywhere, either of the two is live and whole.
    """
    _refuse_cluster(settings)
    with store.locked(settings.backups, "restore UNDO=yes"):
        copy.clear(settings)
        with _idle_live(settings) as before:
            exchange_kept = _kept_given if settings.database_url else _kept_embedded
            kept = exchange_kept(settings, watcher)
        url = server.ensure_running(settings)
        _bring_back_replicas(settings, watcher)
    undone = Undone(kept)
    undone.due, undone.lost = _due(settings, url, before)
    return undone


def _kept_given(settings: Settings, watcher: Watcher) -> str:
    """Let the database kept on a server of somebody else be live; what the other one is now."""
    url = server.ensure_running(settings)
    kept = _newest(dump.kept(url))
    also = trial.erased_in(url)
    with staging_files.at_hand(settings, watcher, dump.at(url, kept), is_to_be_live=True) as own:
        if also or trial.erased_by_now(settings):
            trial.apply_erasures(own, watcher, dump.at(url, kept), also=also)
    return f"the database {dump.take_place_again(url, kept)}"


def _kept_embedded(settings: Settings, watcher: Watcher) -> str:
    """Let the database kept next to the embedded server's be live; where the other one is now."""
    kept = Path(_newest(exchange.kept(server.home_of(settings))))
    also: dict[str, str | None] = {}
    with suppress(psycopg.OperationalError):
        if live := _live_url(settings):
            also = trial.erased_in(live)
    if also or trial.erased_by_now(settings) or staging_files.are_there(settings):
        with (
            _started(settings, kept) as url,
            staging_files.at_hand(settings, watcher, url, is_to_be_live=True) as own,
        ):
            if also or trial.erased_by_now(settings):
                trial.apply_erasures(own, watcher, url, also=also)
    return str(server.take_place(settings, kept))


@contextmanager
def _started(settings: Settings, kept: Path) -> Iterator[str]:
    """A server on a kept database; ``RestoreError`` where it does not start."""
    with ExitStack() as opened:
        try:
            url = opened.enter_context(copy.kept_started(settings, kept))
        except ServerError as error:
            raise RestoreError(
                f"The database {kept} cannot be started to erase in it who was erased since: "
                f"{error.message}",
                "Restore a backup instead (make backups lists them); nothing was changed.",
            ) from error
        yield url


def _bring_back_replicas(settings: Settings, watcher: Watcher) -> None:
    """Make the replicas again, which were of the database that was replaced."""
    try:
        replicas.bring_back(settings, watcher.say)
    except AcaError as error:  # the restore is done anyway
        watcher.say(f"{error.message} {error.hint}")


def _newest(kept: Sequence[Path | str]) -> str:
    """The last of what is kept; ``UsageError`` where nothing is."""
    if not kept:
        raise UsageError(
            "There is nothing to undo: no database is kept that a restore has replaced.",
            "After make restore CONFIRM=yes it is deleted. Nothing was changed.",
        )
    return str(kept[-1])


def confirm(settings: Settings) -> list[str]:
    """Delete the databases that restores have replaced; ``UsageError`` where there is none."""
    with store.locked(settings.backups, "restore CONFIRM=yes"):
        copy.clear(settings)
        if settings.database_url:
            forgotten = dump.forget(server.ensure_running(settings))
        else:
            forgotten = list(map(str, exchange.forget(server.home_of(settings))))
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
    with ExitStack() as opened:
        loaded: set[str] = set()
        # A database that is beyond use is a reason to restore.
        with suppress(ServerError, psycopg.OperationalError, psycopg.errors.UndefinedTable):
            if url := _live_url(settings):
                session = opened.enter_context(closing(connect(url, session_name("restore"))))
                _take_lock(session)
                opened.callback(_unlock, session)
                loaded = _loaded(session)
        yield loaded


def _live_url(settings: Settings) -> str | None:
    """Where the live database is; none where it does not run."""
    if settings.database_url:
        return server.ensure_running(settings)
    home = server.home_of(settings)
    port = cluster.running_port(home) if home.cluster.exists() else None
    return cluster.url_of(cluster.password_of(home), port) if port else None


def _unlock(session: psycopg.Connection[Any]) -> None:
    with suppress(psycopg.Error):
        run(session, "ledger/ledger.unlock", {"key": LOCK_KEY})


def _take_lock(session: psycopg.Connection[Any]) -> None:
    if not scalar(session, "ledger/ledger.try_lock", {"key": LOCK_KEY}):
        found = "".join(f"It is {said}. " for said in who_runs(session))
        raise AlreadyRunningError(
            "A run is working on the warehouse that would be replaced.",
            f"{found}Wait for it to end. Nothing was changed.",
        )


def _loaded(session: psycopg.Connection[Any]) -> set[str]:
    return {batch for (batch,) in run(session, "operations/restore.loaded_batches")}


def _due(settings: Settings, url: str, before: set[str]) -> tuple[list[str], list[str]]:
    """Which batches have to be loaded again, and which of them the inbox no longer has."""
    with closing(connect(url, copy.SESSION)) as session:
        set_session_path(session)
        with suppress(psycopg.errors.UndefinedTable):
            due = before - _loaded(session)
            there: set[str] = set()
            with suppress(BatchError):
                inbox = Lookout(settings.inbox, None, only_looks=True).look(session)
                there = {batch.batch_id for batch in inbox.batches}
                due |= {batch.batch_id for batch, _ in inbox.pending}
            return sorted(due & there), sorted(due - there)
    return [], []
