"""The folder of backups: one folder each, which is there whole or bears the name of a partial one.

It is what a restore goes by, and says all by itself: the database may be gone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from etl.errors import AlreadyRunningError, RestoreError, UsageError, one_line
from etl.files.checksums import sync
from etl.operations.backup import sealed
from etl.server.cluster import end_programs
from etl.server.home import open_private

FULL, INCREMENTAL, DUMP = "full", "incremental", "dump"
PARTIAL = ".partial"
_LABEL = "backup.json"
_PROOF = "proven.json"
# Only by these two is a backup of the database read again; the rest is in its files.
MANIFEST = "backup_manifest"
ERASED = "erased"
# The folder next to the backups with the kept log.
LOG = "log"
# And the one with files of archived staging.
STAGING = "staging"
INSTANTS = ("started_at", "state_at", "finished_at")

# Rows and checksum of each table, by its name.
Tables = Mapping[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Label:
    """What a backup says of itself.

    ``parent``: the backup that an incremental one needs. ``state_at``: the moment whose state of
    the database it has, UTC. ``database_bytes``: of the database then. ``major``: of PostgreSQL.
    ``files``: bytes and SHA-256 of each. ``recipients``: how many could decrypt it; none: it is not
    encrypted. ``tables``: rows and checksum. ``reports``: SHA-256 of the rows of each documented
    report. ``build``: the full load whose tables it has. ``erasure_key``: what the key of erasures
    is known by, if there was one. ``system``, ``timeline``, ``start``,
    ``end``, ``mark``: of a physical backup the database system, the line of its log, where in that
    it starts, the position whose state it has, and the name of that. ``staging_files``: files of
    archived staging that there were.
    """

    name: str
    kind: str
    started_at: datetime
    state_at: datetime
    finished_at: datetime
    database_bytes: int
    major: int
    recipients: int
    tables: Tables
    reports: Mapping[str, str | None]
    files: Mapping[str, list[Any]] = field(default_factory=dict)
    parent: str | None = None
    build: int = 0
    erasure_key: str = ""
    system: int = 0
    timeline: int = 0
    start: str = ""
    end: str = ""
    mark: str = ""
    staging_files: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Backup:
    """A whole backup in its folder; ``proven_at``: when a restore of it came out right."""

    folder: Path
    label: Label
    proven_at: datetime | None = None

    @property
    def name(self) -> str:
        """Its name, which is that of its folder."""
        return self.label.name

    @property
    def bytes(self) -> int:
        """Of its files."""
        return sum(size for size, _ in self.label.files.values())


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Be the only one who changes the backups, until the block ends or the process does."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = open_private(str(folder / "lock"), os.O_WRONLY | os.O_CREAT)
    except OSError as error:
        raise UsageError(
            f"Backups cannot be written to {folder}: {error.strerror}.",
            "Set BACKUP_DIR to a folder of yours.",
        ) from error
    with os.fdopen(lock, "w"):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(
                f"Another backup, restore or drill works in {folder}.",
                f"Wait for it to end, then run make {what} again. Nothing was changed.",
            ) from None
        _clear_partial(folder)
        yield


def _clear_partial(folder: Path) -> None:
    """Delete what backups left that were killed."""
    for partial in folder.glob(f"*{PARTIAL}"):
        end_programs(partial)
        shutil.rmtree(partial)


def listed(folder: Path) -> tuple[list[Backup], dict[str, RestoreError]]:
    """The backups of a folder, the oldest first, and by name what is wrong with others."""
    found, wrong = [], {}
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        if path.is_dir() and path.suffix != PARTIAL and path.name not in (LOG, STAGING):
            try:
                found.append(_read(path))
            except RestoreError as error:
                wrong[path.name] = error
    return sorted(found, key=lambda one: one.label.state_at), wrong


def _read(folder: Path) -> Backup:
    content = sealed.read(folder / _LABEL)
    moments = {name: datetime.fromisoformat(content[name]) for name in INSTANTS}
    proof = folder / _PROOF
    proven_at = sealed.read(proof)["proven_at"] if proof.exists() else None
    return Backup(
        folder,
        Label(**{**content, **moments}),
        datetime.fromisoformat(proven_at) if proven_at else None,
    )


def publish(partial: Path, label: Label) -> Backup:
    """Let a backup be there under its own name; until then it is none."""
    files = {
        str(path.relative_to(partial)): [path.stat().st_size, sealed.digest(path)]
        for path in sorted(partial.rglob("*"))
        if path.is_file()
    }
    whole = replace(label, files=files)
    moments = {name: getattr(whole, name).isoformat() for name in INSTANTS}
    sealed.write(partial / _LABEL, {**asdict(whole), **moments})
    sealed.make_durable(partial)
    folder = partial.with_suffix("")
    partial.rename(folder)
    sync(folder.parent)
    return Backup(folder, whole)


def verify(backup: Backup) -> None:
    """Raise ``RestoreError`` unless every file of a backup is as it was written."""
    for name, (size, digest) in backup.label.files.items():
        file = backup.folder / name
        if not file.is_file() or file.stat().st_size != size or sealed.digest(file) != digest:
            raise sealed.damaged(file)


def prove(backup: Backup, proven_at: datetime) -> None:
    """Note that a restore of a backup came out right."""
    sealed.write(backup.folder / _PROOF, {"proven_at": proven_at.isoformat()})


def chain_of(backup: Backup, backups: list[Backup]) -> list[Backup]:
    """A backup with all that it needs, the full one first; ``RestoreError`` where one is gone."""
    by_name = {one.name: one for one in backups}
    chain = [backup]
    while (parent := chain[0].label.parent) is not None:
        if parent not in by_name:
            raise RestoreError(
                f"The backup {backup.name} needs {parent}, which is gone or damaged.",
                "Restore another one (make backups lists them); nothing was changed.",
            )
        chain.insert(0, by_name[parent])
    return chain


def named(name: str, backups: list[Backup]) -> Backup:
    """The backup of a name; ``UsageError`` where there is none."""
    for backup in backups:
        if backup.name == name:
            return backup
    raise UsageError(f"There is no backup {one_line(name)!r}.", "make backups lists those there.")


def delete(backups: list[Backup]) -> None:
    """Delete backups, so that a killed deletion leaves nothing that looks whole."""
    for backup in reversed(backups):
        leaving = backup.folder.with_name(f"{backup.name}{PARTIAL}")
        backup.folder.rename(leaving)
        sync(leaving.parent)
        shutil.rmtree(leaving)


def require_room(folder: Path, wanted: int, what: str) -> None:
    """Raise ``UsageError`` unless a folder's disk has so many bytes free."""
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise UsageError(
            f"The disk of {folder} has {free / 2**20:,.0f} MiB free, and {what} may need "
            f"{wanted / 2**20:,.0f} MiB.",
            "Free some space, or set BACKUP_DIR (backups) or DATA_DIR (restores) to a larger disk; "
            "nothing was changed.",
        )
