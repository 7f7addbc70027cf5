"""Archiving of staging: settled partitions are shown, and leave the database for files.

Each partition goes in a transaction of its own: killed anywhere, the next run goes on with those
that are left, and what was half written is removed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.db.connection import set_config
from etl.db.statements import run, scalar
from etl.errors import UsageError
from etl.pipeline import commands
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Summary, os_user
from etl.schema.dependents import LOCK_PATIENCE
from etl.warehouse.staging import PARTITIONED
from etl.warehouse.tables import LIVE

_FILE = "retention/staging_archive"
# Seconds in which a moment is looked for at which nobody reads a partition.
_PATIENCE = 2.0
# An empty table's indexes take less.
_LEAST_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Settled:
    """A partition that can go; ``size_bytes``: with its indexes."""

    feed: Feed
    name: str
    rows: int
    size_bytes: int

    @property
    def table(self) -> sql.Identifier:
        """Its name in a statement."""
        return sql.Identifier(LIVE.schemas.internal, self.name)


def day_of(text: str) -> date:
    """The day before which batches are archived; ``UsageError`` if the text is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        what = f"{text!r} is no day" if text else "The day is missing"
        raise UsageError(
            f"{what} before which staging is to be archived.",
            "Write it as BEFORE=2025-01-01: partitions go that have batches from before it alone.",
        ) from None


def archive(context: RunContext, before: date, *, confirmed: bool = False) -> Summary:
    """Show the settled partitions from before a day; if ``confirmed``, archive them."""
    commands.run_stages(context, ("dims", "facts"))
    if scalar(context.ledger, "ledger/ledger.arrivals_are_due"):
        commands.judge_arrivals(context)
    context.staging_archive.clear(context.ledger)
    settled = list(_settled(context, before))
    if not settled:
        context.watcher.say(
            f"Nothing to do: staging has no partition that only has batches from before {before} "
            "and that no load comes to any more."
        )
    elif not confirmed:
        context.watcher.say(
            f"Before {before} lie {_counted(settled)}. Nothing was changed. To archive them: make "
            f"archive-staging BEFORE={before} CONFIRM=yes"
        )
    else:
        for partition in settled:
            _put_away(context, partition)
        _vacate(context, settled)
        context.watcher.say(
            f"{_counted(settled)} are in {context.settings.staging_archive} and no longer in the "
            "database. Runs that ask for these rows bring them back."
        )
    return context.summary


def bring_back(context: RunContext) -> Summary:
    """Bring all archived rows back into staging."""
    context.staging_archive.clear(context.ledger)
    if not context.staging_archive.files(context.ledger):
        context.watcher.say("Nothing to do: no rows of staging are archived.")
        return context.summary
    with context.run_stage("archive_staging", "staging", None, LIVE) as counts:
        counts["rows_returned"] = context.staging_archive.bring_back_loads(context.work)
    context.staging_archive.clear(context.ledger)
    context.watcher.say(f"{counts['rows_returned']:,} rows are in staging again.")
    return context.summary


def _vacate(context: RunContext, partitions: Iterable[Settled]) -> None:
    """Give the room of rows that have gone back to the disk.

    Rows that a reader still sees keep theirs until the server cleans up by itself.
    """
    for partition in partitions:
        run(context.ledger, f"{_FILE}.vacuum", partition=partition.table)
        values = {
            "partition": partition.table.as_string(context.ledger),
            "least_bytes": _LEAST_BYTES,
        }
        if scalar(context.ledger, f"{_FILE}.is_vacant", values):
            _truncate(context, partition)


def _truncate(context: RunContext, partition: Settled) -> None:
    """Let indexes of rows that are gone be empty, at a moment at which nobody reads them."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with context.ledger.transaction():
                set_config(context.ledger, "lock_timeout", LOCK_PATIENCE)
                run(context.ledger, f"{_FILE}.truncate", partition=partition.table)
            return
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                context.log.info("archived_indexes_kept", partition=partition.name)
                return
            time.sleep(0.2)


def _settled(context: RunContext, before: date) -> Iterator[Settled]:
    """Partitions that can go and have rows, feed by feed."""
    for feed in map(FEEDS.__getitem__, PARTITIONED):
        values: dict[str, Any] = {
            "table": f"{LIVE.schemas.staging}.{feed.table}",
            "schema": LIVE.schemas.internal,
            "feed": feed.name,
            "before": before,
        }
        for row in run(context.ledger, f"{_FILE}.settled", values).fetchall():
            partition = Settled(feed, *row)
            if scalar(context.ledger, f"{_FILE}.has_rows", partition=partition.table):
                yield partition


def _put_away(context: RunContext, partition: Settled) -> None:
    """Archive a partition; what lay in files of it comes back first and goes with it."""
    place = context.staging_archive
    archive_id, file_name = place.begin(context.ledger, partition.feed, partition.name, os_user())
    with context.run_stage("archive_staging", partition.name, None, LIVE) as counts:
        of_partition = [
            file
            for file in place.files(context.work, [partition.feed.name])
            if file.partition_name == partition.name
        ]
        place.bring_back(context.work, of_partition)
        counts[f"{partition.feed.name}_archived"] += place.put_away(
            context.work, partition.feed, partition.name, archive_id, file_name
        )


def _counted(settled: list[Settled]) -> str:
    rows = sum(partition.rows for partition in settled)
    size = sum(partition.size_bytes for partition in settled) / 2**20
    count = "1 settled partition" if len(settled) == 1 else f"{len(settled):,} settled partitions"
    return f"{count} of staging with {rows:,} rows ({size:,.1f} MiB)"
