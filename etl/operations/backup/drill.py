"""Drill: the newest backup is restored to a second server, compared, used, and removed."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from etl.config import Settings
from etl.errors import AcaError
from etl.operations.backup import copy, records, staging_files, store, trial
from etl.operations.backup.copy import Copy
from etl.operations.backup.one_server import refuse_cluster
from etl.operations.backup.store import Backup
from etl.pipeline import commands
from etl.pipeline.session import open_run
from etl.pipeline.summary import Watcher
from etl.server import server


@dataclass(slots=True)
class Drilled:
    """What a drill found.

    ``rto_seconds``: until the copy was restored and compared. ``rpo_seconds``: by how much its
    state was older than the drill's start. ``seconds``: of all of it, with checks.
    """

    backup: Backup
    rto_seconds: float
    rpo_seconds: float
    seconds: float = 0.0


def drill(settings: Settings, watcher: Watcher) -> Drilled:
    """Restore the newest backup next to the live server, compare it, run the checks on it.

    What came of it is in ``ledger.drill``. Raises ``RestoreError`` where it came out wrong,
    ``CheckFailedError`` where a critical check fails on it.
    """
    began, started = time.monotonic(), datetime.now(UTC)
    with store.locked(settings.backups, "restore-drill"):
        url = server.ensure_running(settings)
        refuse_cluster(url)
        drilled = problem = None
        try:
            with copy.place(settings) as home, trial.brought_up(settings, home) as made:
                trial.prove(made)
                drilled = Drilled(
                    made.backup,
                    rto_seconds=time.monotonic() - began,
                    rpo_seconds=(started - made.state_at).total_seconds(),
                )
                _use(settings, watcher, made)
        except AcaError as error:
            problem = error.message
            raise
        finally:
            _enter(settings, url, started, time.monotonic() - began, drilled, problem)
        drilled.seconds = time.monotonic() - began
    return drilled


def _use(settings: Settings, watcher: Watcher, made: Copy) -> None:
    """Let the copy be a warehouse: the erased go, and every check runs."""
    with staging_files.at_hand(settings, watcher, made.url) as own:
        trial.apply_erasures(own, watcher, made.url, is_dump=made.is_dump)
        with open_run(made.url, own, watcher, "restore-drill", lambda: None) as context:
            commands.run_checks(context)


def _enter(
    settings: Settings,
    url: str,
    started: datetime,
    seconds: float,
    drilled: Drilled | None,
    problem: str | None,
) -> None:
    backups, _ = store.listed(settings.backups)
    if not backups:
        return
    with suppress(psycopg.errors.UndefinedTable):  # no run has made it yet
        records.enter(url, backups)
        records.enter_drill(
            url,
            backups[-1],
            started,
            drilled.rto_seconds if drilled else seconds,
            (started - backups[-1].label.state_at).total_seconds(),
            problem if problem or drilled else "It was interrupted.",
        )
