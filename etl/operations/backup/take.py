"""Take: make a backup, check it, and let go of those that are no longer kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from etl.access import erasure_files
from etl.config import Settings
from etl.db.connection import connect
from etl.db.statements import run, scalar
from etl.errors import RestoreError, UsageError
from etl.operations.backup import (
    archive,
    copy,
    inbox_list,
    keep,
    physical,
    programs,
    records,
    store,
)
from etl.operations.backup.encryption import Recipients
from etl.operations.backup.store import FULL, INCREMENTAL, MANIFEST, Backup, Label
from etl.server import server
from etl.server.cluster import MAJOR

# After so long a backup is a full one again: a chain is restored from its beginning, and goes as a
# whole.
_LONGEST_CHAIN = timedelta(days=7)
# So much of the database, at most, an incremental backup is expected to take.
_INCREMENTAL_SHARE = 0.25

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Source:
    """The server to back up, as it is before that."""

    url: str
    system: int
    bytes: int
    build: int


def take(settings: Settings, say: Say, *, full: bool = False) -> Backup:
    """Make a backup; ``full``: not one that builds on the last.

    Raises ``UsageError`` where there is no room, ``ServerError`` where the server gives none.
    """
    recipients = Recipients(settings.backup.recipients)
    url = server.ensure_running(settings)
    folder = settings.backups
    with store.locked(folder, "backup"):
        copy.clear(settings)
        found, wrong = store.listed(folder)
        for problem in wrong.values():
            say(problem.message)
        source = _inspect(url, settings, say)
        parent = None if full else _parent(found, source)
        backup = _make(settings, source, parent, recipients, say)
        if parent and backup.bytes >= store.chain_of(parent, found)[0].bytes:
            say("The incremental backup was no smaller than a full one, which takes its place.")
            store.delete([backup])
            backup = _make(settings, source, None, recipients, say)
        archive.ship(settings, recipients)
        _let_go(settings, [*found, backup], say)
        with suppress(psycopg.errors.UndefinedTable):  # no run has made it yet
            records.enter(url, store.listed(folder)[0])
    return backup


def _inspect(url: str, settings: Settings, say: Say) -> Source:
    with closing(connect(url, physical.SESSION)) as connection:
        row = run(connection, "operations/backup.system").fetchone()
        assert row is not None  # it is about the server
        system, size, keeps_log, has_tablespaces = row
        if has_tablespaces:
            raise UsageError(
                "The server keeps tables in tablespaces, which backups do not reach.",
                "Move the tables: alter table ... set tablespace pg_default.",
            )
        if settings.backup.archive_log != keeps_log:
            say(
                f"ARCHIVE_WAL is {'yes' if settings.backup.archive_log else 'no'}, and the server "
                "was started before that: it takes effect with make down && make up."
            )
        return Source(url, system, size, _build(connection))


def _build(connection: psycopg.Connection[Any]) -> int:
    try:
        return scalar(connection, "operations/backup.build")
    except psycopg.errors.UndefinedTable:
        return 0  # nothing was ever loaded


def _parent(found: list[Backup], source: Source) -> Backup | None:
    """The backup on which an incremental one builds, if one may."""
    if not found or found[-1].label.kind not in (FULL, INCREMENTAL):
        return None
    last = found[-1]
    try:
        begun = store.chain_of(last, found)[0].label.state_at
        store.verify(last)
    except RestoreError:
        return None
    is_same = last.label.system == source.system and last.label.build == source.build
    return last if is_same and datetime.now(UTC) - begun < _LONGEST_CHAIN else None


def _make(
    settings: Settings, source: Source, parent: Backup | None, recipients: Recipients, say: Say
) -> Backup:
    kind = INCREMENTAL if parent else FULL
    wanted = source.bytes * (_INCREMENTAL_SHARE if parent else 1)
    store.require_room(settings.backups, int(wanted * (2 if recipients.keys else 1)), "a backup")
    started = datetime.now(UTC)
    partial = settings.backups / f"{started:%Y%m%dT%H%M%SZ}-{kind}{store.PARTIAL}"
    if partial.with_suffix("").exists():
        time.sleep(1)  # names are by the second
        return _make(settings, source, parent, recipients, say)
    try:
        home = server.home_of(settings)
        state = physical.copy(
            source.url, home, partial, parent.folder / MANIFEST if parent else None
        )
    except programs.ProgramError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if parent is None:
            raise programs.as_server_error("The backup could not be made", error) from error
        say(f"No incremental backup can be made ({error}), so it is a full one.")
        return _make(settings, source, None, recipients, say)
    _add_lists(settings, partial)
    for name in (physical.BASE, physical.LOG):
        recipients.encrypt(partial / name)
    label = Label(
        name=partial.stem,
        kind=kind,
        parent=parent.name if parent else None,
        started_at=started,
        state_at=state.state_at,
        finished_at=datetime.now(UTC),
        database_bytes=source.bytes,
        major=MAJOR,
        recipients=len(recipients.keys),
        build=source.build,
        tables=state.tables,
        reports=state.reports,
        system=state.system,
        timeline=state.timeline,
        start=state.start,
        end=state.end,
        mark=state.mark,
    )
    return store.publish(partial, label)


def _add_lists(settings: Settings, partial: Path) -> None:
    """What a restore needs besides the database: what the inbox had, and who was erased."""
    inbox_list.write(settings.inbox, partial / "inbox.json")
    erased = sorted(erasure_files.listed(settings.data))
    (partial / store.ERASED).write_text("".join(f"{token}\n" for token in erased), encoding="ascii")


def _let_go(settings: Settings, backups: list[Backup], say: Say) -> None:
    gone = keep.to_delete(backups, settings.backup)
    if gone:
        store.delete(gone)
        say(f"Deleted, as BACKUP_KEEP says: {', '.join(backup.name for backup in gone)}.")
    archive.prune(settings, [backup for backup in backups if backup not in gone])
