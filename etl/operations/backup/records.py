"""What the ledger lists of backups and drills, after what their files say."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

from etl.db.connection import connect
from etl.db.statements import run
from etl.operations.backup.store import Backup

SESSION = "aca-warehouse backups"


def enter(url: str, backups: list[Backup]) -> None:
    """Let the ledger list the backups that are there, and say of others that they are gone."""
    with closing(connect(url, SESSION)) as connection:
        for backup in backups:
            label = backup.label
            values = {
                "kind": label.kind,
                "started_at": label.started_at,
                "finished_at": label.finished_at,
                "path": backup.name,
                "bytes": backup.bytes,
                "parent": label.parent,
                "proven_at": backup.proven_at,
            }
            run(connection, "operations/records.enter_backup", values)
        paths = {"paths": [backup.name for backup in backups]}
        run(connection, "operations/records.note_deleted", paths)


def enter_drill(
    url: str, backup: Backup, started_at: datetime, seconds: float, age: float, problem: str | None
) -> None:
    """Enter how a drill ended: ``seconds`` until it was done, ``age`` of what it restored."""
    with closing(connect(url, SESSION)) as connection:
        values = {
            "path": backup.name,
            "started_at": started_at,
            "succeeded": problem is None,
            "rto_seconds": seconds,
            "rpo_seconds": age,
            "message": problem or "Every table and report came out as in the backup.",
        }
        run(connection, "operations/records.enter_drill", values)
