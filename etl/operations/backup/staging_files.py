"""Files of archived staging in backups: the database says which rows they have, and has them not.

A file never changes once it is named, so all backups share one copy of it, which stays until no
backup that is kept was made while the file was there. A restored database finds those that it needs
in a folder of its own until it takes the live place: what it does with them before that, such as to
erase, changes no file of the live one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg

from etl.config import Settings
from etl.db.connection import connect
from etl.db.statements import run
from etl.files.checksums import sha256_of, sync
from etl.operations.backup import store
from etl.operations.backup.copy import SESSION
from etl.operations.backup.encryption import SUFFIX, Identity, Recipients
from etl.operations.backup.store import STAGING, Backup
from etl.pipeline.summary import Watcher

_FILES = "*.parquet"
_PARTIAL = ".partial"


def ship(settings: Settings, recipients: Recipients) -> list[str]:
    """Copy files that backups do not have yet; the names of all that are there."""
    target = settings.backups / STAGING
    files = sorted(settings.staging_archive.glob(_FILES))
    if not files:
        return []
    target.mkdir(mode=0o700, exist_ok=True)
    for stale in target.glob(f"*{_PARTIAL}*"):
        stale.unlink()
    shipped = _shipped(target)
    new = [file for file in files if file.name not in shipped]
    store.require_room(target, sum(file.stat().st_size for file in new), "a backup")
    for file in new:
        partial = target / f"{file.name}{_PARTIAL}"
        shutil.copyfile(file, partial)
        made = recipients.encrypt(partial)
        made.chmod(0o600)
        sync(made)
        made.rename(target / f"{file.name}{made.name.removeprefix(partial.name)}")
    sync(target)
    return [file.name for file in files]


def prune(settings: Settings, kept: Iterable[Backup]) -> None:
    """Delete files that neither a backup that is kept nor the warehouse can ask for."""
    wanted = {name for backup in kept for name in backup.label.staging_files}
    wanted |= {file.name for file in settings.staging_archive.glob(_FILES)}
    for name, file in _shipped(settings.backups / STAGING).items():
        if name not in wanted:
            file.unlink()


def are_there(settings: Settings) -> bool:
    """Whether any database here can have rows in files."""
    places = (settings.staging_archive, settings.backups / STAGING)
    return any(True for place in places for _ in place.glob(f"{_FILES}*"))


@contextmanager
def at_hand(
    settings: Settings, watcher: Watcher, url: str, *, is_to_be_live: bool = False
) -> Iterator[Settings]:
    """Settings with a folder that has the files which a database needs, until the block ends.

    ``url``: of the database. ``is_to_be_live``: the files that are left then join those of the live
    one. Files that are nowhere are named.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".staging-archive-", dir=settings.data) as folder:
        own = replace(settings, staging_folder=Path(folder))
        missing = _fetch(settings, url, own.staging_archive)
        if missing:
            watcher.say(
                f"{len(missing):,} files with rows of staging are neither in "
                f"{settings.staging_archive} nor in the backups as they were, such as "
                f"{missing[0]}: after the restore, make full-load takes their rows from the inbox."
            )
        yield own
        if is_to_be_live:
            _join(own.staging_archive, settings.staging_archive)


def _shipped(folder: Path) -> dict[str, Path]:
    """The copies of files in a folder of backups, by the name of the file."""
    return {file.name.removesuffix(SUFFIX): file for file in folder.glob(f"{_FILES}*")}


def _fetch(settings: Settings, url: str, into: Path) -> list[str]:
    """Bring the files that a database needs into a folder; the names of those that are nowhere."""
    identity = Identity(settings.backup.identity)
    shipped = _shipped(settings.backups / STAGING)
    missing = []
    for name, digest in _needed(url):
        file = into / name
        with suppress(FileNotFoundError):
            _link(settings.staging_archive / name, file)
        if not _is(file, digest) and name in shipped:
            file.unlink(missing_ok=True)
            plain = identity.decrypt(shipped[name], into)
            if plain != file:
                shutil.copyfile(plain, file)
            file.chmod(0o600)
        if not _is(file, digest):
            missing.append(name)
    return missing


def _needed(url: str) -> list[tuple[str, str]]:
    """The files whose rows are in no table of a database, each with its checksum."""
    with closing(connect(url, SESSION)) as session:
        try:
            return run(session, "operations/backup.staging_files").fetchall()
        except psycopg.errors.UndefinedTable:
            return []  # of a version that had none


def _is(file: Path, digest: str) -> bool:
    return file.is_file() and sha256_of(file) == digest


def _link(file: Path, into: Path) -> None:
    """The same file under another name; a copy where the file system has one name for a file."""
    try:
        os.link(file, into)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(file, into)
        into.chmod(0o600)


def _join(source: Path, target: Path) -> None:
    """Let files of one folder be in another one that does not have them as they are here."""
    files: Collection[Path] = list(source.glob(_FILES))
    if not files:
        return
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(0o700)
    for file in files:
        sync(file)
        file.replace(target / file.name)
    sync(target)
