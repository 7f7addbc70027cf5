"""A physical backup: the server's files, and its log up to a mark whose state is known exactly.

A base backup has no snapshot: it is right once the log is read up to some later position. So a
mark is put into the log, and tables are read in a snapshot taken just before it. That both are one
state is seen in the log itself: no transaction that the snapshot does not see ended before the
mark. Restored to the mark, every table has to have the same rows and checksum.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from etl.db.connection import connect, reading
from etl.db.statements import run
from etl.errors import ServerError
from etl.operations.backup import checksums, encryption, programs
from etl.operations.backup.store import MANIFEST
from etl.server.home import Home

SESSION = "aca-warehouse backup"
BASE, LOG = "base.tar.gz", "log.tar.gz"
# A transaction can end between snapshot and mark; then both are taken again.
_TRIES = 50


@dataclass(frozen=True, slots=True)
class State:
    """A state of the database: its mark in the log, and what was in its tables."""

    mark: str
    end: str
    state_at: datetime
    timeline: int
    start: str
    system: int
    tables: dict[str, list[Any]]
    reports: dict[str, str | None]


def copy(url: str, home: Home, folder: Path, parent_manifest: Path | None) -> State:
    """Write a backup into a folder, checked, with the log that it needs.

    ``parent_manifest``: that of the backup on which it is an incremental one.
    ``programs.ProgramError`` where that cannot be.
    """
    mark = folder.stem
    with closing(connect(url, SESSION)) as keeper:
        run(keeper, "operations/backup.keep_log", {"slot": f"backup_{_plain(mark)}"})
        programs.base_backup(url, folder, parent_manifest)
        programs.verify_backup(folder)
        log = folder / "log"
        encryption.unpack(folder / "pg_wal.tar.gz", log)
        (folder / "pg_wal.tar.gz").unlink()
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        state = _state(url, keeper, home, log, mark, manifest)
    encryption.pack(log, folder / LOG)
    shutil.rmtree(log)
    return state


def _state(
    url: str,
    keeper: psycopg.Connection[Any],
    home: Home,
    log: Path,
    mark: str,
    manifest: dict[str, Any],
) -> State:
    [piece] = manifest["WAL-Ranges"]
    for number in range(_TRIES):
        name = f"{mark}-{number}"
        with (
            closing(connect(url, SESSION)) as session,
            _marked(session, keeper, name) as (unseen, end, segment, made_at),
        ):
            _complete_log(home.cluster / "pg_wal", log, segment)
            timeline = int(segment[:8], 16)
            ended = programs.commits(log, timeline, piece["Start-LSN"], end)
            if any(map(unseen, ended)):
                continue
            return State(
                name, end, made_at, timeline, piece["Start-LSN"], manifest["System-Identifier"],
                checksums.of_tables(session), checksums.of_reports(session),
            )  # fmt: skip
    raise ServerError(
        f"No state of the database could be marked in {_TRIES} tries: too many transactions end.",
        "Run make backup again when less is written.",
    )


@contextmanager
def _marked(
    session: psycopg.Connection[Any], keeper: psycopg.Connection[Any], name: str
) -> Iterator[tuple[Any, str, str, datetime]]:
    """A snapshot, and a mark put into the log at once after it.

    Yields what says whether a transaction is unseen, the mark's position, segment and time.
    """
    with reading(session):
        row = run(session, "operations/backup.snapshot").fetchone()
        marked = run(keeper, "operations/backup.mark", {"mark": name}).fetchone()
        run(keeper, "operations/backup.end_segment")
        assert row is not None
        assert marked is not None
        end, running = int(row[0]), frozenset(map(int, row[1]))

        def is_unseen(number: int) -> bool:
            # The log has the lower half of a number only.
            is_later = (number - end) % 2**32 < 2**31
            return is_later or end - (end - number) % 2**32 in running

        yield is_unseen, *marked


def _complete_log(source: Path, log: Path, last: str) -> None:
    """Copy the segments of the log that the backup lacks, through this one."""
    first = max(path.name for path in log.iterdir() if len(path.name) == len(last))
    for path in sorted(source.iterdir()):
        if len(path.name) == len(last) and first <= path.name <= last:
            shutil.copyfile(path, log / path.name)


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name.lower())
