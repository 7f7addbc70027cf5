"""What a person can ask of the warehouse, and the order in which it is done.

A full load goes into schemas of its own (``etl.schema.build``) and then takes the place of the
live ones; everything else works on these.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from etl.db.connection import connect
from etl.db.statements import run, scalar
from etl.errors import BatchError, CheckFailedError, ServerError
from etl.inbox import pending, refused
from etl.inbox.batch import Batch, FeedFile, in_arrival_order, look_through
from etl.pipeline import guards, replay, swap
from etl.pipeline.load import STAGES, Loading, look
from etl.pipeline.running import who_runs
from etl.pipeline.session import RolledBack, set_session_path, words, worst
from etl.pipeline.summary import Summary
from etl.pipeline.waiting import describe
from etl.quality import runner
from etl.quality.truth import Truth
from etl.quarantine import export
from etl.schema import build as schema_build
from etl.server.requirements import sees_other_sessions
from etl.stages import take_out
from etl.stages.cubes import refresh
from etl.stages.dims import history
from etl.warehouse.tables import CUBES, LIVE, NEXT, Build, Dimension

LOOK_SECONDS = 5  # who only looks waits no longer than this for a lock


class Pipeline(Loading):
    """One run of the warehouse: what is asked of it, whole."""

    def is_empty(self) -> bool:
        """Whether no batch was ever loaded."""
        return not scalar(self.ledger, "ledger/ledger.ever_loaded")

    def confirm_snapshots(self, named: Sequence[str]) -> None:
        """Let the snapshots of these batches end as many keys as they lack, in this run."""
        if named:
            batches = [
                batch
                for batch in look_through(self.settings.inbox)[0]
                if any(file.expected.kind == "snapshot" for file in batch.files)
            ]
            self.confirmed = guards.batches_named(batches, named)

    def allow_future(self, named: Sequence[str]) -> None:
        """Let in these batches although they lie far in the future, in this run."""
        if named:
            batches, _ = look_through(self.settings.inbox)
            self.allowed_ahead = guards.batches_named(batches, named)

    def full_load(self, *, forget: bool = False) -> Summary:
        """Rebuild everything from every batch of the inbox, then put it in the live place.

        ``forget``: also where that loses what came from files that the inbox no longer holds.
        """
        batches = self.all_batches()
        guards.guard_what_is_held(self, batches, forget=forget)
        if not batches:
            self._tell_stopped()
            raise BatchError(
                f"The inbox {self.settings.inbox} holds no batch.",
                "Put a batch folder there, or run make seed for synthetic feeds.",
            )
        swap.prepare(self)
        schema_build.drop(self.ledger, NEXT.schemas)
        schema_build.create(self.ledger, self.url)
        known = run(self.ledger, "ledger/ledger.files_known").fetchall()
        replays = run(self.ledger, "quarantine/quarantine.replays").fetchall()
        for told, batch, files in in_arrival_order(batches, known):
            while replays and (told is None or replays[0][0] < told):
                replay.rebuild_replay(self, *replays.pop(0))
            load = self.open_load(batch.batch_id, batch.as_of, NEXT, rebuilds_load_id=told)
            self.through(load, batch, files, set())
        for left in replays:
            replay.rebuild_replay(self, *left)
        schema_build.finish(self.ledger)
        self.run_cubes(NEXT)
        self.run_checks(NEXT)
        swap.wait_for_older_readers(self)
        swap.swap(self)
        self.tidy()
        self._tell_stopped()
        return self.summary

    def incremental(self) -> Summary:
        """Finish what was begun and load every batch that is not loaded yet."""
        self._load_pending(STAGES)
        # Also when a batch was refused: what did come must show in the cubes.
        try:
            if self._cubes_are_due():
                self.run_cubes(LIVE)
            if scalar(self.ledger, "ledger/ledger.arrivals_are_due"):
                self.judge_arrivals()
        except (BatchError, CheckFailedError) as error:
            self.stopped.append(error)
        self.tidy()
        self._tell_stopped()
        return self.summary

    def tidy(self) -> Summary:
        """Let views of people follow that may by now, drop what they needed, name what is left."""
        swap.clear_replaced(self)
        self.summary.notes += swap.notes(self.ledger)
        return self.summary

    def run_stages(self, wanted: tuple[str, ...]) -> Summary:
        """Run these of the stages on whatever is due for them."""
        self._load_pending(wanted)
        self._tell_stopped()
        return self.summary

    def _load_pending(self, wanted: tuple[str, ...]) -> None:
        """Take what was begun and every pending batch through these of the stages.

        A batch that is refused does not hold up the others: the order in which batches come
        makes no difference, so it may come later, mended. What a gate stops holds up all that is
        later: its cause is in the warehouse and not in a file.
        """
        try:
            for load, done in self.unfinished():
                try:
                    self.through(load, None, [], done, wanted)
                except BatchError as error:
                    self.stopped.append(error)
            if "stage" in wanted:
                for batch, files in self.pending():
                    load = self.open_load(batch.batch_id, batch.as_of, LIVE)
                    try:
                        self.through(load, batch, files, set(), wanted)
                    except BatchError as error:
                        self.stopped.append(error)
        except CheckFailedError as error:
            self.stopped.append(error)

    def _tell_stopped(self) -> None:
        """Raise what stopped a batch or the run, the worst first, once all have had their turn."""
        if not self.stopped:
            return
        first, *others = sorted(self.stopped, key=lambda e: not isinstance(e, CheckFailedError))
        for error in others:
            self.watcher.say(f"Also: {error.message}")
        raise first

    def restate(self, dimension: Dimension, since: datetime, *, show: bool = False) -> Summary:
        """Make a dimension's history again from staging, from an instant (UTC) on.

        The watcher is told what changes before that is made to last; with ``show``, or unless it
        agrees, nothing has happened. Facts follow; cubes and checks after them.
        """
        self.run_stages(("dims", "facts"))
        what = f"{dimension.table} from {since:%Y-%m-%d}"
        load = self.open_load(
            f"restate {what}",
            since.replace(tzinfo=UTC),
            LIVE,
            kind="restatement",
        )
        try:
            with self.stage("restate", what, load, LIVE) as counts:
                feed_load = history.FeedLoad(load.load_id, load.as_of, False, load.build)
                changes = history.restate(self.work, dimension, feed_load, since)
                self.watcher.end()
                if not any(changes.values()):
                    raise RolledBack(f"{dimension.table} is what staging tells: no change.")
                told = f"Restating {what}: {_told(changes)}."
                if show:
                    raise RolledBack(f"{told} This was only shown.")
                if not self.watcher.agree(told):
                    raise RolledBack("Nothing was changed.")
                counts.update(changes)
                self.finish(self.work, load, "loaded")
        except RolledBack as error:
            self.forget(load)
            self.watcher.say(str(error))
            # One that was killed before its cubes or checks: they follow now.
            if show or not scalar(self.ledger, "ledger/ledger.checks_are_due"):
                return self.summary
        self.run_cubes(LIVE, whole=True)
        return self.run_checks(LIVE)

    def replay(self, path: Path) -> Summary:
        """Load the rows of a corrected export of the quarantine as if they had been right at first.

        Where the file is loaded they join its rows, in one transaction to the facts; where it was
        refused it is loaded with them. Cubes and checks follow.
        """
        self.run_stages(("dims", "facts"))
        set_session_path(self.ledger)
        asked = export.asked(self.ledger, path)
        file = asked.file
        where = f"{file.file_name} of batch {file.batch_id}"
        if asked.untouched:
            self.watcher.say(f"{asked.untouched:,} rows were left as they are and stay open.")
        if asked.escaped:
            self.watcher.say(
                f"{asked.escaped:,} rows still hold escaped bytes and stay open: write the text "
                "that is meant."
            )
        if not asked.rows:
            what = "were all dealt with before" if asked.closed else "are none corrected"
            self.watcher.say(f"The rows of {where} {what}: nothing to load.")
        elif file.status == "refused":
            replay.replay_refused(self, asked, where)
        else:
            replay.replay_loaded(self, asked, where)
        # Also where an earlier run ended before it came to them.
        if self._cubes_are_due():
            self.run_cubes(LIVE)
        return self.summary

    def _cubes_are_due(self) -> bool:
        """Whether a load, a replay or a restatement came since the cubes were made."""
        return bool(scalar(self.ledger, "ledger/ledger.cubes_are_due"))

    def stage_files(self, batch: Batch, files: list[FeedFile]) -> Summary:
        """Stage these files of a batch, whether they were seen before or not."""
        load = self.open_load(batch.batch_id, batch.as_of, LIVE)
        self.through(load, batch, files, set(), ("stage",))
        return self.summary

    def run_cubes(self, build: Build = LIVE, *, whole: bool = False) -> Summary:
        """Make the cubes or bring them up to date; by what changed unless ``whole``."""
        # A rebuild's cubes say nothing of how fresh the live ones are.
        name = "cubes" if build == LIVE else "rebuilt_cubes"
        try:
            with self.stage(name, "cubes", None, build, total=len(CUBES)) as counts:
                made = refresh.run_cubes(
                    self.work, build, whole=whole, on_cubes=self.watcher.advance
                )
                counts.update(made.rows)
                if build == LIVE:
                    kind = "moved_cubes" if made.by_change else "cubes"
                    self.gate("cubes", "the cubes", kind=kind)
        except psycopg.Error as error:
            if not take_out.is_of_data(error):
                raise
            raise BatchError(
                f"The cubes could not be brought up to date: {take_out.reason(error)}.",
                "Dimensions and facts are loaded, and the cubes keep what they held. Have the "
                "amounts or names that do not fit corrected by a later batch, then make "
                "incremental.",
            ) from error
        return self.summary

    def run_checks(self, build: Build = LIVE, truth: Truth | None = None) -> Summary:
        """Run every check; ``CheckFailedError`` if a critical one fails.

        ``truth``: what the feeds really contain, which a load never asks for.
        """
        started = time.monotonic()
        begun = {"load_id": None, "stage": "checks"}
        stage_run_id = scalar(self.ledger, "ledger/ledger.begin_stage", begun)
        self.watcher.begin("checks", "checks", len(runner.all_checks()))
        try:
            report = runner.run_checks(
                self.ledger,
                self.url,
                build,
                lambda _: self.watcher.advance(1),
                truth,
                self.now(),
            )
            if truth is not None:
                self.summary.detections = truth.detections(self.ledger, build)
        except BaseException as error:
            with suppress(psycopg.Error):
                set_session_path(self.ledger)
                self._end_stage(self.ledger, stage_run_id, "failed", {}, words(error))
            raise
        finally:
            self.watcher.end()
        counts = {"checks": report.checks, "failed": report.failed}
        set_session_path(self.ledger)
        self._end_stage(self.ledger, stage_run_id, "done", counts, None)
        self.summary.seconds["checks"] = time.monotonic() - started
        self.summary.checks = report
        self.log.info(
            "checks", total=report.checks, failed=report.failed, critical=report.failed_critical
        )
        if truth is not None and report.checks == len(runner.all_checks()):
            self.summary.notes.append(
                "The truth of the synthetic feeds was not compared: what is loaded is not what the "
                "generator wrote, such as rows that were corrected."
            )
        if report.failed_critical:
            raise CheckFailedError(
                f"{worst(report)}.",
                "The rebuild was not put live; readers keep what they had. See "
                "quality.check_result."
                if build == NEXT
                else "See quality.check_result; make full-load rebuilds all from the inbox.",
            )
        return self.summary

    def dq_check(self, truth: Truth | None = None) -> Summary:
        """Run every check; fails also while a batch is refused and that is not settled."""
        try:
            self.run_checks(truth=truth)
        except CheckFailedError as error:
            self.stopped.append(error)
        named = []
        for batch in self.settle_refused():
            if batch.needs_somebody:
                self.watcher.say(f"{batch.state.capitalize()}: {batch.title}. {batch.reason}")
                named.append(batch.folder)
        if named:
            count = "A batch is" if len(named) == 1 else f"{len(named):,} batches are"
            unsettled = BatchError(
                f"{count} not in the warehouse for what is wrong with it: {', '.join(named[:10])}.",
                "make status says why and what to do. Until it is loaded, or gone from the inbox, "
                "this fails.",
            )
            self.stopped.append(unsettled)
        self._tell_stopped()
        return self.summary

    def judge_arrivals(self) -> Summary:
        """Hold what came of each feed against what came before; the gate behind all the others."""
        report = runner.run_arrivals(self.ledger, LIVE, self.now())
        set_session_path(self.ledger)
        self.judged("arrivals", report)
        if report.failed_critical:
            raise CheckFailedError(
                f"{worst(report)}.",
                "The loads are in place. See quality.check_judged; ask the sender.",
            )
        return self.summary


def _told(changes: dict[str, int]) -> str:
    """What a restatement changes, for a person."""
    said = {
        "rebuilt_keys": "keys have another history",
        "added": "versions come",
        "removed": "go",
        "shortened": "end sooner",
        "rewritten": "differ otherwise",
        "rekeyed": "facts are keyed anew",
    }
    return ", ".join(
        f"{changes[name]:,} {words}" for name, words in said.items() if name in changes
    )


@dataclass(frozen=True, slots=True)
class Overview:
    """What ``make status`` says of a warehouse.

    ``held``: batches that are not in it. ``running``: the run at work. ``stages``: the latest,
    newest first, as (begun, stage, batch, status, seconds).
    """

    held: Sequence[refused.HeldBatch] = ()
    running: Sequence[str] = ()
    stages: Sequence[tuple[Any, ...]] = ()


def held_in(
    inbox: Path, now: datetime | None, *, is_named: bool = False
) -> Callable[[psycopg.Connection[Any]], list[refused.HeldBatch]]:
    """What finds the batches of an inbox that are not in a warehouse, without changing either."""
    return lambda connection: refused.held_batches(
        connection, look(connection, inbox, now, is_named=is_named)
    )


@contextmanager
def _looking(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection for who only looks, and does not wait long for what somebody keeps.

    Raises ``ServerError`` that names who keeps it.
    """
    with connect(url, "aca-warehouse status") as connection:
        set_session_path(connection)
        run(connection, "ledger/session.look_patience", {"patience": f"{LOOK_SECONDS}s"})
        try:
            yield connection
        except psycopg.errors.LockNotAvailable as error:
            found = run(connection, "ledger/session.who_locks").fetchall()
            whom = "; ".join(map(describe, found)) or "a session that has let go of it since"
            raise ServerError(
                f"A table of the warehouse was locked for {LOOK_SECONDS} s by {whom}.",
                "End that transaction, or ask again when it is over. Nothing was changed.",
            ) from error


