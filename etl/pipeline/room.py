"""Room on the disk for a rebuild, which is built next to the live warehouse.

An estimate, and on the safe side: a rebuild that fills the disk after an hour stops every other
session that writes, too.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

import psycopg

from etl.db.statements import run
from etl.errors import ServerError
from etl.inbox.batch import Batch
from etl.pipeline.session import RunContext
from etl.schema import layout
from etl.server import server
from etl.warehouse.tables import LIVE

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a rebuild takes at its most.

    ``tables``: the second copy of all tables and indexes. ``log``: the server's log (WAL), which is
    written for all of them and kept up to max_wal_size. ``temporary``: for sorts and joins of
    the largest table.
    """

    tables: int
    log: int
    temporary: int

    @property
    def total(self) -> int:
        """All together."""
        return self.tables + self.log + self.temporary

    def __str__(self) -> str:
        return (
            f"{_mib(self.total)} ({_mib(self.tables)} for tables, {_mib(self.log)} for the log of "
            f"the server, {_mib(self.temporary)} for sorting)"
        )


def need_of(connection: psycopg.Connection[Any], incoming: int = 0) -> Need:
    """What a rebuild needs: as much as is live, and no less than the files that it reads.

    ``incoming``: bytes of these files.
    """
    schemas = {"schemas": list(layout.found(connection, LIVE.schemas).names)}
    live, largest, most_log = run(connection, "rebuild/room.needed", schemas).fetchone() or (0,) * 3
    tables = max(live, incoming)
    return Need(tables, min(tables, most_log), largest)


def require_room(context: RunContext, batches: list[Batch]) -> None:
    """Raise ``ServerError`` where the disk has no room for a rebuild from these batches.

    Where the disk cannot be seen, as that of a server that is given, a person is notified.
    """
    incoming = sum(file.size_bytes for batch in batches for file in batch.files)
    need = need_of(context.ledger, incoming)
    folder = server.data_folder(context.settings)
    if folder is None:
        context.watcher.say(
            f"The rebuild needs about {need} on the disk of the server that DATABASE_URL names; "
            "whether that is free cannot be seen from here."
        )
        return
    free = shutil.disk_usage(folder).free
    if free < need.total:
        raise ServerError(
            f"The disk of {folder} has {_mib(free)} free, and a rebuild next to the live warehouse "
            f"needs about {need}.",
            "Free some space, or move DATA_DIR to a larger disk; nothing was changed. make "
            "incremental needs room for the new files only.",
        )
    context.log.info("room", free=free, needed=need.total)


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB"
