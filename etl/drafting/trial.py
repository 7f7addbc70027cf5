"""A trial: one file of a sender goes through the stages of a warehouse that is gone afterwards."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg import sql

from etl import log
from etl.config import AlertSettings, BackupSettings, Settings
from etl.contracts.feeds import FEEDS
from etl.contracts.sender import SenderContract
from etl.contracts.senders import SENDERS, contracts_of
from etl.db.connection import connect
from etl.errors import AlreadyRunningError, BatchError, CheckFailedError, UsageError, one_line
from etl.inbox import unpacking
from etl.inbox.folder import meanings_of
from etl.inbox.manifest import MANIFEST
from etl.pipeline import commands
from etl.pipeline.session import open_run
from etl.pipeline.summary import Summary, Watcher
from etl.quality.runner import CheckResult
from etl.quarantine import export
from etl.server import server

SESSION = "aca-warehouse sender-try"
DATABASE = "aca_sender_try"


@dataclass(slots=True)
class Trial:
    """What became of a file. ``rejected``: as ``quarantine.export.open_rows`` says.

    ``stopped``: why it went no further. ``failures``: checks on its feeds that fail, the worst
    first; ``other_failures``: how many more fail, most of them since other feeds are not there.
    """

    summary: Summary
    rejected: list[tuple[Any, ...]] = field(default_factory=list)
    stopped: BatchError | CheckFailedError | None = None
    failures: list[CheckResult] = field(default_factory=list)
    other_failures: int = 0


def attempt(chosen: Settings, file: Path, contract: str, watcher: Watcher) -> Trial:
    """Load a file into a database of the embedded server, which is dropped afterwards.

    ``contract``: under which one; empty where the file's name says it. Nothing is changed in the
    warehouse, whatever DATABASE_URL says. Raises ``UsageError`` if no contract of the name is there
    or the file's name says none, ``AlreadyRunningError`` while another trial is at work.
    """
    name, entry = _named(file, contract)
    with _place(chosen) as (url, place):
        batch = place.inbox / f"{datetime.now(UTC):%Y-%m-%d}-{DATABASE}"
        batch.mkdir(parents=True)
        shutil.copyfile(file, batch / name)
        manifest = {"files": {name: entry}}
        (batch / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        return _load(url, place, watcher)


def _named(file: Path, contract: str) -> tuple[str, dict[str, str]]:
    """What the file is called in its batch, and what the manifest says of it."""
    meant = meanings_of(file.name)
    if not contract and not meant:
        raise UsageError(
            f"No contract names its files as {one_line(file.name)} is.",
            "Say which is meant: make sender-try FILE=... CONTRACT=county_members",
        )
    # Of its own name a contract may make a value.
    if not contract or contract in {one.contract for one in meant}:
        return file.name, {}
    feed = _contract(contract).feed.name
    packed = unpacking.ending(file)
    ends = packed if packed == unpacking.WORKBOOK else f".csv{packed}"
    return f"{feed}{ends}", {"contract": contract}


def _contract(name: str) -> SenderContract:
    found = SENDERS.get(name)
    if found is None and name in FEEDS:
        found = contracts_of(FEEDS[name])[0]
    if found is None:
        raise UsageError(
            f"There is no contract {one_line(name)!r}.",
            f"Name one of {', '.join((*FEEDS, *SENDERS))}.",
        )
    return found


@contextmanager
def _place(chosen: Settings) -> Iterator[tuple[str, Settings]]:
    """A database, a folder and an inbox of its own, also where a trial that was killed left one."""
    folder = chosen.data / "sender-try"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(
                "Another trial of a sender is at work.", "Wait until it is done, then run again."
            ) from None
        own = server.ensure_running(replace(chosen, database_url=""))
        place = replace(
            chosen,
            database_url=f"{own.rpartition('/')[0]}/{DATABASE}",
            data=folder / "data",
            inbox=folder / "data" / "inbox",
            names_inbox=True,
            # What is wrong is to be shown, however much it is.
            reject_share=1.0,
            alerts=AlertSettings(),
            backup=BackupSettings(),
            hold_after=0,
        )
        try:
            _clear(own, place)
            with connect(own, SESSION) as connection:
                create = sql.SQL("create database {}").format(sql.Identifier(DATABASE))
                connection.execute(create)
            log.configure(place.log_file)
            yield place.database_url, place
        finally:
            _clear(own, place)


def _clear(own: str, place: Settings) -> None:
    shutil.rmtree(place.data, ignore_errors=True)
    with connect(own, SESSION) as connection:
        drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(DATABASE))
        connection.execute(drop)


def _load(url: str, place: Settings, watcher: Watcher) -> Trial:
    """Take the batch through the stages and the checks, as far as it goes."""
    with open_run(url, place, watcher, "sender-try", lambda: None) as context:
        trial = Trial(context.summary)
        try:
            commands.incremental(context)
            commands.run_checks(context)
        except (BatchError, CheckFailedError) as error:
            trial.stopped = error
    trial.rejected = export.open_rows(url)
    _sort_failures(trial)
    return trial


def _sort_failures(trial: Trial) -> None:
    feeds = {staged.file.feed.name for staged in trial.summary.files}
    reports = [*trial.summary.gates, *filter(None, [trial.summary.checks])]
    failures = {result.check.name: result for report in reports for result in report.failures}
    for result in failures.values():
        if result.check.table in {f"{feed}_raw" for feed in feeds}:
            trial.failures.append(result)
        else:
            trial.other_failures += 1
