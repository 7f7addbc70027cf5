"""The kept log: from where the server puts its segments to the backups, encrypted like them.

The server's user may not be able to write to BACKUP_DIR, and has no business to encrypt. So it
copies each complete segment next to its database, and every backup brings these to BACKUP_DIR.
"""

from __future__ import annotations

import gzip
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

from etl.config import Settings
from etl.files.checksums import sync
from etl.operations.backup import sealed
from etl.operations.backup.encryption import Identity, Recipients
from etl.operations.backup.store import LOG, Backup
from etl.server import server
from etl.server.home import Home

_PACKED = ".gz"
HISTORY = ".history"
_PARTIAL = ".partial"


def ship(settings: Settings, recipients: Recipients) -> None:
    """Bring the segments that the server put next to its database to the backups."""
    source, target = server.home_of(settings).archive, settings.backups / LOG
    if not source.is_dir():
        return
    target.mkdir(mode=0o700, exist_ok=True)
    for stale in target.glob("*.partial*"):
        stale.unlink()
    for segment in sorted(source.iterdir()):
        if segment.suffix != _PARTIAL:
            _ship(segment, target, recipients)


def _ship(segment: Path, target: Path, recipients: Recipients) -> None:
    partial = target / f"{segment.name}{_PARTIAL}"
    with segment.open("rb") as plain, gzip.open(partial, "wb", compresslevel=1) as packed:
        shutil.copyfileobj(plain, packed)
    made = recipients.encrypt(partial)
    made.chmod(0o600)
    sync(made)
    suffix = made.name.removeprefix(partial.name)
    moment = segment.stat().st_mtime_ns
    os.utime(made, ns=(moment, moment))
    made.rename(target / f"{segment.name}{_PACKED}{suffix}")
    sync(target)
    segment.unlink()


def unpack(
    settings: Settings, live: Home, into: Path, wanted: Callable[[str], bool], identity: Identity
) -> None:
    """Put segments and histories into a folder as the server had them; ``wanted``: by name.

    Those that the server still has come last: they are as new as it is.
    """
    into.mkdir(mode=0o700, exist_ok=True)
    folder = settings.backups / LOG
    for packed in sorted(folder.iterdir()) if folder.is_dir() else ():
        name, _, rest = packed.name.partition(_PACKED)
        if wanted(name) and not rest.startswith(_PARTIAL):
            _unpack_one(packed, into / name, into, identity)
    for source in (live.archive, live.cluster / "pg_wal"):
        for segment in sorted(source.iterdir()) if source.is_dir() else ():
            if segment.is_file() and wanted(segment.name):
                shutil.copy2(segment, into / segment.name)


def _unpack_one(packed: Path, file: Path, work: Path, identity: Identity) -> None:
    plain = identity.decrypt(packed, work)
    try:
        with gzip.open(plain) as stream, file.open("wb") as segment:
            shutil.copyfileobj(stream, segment)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise sealed.damaged(packed) from error
    shutil.copystat(packed, file)
    if plain.parent == work:
        plain.unlink()


def is_history(name: str) -> bool:
    """Whether a file of the log says where its line left another."""
    return name.endswith(HISTORY)


def follows(backup: Backup) -> Callable[[str], bool]:
    """What says whether a file of the log, by its name, comes after a backup began."""
    first = segment_of(backup)
    return lambda name: len(name) == len(first) and name[8:] >= first[8:]


def prune(settings: Settings, kept: list[Backup]) -> None:
    """Delete segments from before the oldest of some backups."""
    starts = [segment_of(backup) for backup in kept if backup.label.start]
    if not starts:
        return
    oldest = min(starts)
    folder = settings.backups / LOG
    for packed in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = packed.name.partition(_PACKED)[0]
        if len(name) == len(oldest) and name[8:] < oldest[8:]:
            packed.unlink()


def segment_of(backup: Backup) -> str:
    """The segment in which the log of a backup starts."""
    high, low = (int(half, 16) for half in backup.label.start.split("/"))
    return f"{backup.label.timeline:08X}{high:08X}{low >> 24:08X}"
