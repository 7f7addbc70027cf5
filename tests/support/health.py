"""A warehouse's health at any instant: what its ledger says, and where its alerts go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from etl.config import Settings
from etl.operations import health

MINUTE = timedelta(minutes=1)
# An address at which nobody answers.
DEAD = "postgresql://nobody@127.0.0.1:9/gone"


def at(text: str) -> datetime:
    """An instant of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def look(chosen: Settings, now: datetime) -> health.Health:
    return health.look(chosen, now, is_synthetic=False)


def broken(found: health.Health) -> set[tuple[str, str]]:
    return {(j.objective.name, j.subject) for j in found.broken}


def ended(
    database: psycopg.Connection[Any],
    when: datetime | None,
    *,
    began: datetime | None = None,
    error: str | None = None,
) -> None:
    """A try of a load, which ended or is at work."""
    began = began or (when or at("2026-01-01T00:00")) - MINUTE
    database.execute(
        "insert into ledger.attempt (run_began_at, number, command, began_at, ended_at, "
        "error_class) values (%s, 1, 'incremental', %s, %s, %s)",
        [began, began, when, error],
    )


def arrived(
    database: psycopg.Connection[Any], feed: str, as_of: datetime, status: str = "loaded"
) -> None:
    """A batch with a file of one feed is loaded, or the file skipped as one of the same bytes."""
    (load_id,) = database.execute(
        "insert into ledger.load (batch_id, as_of, status, is_rebuild, started_at, finished_at, "
        "live_at) values (%s, %s, 'loaded', false, %s, %s, %s) returning load_id",
        [f"{as_of:%Y-%m-%d}-{feed}", *[as_of] * 4],
    ).fetchone() or (None,)
    database.execute(
        "insert into ledger.load_file (load_id, feed, file_name, kind, status, size_bytes, "
        "modified_ns, xxh3_128) values (%s, %s, 'x.csv', 'delta', %s, 1, 1, gen_random_uuid())",
        [load_id, feed, status],
    )