def overview(url: str, inbox: Path, now: datetime | None, *, is_named: bool = False) -> Overview:
    """Look at a warehouse and its inbox, which has to be there if named; changes neither."""
    with _looking(url) as connection:
        try:
            running = who_runs(connection)
            values = {"is_at_work": bool(running)}
            return Overview(
                held_in(inbox, now, is_named=is_named)(connection),
                running,
                run(connection, "ledger/ledger.latest_runs", values).fetchall(),
            )
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            return Overview()  # no run has made the tables of this version yet


def notices(url: str) -> list[str]:
    """What whoever runs the warehouse should know of its database, each in a sentence."""
    with _looking(url) as connection:
        said = swap.notes(connection)
        if not sees_other_sessions(connection):
            role = scalar(connection, "server/server.role")
            said.append(
                f"{role} cannot see what sessions of other roles are doing, so it cannot say whose "
                f"transaction a run waits for: grant pg_monitor to {role}."
            )
    return said


def assumed_unchanged(url: str, inbox: Path) -> tuple[int, int]:
    """How many loaded files of the inbox, and bytes of them, are taken as unchanged unread."""
    with _looking(url) as connection:
        try:
            files = pending.assumed(connection, inbox)
        except (psycopg.errors.UndefinedTable, BatchError):
            return 0, 0
        return len(files), sum(file.size_bytes for file in files)
