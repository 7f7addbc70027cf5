"""A trial: one file of a sender goes through the stages of a warehouse that is gone afterwards."""

from __future__ import annotations

import fcntl
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
from etl.db.statements import run
from etl.errors import AlreadyRunningError, BatchError, CheckFailedError, UsageError, one_line
from etl.inbox import unpacking
from etl.inbox.folder import meanings_of
from etl.inbox.manifest import MANIFEST, Entry, Manifest, read_manifest, text_of
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


def attempt(
    chosen: Settings, file: Path, contract: str, watcher: Watcher, said: Manifest | None = None
) -> Trial:
    """Load a file into a database of the embedded server, which is dropped afterwards.

    ``contract``: under which one; empty where ``said`` or the file's name says it. ``said``: what
    the manifest of the file's batch says. Nothing is changed in the warehouse, whatever
    DATABASE_URL says. Raises ``UsageError`` if no contract of the name is there or nothing says
    which is meant, ``AlreadyRunningError`` while another trial is at work.
    """
    said = said or Manifest()
    entry = next((e for e in said.files if e.name in _names(file)), Entry(file.name))
    name, named = _named(file, contract or entry.contract or "")
    with _place(chosen) as (url, place):
        batch = place.inbox / f"{datetime.now(UTC):%Y-%m-%d}-{DATABASE}"
        batch.mkdir(parents=True)
        shutil.copyfile(file, batch / name)
        entry = replace(entry, name=name, contract=named)
        manifest = Manifest(as_of=said.as_of, files=(entry,))
        (batch / MANIFEST).write_text(text_of(manifest), encoding="utf-8")
        return _load(url, place, watcher)


def manifest_of(file: Path, given: str = "") -> Manifest | None:
    """The manifest that is given, or next to a file; ``None`` without one.

    Raises ``UsageError`` where the one given is not there, ``BatchError`` where it is none.
    """
    path = Path(given) if given else file.with_name(MANIFEST)
    if path.is_file():
        return read_manifest(path.absolute().parent, path)
    if given:
        raise UsageError(f"There is no manifest {one_line(given)}.", "See that the path is right.")
    return None


def _names(file: Path) -> tuple[str, str]:
    """What a manifest may call a file: packed or not."""
    return file.name, file.name.removesuffix(".gz")


def _named(file: Path, contract: str) -> tuple[str, str | None]:
    """What the file is called in its batch, and the contract that the manifest has to name."""
    meant = meanings_of(file.name)
    if not contract and not meant:
        raise UsageError(
            f"No contract names its files as {one_line(file.name)} is.",
            "Say which is meant: make sender-try FILE=... CONTRACT=county_members",
        )
    # Of its own name a contract may make a value.
    if not contract or contract in {one.contract for one in meant}:
        return file.name, None
    feed = _contract(contract).feed.name
    packed = unpacking.ending(file)
    ends = packed if packed == unpacking.WORKBOOK else f".csv{packed}"
    return f"{feed}{ends}", contract


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
        own = server.ensure_running(replace(chosen, database_url="", cluster=False))
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
                run(connection, "server/server.create_database", database=sql.Identifier(DATABASE))
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
