"""Take: make a backup, check it, and let go of those that are no longer kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from etl.access import erasure_files
from etl.config import Settings
from etl.db.connection import connect
from etl.db.statements import run, scalar
from etl.errors import AcaError, RestoreError, UsageError
from etl.operations.backup import (
    archive,
    copy,
    dump,
    inbox_list,
    keep,
    physical,
    programs,
    records,
    staging_files,
    store,
)
from etl.operations.backup.encryption import Recipients
from etl.operations.backup.one_server import refuse_cluster
from etl.operations.backup.store import DUMP, FULL, INCREMENTAL, MANIFEST, Backup, Label
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
    timeline: int
    bytes: int
    build: int


def take(settings: Settings, say: Say, *, full: bool = False) -> Backup:
    """Make a backup; ``full``: not one that builds on the last.

    Raises ``UsageError`` where there is no room, ``ServerError`` where the server gives none.
    """
    recipients = Recipients(settings.backup.recipients)
    url = server.ensure_running(settings)
    refuse_cluster(url)
    folder = settings.backups
    with store.locked(folder, "backup"):
        copy.clear(settings)
        staging_files.ship(settings, recipients)
        found, wrong = store.listed(folder)
        for problem in wrong.values():
            say(problem.message)
        if settings.database_url:
            backup = _make_dump(settings, url)
        else:
            backup = _make_smaller(settings, _inspect(url, settings, say), found, full, say)
            archive.ship(settings, recipients)
        _let_go(settings, [*found, backup], say)
        with suppress(psycopg.errors.UndefinedTable):  # no run has made it yet
            records.enter(url, store.listed(folder)[0])
    return backup


def _make_smaller(
    settings: Settings, source: Source, found: list[Backup], full: bool, say: Say
) -> Backup:
    """An incremental backup where one may be and is smaller, unless a full one is wanted."""
    parent = None if full else _parent(found, source)
    backup = _make(settings, source, parent, say)
    if parent is None or backup.bytes < store.chain_of(parent, found)[0].bytes:
        return backup
    say("The incremental backup was no smaller than a full one, which is made in its place.")
    store.delete([backup])
    return _make(settings, source, None, say)


def _inspect(url: str, settings: Settings, say: Say) -> Source:
    with closing(connect(url, physical.SESSION)) as connection:
        row = run(connection, "operations/backup.system").fetchone()
        assert row is not None  # it is about the server
        system, timeline, size, keeps_log, has_tablespaces = row
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
        return Source(url, system, timeline, size, _build(connection))


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
    label = last.label
    of_last = (label.system, label.timeline, label.build)
    is_same = of_last == (source.system, source.timeline, source.build)
    return last if is_same and datetime.now(UTC) - begun < _LONGEST_CHAIN else None


def _make(settings: Settings, source: Source, parent: Backup | None, say: Say) -> Backup:
    wanted = source.bytes * (_INCREMENTAL_SHARE if parent else 1)
    partial, started = _begin(settings, INCREMENTAL if parent else FULL, int(wanted))
    try:
        home = server.home_of(settings)
        manifest = parent.folder / MANIFEST if parent else None
        state = physical.copy(source.url, home, partial, manifest)
    except programs.ProgramError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if parent is None:
            raise programs.as_server_error("The backup could not be made", error) from error
        say(f"No incremental backup can be made ({error}), so it is a full one.")
        return _make(settings, source, None, say)
    label = Label(
        **_label(settings, partial, started, source.bytes),
        **asdict(state),
        parent=parent.name if parent else None,
        build=source.build,
    )
    return _publish(settings, partial, [partial / physical.BASE, partial / physical.LOG], label)


def _make_dump(settings: Settings, url: str) -> Backup:
    size = dump.size(url)
    partial, started = _begin(settings, DUMP, size)
    try:
        state_at, found = dump.write(url, partial)
    except (programs.ProgramError, AcaError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, AcaError):
            raise
        raise programs.as_server_error("The dump could not be made", error) from error
    label = Label(**_label(settings, partial, started, size), state_at=state_at, **found)
    return _publish(settings, partial, [dump.packed(partial)], label)


def _begin(settings: Settings, kind: str, wanted: int) -> tuple[Path, datetime]:
    """The folder of a new backup, not made yet, and the moment; there is room for it."""
    folder = settings.backups
    # Encrypted, a file is there twice for a moment.
    store.require_room(folder, wanted * (2 if settings.backup.recipients else 1), "a backup")
    started = datetime.now(UTC)
    partial = folder / f"{started:%Y%m%dT%H%M%SZ}-{kind}{store.PARTIAL}"
    if partial.with_suffix("").exists():
        time.sleep(1)  # names are by the second
        return _begin(settings, kind, wanted)
    return partial, started


def _label(settings: Settings, partial: Path, started: datetime, size: int) -> dict[str, Any]:
    """What labels of all kinds say."""
    return {
        "name": partial.stem,
        "kind": partial.stem.rpartition("-")[2],
        "started_at": started,
        "finished_at": datetime.now(UTC),
        "database_bytes": size,
        "major": MAJOR,
        "recipients": len(settings.backup.recipients),
        "erasure_key": erasure_files.known_by(settings.data),
        # Also those of rows that left staging while the backup was made.
        "staging_files": staging_files.ship(settings, Recipients(settings.backup.recipients)),
    }


def _publish(settings: Settings, partial: Path, private: list[Path], label: Label) -> Backup:
    """Add the lists, encrypt what has rows in it, and let the backup be there."""
    _add_lists(settings, partial)
    recipients = Recipients(settings.backup.recipients)
    for file in private:
        recipients.encrypt(file)
    return store.publish(partial, replace(label, finished_at=datetime.now(UTC)))


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
    kept = [backup for backup in backups if backup not in gone]
    archive.prune(settings, keep.reach_of_log(kept, settings.backup))
    staging_files.prune(settings, kept)
