"""A second server on a copy of the database, next to the live one and gone after use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from psycopg import sql

from etl.config import Settings
from etl.db.connection import connect
from etl.db.statements import scalar, statement
from etl.errors import RestoreError, ServerError
from etl.operations.backup import encryption, physical, programs, store
from etl.operations.backup.encryption import Identity
from etl.operations.backup.store import DUMP, MANIFEST, Backup
from etl.server import cluster, server
from etl.server.cluster import ROLE
from etl.server.home import Home

_FOLDER = "restore"
# The copy's log is never archived: what it writes is no part of the live log until it is live. It
# notes what is to be archived, which the live server then does.
_OPTIONS = ("archive_command=", "archive_library=")
# Segments of the log for a copy, in its place.
SEGMENTS = "segments"
_FROM_LOG = f"cp ../{SEGMENTS}/%f %p"
_BEYOND = "recovery ended before configured recovery target was reached"
_NOT_LET_IN = "authentication failed"
_MOMENT = "recovery_target_time"
SESSION = "aca-warehouse restore"


@dataclass(slots=True)
class Copy:
    """A restored copy of a backup: its server, and its URL.

    ``state_at``: the moment whose state it has. ``is_short``: the log ended before the moment that
    was asked for.
    """

    backup: Backup
    home: Home
    url: str
    state_at: datetime
    is_short: bool = False

    @property
    def is_dump(self) -> bool:
        """Whether it was restored from a dump, which has no settings of the database."""
        return self.backup.label.kind == DUMP


@contextmanager
def place(settings: Settings) -> Iterator[Home]:
    """Where a copy can be made, empty at first; what is left in it at the end is deleted.

    The caller has the lock of the backups.
    """
    home = _home(settings)
    _clear(home)
    home.make_private(home.base)
    try:
        yield home
    finally:
        _clear(home)


def clear(settings: Settings) -> None:
    """End the server of a copy whose restore was killed, and delete the copy.

    The caller has the lock of the backups.
    """
    if server.is_there(settings):
        _clear(_home(settings))


def _home(settings: Settings) -> Home:
    live = server.home_of(settings)
    base = live.base / _FOLDER
    return Home(base, base, live.programs, live.owner, _settings(settings))


def _settings(settings: Settings) -> dict[str, str]:
    # Whoever looks has to wait until it has recovered, so that it need not be sized as the one
    # that wrote the log.
    recovery = {"hot_standby": "off", "restore_command": _FROM_LOG, "summarize_wal": "off"}
    return recovery | ({"archive_mode": "on"} if settings.backup.archive_log else {})


def _clear(home: Home) -> None:
    if home.base.exists():
        cluster.end_programs(home.base)
        cluster.stop(home)
        shutil.rmtree(home.base)


def unpack(chain: Sequence[Backup], home: Home, identity: Identity) -> None:
    """Put the database of a chain of backups into the place of a copy, checked file by file.

    Raises ``RestoreError`` where the chain is damaged or cannot be decrypted.
    """
    for backup in chain:
        store.verify(backup)
    work = home.base / "work"
    work.mkdir()
    folders = []
    for backup in chain:
        folder = work / backup.name
        _unpack_one(backup.folder, physical.BASE, folder, work, identity)
        shutil.copyfile(backup.folder / MANIFEST, folder / MANIFEST)
        folders.append(folder)
    try:
        if len(folders) > 1:
            programs.combine(folders, home.cluster)
        else:
            folders[0].rename(home.cluster)
        programs.verify_backup(home.cluster)
    except programs.ProgramError as error:
        raise programs.as_restore_error("The backup cannot be restored", error) from error
    _unpack_one(chain[-1].folder, physical.LOG, home.cluster / "pg_wal", work, identity)
    shutil.rmtree(work)


def _unpack_one(source: Path, name: str, into: Path, work: Path, identity: Identity) -> None:
    packed = next(path for path in source.iterdir() if path.name.startswith(name))
    plain = identity.decrypt(packed, work)
    encryption.unpack(plain, into)
    if plain.parent == work:
        plain.unlink()


def start(home: Home, password: str, backup: Backup, target: dict[str, str]) -> Copy:
    """Start a server on a copy and let it recover; ``target``: settings that say how far.

    Raises ``RestoreError`` where it does not come to that.
    """
    (home.cluster / "recovery.signal").touch()
    _own(home)
    home = replace(home, settings={**home.settings, **target})
    is_short = False
    try:
        try:
            cluster.start_copy(home, _OPTIONS)
        except ServerError as error:
            if _BEYOND not in error.message or _MOMENT not in target:
                raise
            is_short = True
            home = replace(home, settings={**home.settings, _MOMENT: ""})
            cluster.start_copy(home, _OPTIONS)
    except ServerError as error:
        raise RestoreError(
            f"The restored copy of backup {backup.name} did not start: {error.message}",
            "Restore another one (make backups lists them); nothing was changed.",
        ) from error
    port = _let_in(home, password)
    made = Copy(backup, home, cluster.url_of(password, port), backup.label.state_at, is_short)
    with connect(made.url, SESSION) as connection:
        if scalar(connection, "operations/backup.is_recovering"):
            raise RestoreError(f"The copy of backup {backup.name} has not recovered.")
        if is_short:
            last = scalar(connection, "operations/backup.last_replayed")
            made.state_at = last or made.state_at
    return made


@contextmanager
def kept_started(settings: Settings, kept: Path) -> Iterator[str]:
    """The URL of a server on a database that a restore has replaced, until the block ends.

    ``kept``: its folder, which stays where it is. The caller has the lock of the backups.
    """
    with place(settings) as home:
        (home.base / home.cluster.name).symlink_to(kept)
        # It goes on with the log that it has, of which the next backup needs the summaries.
        home = replace(home, settings={**home.settings, "summarize_wal": "on"})
        cluster.start_copy(home, _OPTIONS)
        password = cluster.password_of(server.home_of(settings))
        yield cluster.url_of(password, _let_in(home, password))


def to_mark(backup: Backup) -> dict[str, str]:
    """The settings with which a copy recovers to the state that its backup noted."""
    return {
        "recovery_target_name": backup.label.mark,
        "recovery_target_timeline": "current",
        "recovery_target_action": "promote",
    }


def to_moment(moment: datetime, line: int) -> dict[str, str]:
    """The settings with which a copy recovers to a moment on a line of the log."""
    return {
        _MOMENT: moment.isoformat(),
        "recovery_target_timeline": str(line),
        "recovery_target_action": "promote",
    }


def _let_in(home: Home, password: str) -> int:
    """The port of the copy, once it takes the password; it may have another from where it was."""
    try:
        with cluster.connect(home, password) as connection:
            return connection.info.port
    except ServerError as error:
        if _NOT_LET_IN not in error.message:
            raise
    cluster.stop(home)
    # Nobody else sees what a server reads that has one user, so it can make the verifier itself.
    text = statement(
        "db/passwords.set_password", login=sql.Identifier(ROLE), verifier=sql.Literal(password)
    )
    cluster.set_password(home, " ".join(text.as_string().split("\n")[1:]) + "\n")
    cluster.start_copy(home, _OPTIONS)
    with cluster.connect(home, password) as connection:
        return connection.info.port


def stop(copy: Copy) -> None:
    """Stop the server of a copy, which then can take the live place."""
    cluster.stop(copy.home)


def _own(home: Home) -> None:
    """Let the server's user own the copy, and nobody else enter it."""
    for path in (home.cluster, *home.cluster.rglob("*")):
        if path.is_symlink():
            continue
        path.chmod(0o700 if path.is_dir() else 0o600)
        if home.owner:
            os.chown(path, home.owner.uid, home.owner.gid)
    if (home.base / SEGMENTS).is_dir():
        home.make_private(home.base / SEGMENTS)
