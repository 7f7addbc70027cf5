"""The order of the stages, the ledger, and the only place that opens transactions that write.

A run holds one advisory lock, so there is only ever one. Each stage of a load is one transaction
that also says in the ledger that the stage is done: killed anywhere, the next run goes on from
the last stage that was committed. A full load goes into schemas of its own (``etl.rebuild``).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from etl import log, quality_views, quarantine, rebuild
from etl.batch import Batch, FeedFile, find_batches, in_order_of_knowing, look_through
from etl.config import Settings
from etl.db.connection import connect, set_search_path
from etl.db.schema import is_newest, migrate
from etl.db.statements import run, scalar
from etl.errors import (
    AcaError,
    AlreadyRunningError,
    BatchError,
    CheckFailedError,
    ServerError,
)
from etl.quality import CRITICAL
from etl.run import Load, Summary, Watcher
from etl.seed.marker import is_synthetic
from etl.stages import checks, cubes, dims, facts, found, stage
from etl.stages import quarantine as corrected
from etl.stages.checks import CheckReport
from etl.warehouse import CUBES, DIMENSIONS, FACTS, LIVE, NEXT, Dimension, Schemas

LOCK_KEY = 0x0ACA
WORKER = "aca-warehouse work"
READER_PATIENCE = 15 * 60  # seconds to wait for a long report before a rebuild goes live
STAGES = ("stage", "dims", "facts")


class _TakenBack(Exception):
    """A change turned out to be none, or was not wanted: its transaction is rolled back."""


class Pipeline:
    """One run of the warehouse; a context manager that holds the run's lock."""

    def __init__(self, url: str, settings: Settings, watcher: Watcher, command: str) -> None:
        self.url = url
        self.settings = settings
        self.watcher = watcher
        self.summary = Summary(command)
        self.log = log.get().bind(command=command)
        self.rebuilt: list[int] = []
        self.stopped: list[BatchError | CheckFailedError] = []
        self.retold: dict[int, int] = {}

    def __enter__(self) -> Pipeline:
        self.ledger = connect(self.url, "aca-warehouse ledger")
        try:
            self._take_lock()
            if not is_newest(self.ledger):
                migrate(self.url)
            quality_views.ensure(self.ledger)
            set_session_path(self.ledger)
            self.work = connect(self.url, WORKER)
        except BaseException:
            self.ledger.close()
            raise
        run(self.work, "ledger/session.work_session")
        run(self.ledger, "ledger/ledger.close_interrupted")
        run(self.ledger, "ledger/ledger.fail_interrupted")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.work.close()
        self.ledger.close()

    def _take_lock(self) -> None:
        if not scalar(self.ledger, "ledger/ledger.try_lock", {"key": LOCK_KEY}):
            raise AlreadyRunningError(
                "Another run is working on this warehouse.",
                "Wait for it to end; make status shows what it is doing. Nothing was changed.",
            )
        run(self.ledger, "ledger/ledger.end_orphans", {"application": WORKER})

    # What a person asks for

    def pending(self) -> list[tuple[Batch, list[FeedFile]]]:
        """Batches of the inbox with the files that are not loaded yet, in order.

        Those that cannot be read are put into ``stopped``.
        """
        seen = {
            (batch_id, feed, size, modified)
            for batch_id, feed, size, modified in run(self.ledger, "ledger/ledger.files_seen")
        }
        found = []
        batches, unreadable = look_through(self.settings.inbox)
        self.stopped = list(unreadable)
        for batch in batches:
            files = [
                f
                for f in batch.files
                if (batch.batch_id, f.source.name, f.size_bytes, f.modified_ns) not in seen
            ]
            if files:
                found.append((batch, files))
        return found

    def is_empty(self) -> bool:
        """Whether no batch was ever loaded."""
        return not scalar(self.ledger, "ledger/ledger.ever_loaded")

    def unfinished(self) -> list[tuple[Load, set[str]]]:
        """Loads that are staged and not in the facts yet, with the stages they have behind them."""
        return [
            (Load(load_id, batch_id, as_of, LIVE, is_rebuild=False), set(done or ()))
            for load_id, batch_id, as_of, done in run(self.ledger, "ledger/ledger.unfinished")
        ]

    def full_load(self) -> Summary:
        """Rebuild everything from every batch of the inbox, then put it in the live place."""
        batches = self._all_batches()
        rebuild.clear_retired(self.ledger)
        rebuild.drop(self.ledger, NEXT)
        rebuild.create(self.ledger, self.url)
        known = run(self.ledger, "ledger/ledger.files_known").fetchall()
        replays = run(self.ledger, "quarantine/quarantine.replays").fetchall()
        for told, batch, files in in_order_of_knowing(batches, known):
            while replays and (told is None or replays[0][0] < told):
                self._retell(*replays.pop(0))
            load = self._open(batch.batch_id, batch.as_of, NEXT, is_rebuild=True, stands_for=told)
            self._through(load, batch, files, set())
        for replay in replays:
            self._retell(*replay)
        self.run_cubes(NEXT)
        self.run_checks(NEXT)
        self._wait_for_older_readers()
        self._swap()
        self._drop_retired()
        return self.summary

    def incremental(self) -> Summary:
        """Finish what was begun and load every batch that is not loaded yet."""
        self._load_pending(STAGES)
        # Also when a batch was refused: what did come must show in the cubes.
        if scalar(self.ledger, "ledger/ledger.cubes_are_due"):
            try:
                self.run_cubes(LIVE)
                self.judge_arrivals()
            except CheckFailedError as error:
                self.stopped.append(error)
        self._tell_stopped()
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
                self._through(load, None, [], done, wanted)
            if "stage" in wanted:
                for batch, files in self.pending():
                    load = self._open(batch.batch_id, batch.as_of, LIVE, is_rebuild=False)
                    try:
                        self._through(load, batch, files, set(), wanted)
                    except BatchError as error:
                        self.stopped.append(error)
        except CheckFailedError as error:
            self.stopped.append(error)

    def _tell_stopped(self) -> None:
        """Raise what stopped a batch or the run, the worst first, once all have had their turn."""
        if not self.stopped:
            return
        worst, *others = sorted(self.stopped, key=lambda e: not isinstance(e, CheckFailedError))
        for error in others:
            self.watcher.say(f"Also: {error.message}")
        raise worst

    def restate(self, dimension: Dimension, since: datetime, *, show: bool = False) -> Summary:
        """Make a dimension's history again from staging, from an instant (UTC) on.

        The watcher is told what changes before that is made to last; with ``show``, or unless it
        agrees, nothing has happened. Facts follow; cubes and checks after them.
        """
        self.run_stages(("dims", "facts"))
        what = f"{dimension.table} from {since:%Y-%m-%d}"
        load = self._open(
            f"restate {what}",
            since.replace(tzinfo=UTC),
            LIVE,
            is_rebuild=False,
            kind="restatement",
        )
        try:
            with self._stage("restate", what, load, LIVE) as counts:
                arrived = dims.Arrived(load.load_id, load.as_of, False, load.statuses, False)
                changes = dims.restate(self.work, dimension, arrived, since)
                self.watcher.end()
                if not any(changes.values()):
                    raise _TakenBack(f"{dimension.table} is what staging tells: no change.")
                told = f"Restating {what}: {_told(changes)}."
                if show:
                    raise _TakenBack(f"{told} This was only shown.")
                if not self.watcher.agree(told):
                    raise _TakenBack("Nothing was changed.")
                counts.update(changes)
                self._finish(self.work, load, "loaded")
        except _TakenBack as error:
            self._forget(load)
            self.watcher.say(str(error))
            return self.summary
        self.run_cubes(LIVE)
        return self.run_checks(LIVE)

    def replay(self, path: Path) -> Summary:
        """Load the rows of a corrected export of the quarantine as if they had been right at first.

        Where the file is loaded they join its rows, in one transaction to the facts; where it was
        refused it is loaded with them. Cubes and checks follow.
        """
        self.run_stages(("dims", "facts"))
        set_session_path(self.ledger)
        asked = quarantine.asked(self.ledger, path)
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
            self._replay_refused(asked, where)
        else:
            self._replay_loaded(asked, where)
        # Also where an earlier run ended before it came to them.
        if scalar(self.ledger, "ledger/ledger.cubes_are_due"):
            self.run_cubes(LIVE)
        return self.summary

    def _replay_loaded(self, asked: quarantine.Asked, where: str) -> None:
        file = asked.file
        load = self._open(
            f"replay {file.batch_id}", file.as_of, LIVE, is_rebuild=False, kind="replay"
        )
        try:
            with self._stage("replay", f"batch {file.batch_id}", load, LIVE) as counts:
                outcome = self._correct(load, file.feed, file.xxh3_128.hex, asked.rows, counts)
                came = set().union(*outcome.lines.values())
                if not came and not outcome.again:
                    raise _TakenBack(f"The rows of {where} were all dealt with before.")
                taken = came | outcome.again
                rows = {line: record for line, record in asked.rows.items() if line in taken}
                corrected.keep(self.work, file, rows, load.load_id)
                self._gate_replay(load, file, outcome)
                self._finish(self.work, load, "loaded")
        except _TakenBack as error:
            self._forget(load)
            self.watcher.say(str(error))
            return
        self.watcher.say(f"{len(came):,} rows of {where} came in and are closed.")
        if outcome.again:
            self.watcher.say(
                f"{len(outcome.again):,} are bad again and stay open: make quarantine says why."
            )

    def _gate_replay(self, load: Load, file: corrected.File, outcome: corrected.Outcome) -> None:
        """The gates of all stages: what entered staging and facts bears the loads it belongs to."""
        what = f"batch {file.batch_id}"
        for load_id in outcome.lines:
            self._gate("stage", what, load_id, [file.feed])
        self._gate("dims", what, load.load_id, [file.feed])
        for load_id in outcome.lines:
            self._gate("facts", what, load_id, [file.feed])

    def _replay_refused(self, asked: quarantine.Asked, where: str) -> None:
        """Keep the corrected rows, then load the file with them as any file of the inbox."""
        file = asked.file
        for batch, files in self.pending():
            if batch.batch_id == file.batch_id and any(
                f.source.name == file.feed and f.checksum() == file.xxh3_128.hex for f in files
            ):
                break
        else:
            raise BatchError(
                f"{where} was refused and is no longer in the inbox as it was.",
                "Put that file back, or correct the one that is there; nothing was changed.",
            )
        with self.ledger.transaction():
            corrected.keep(self.ledger, file, asked.rows, file.load_id)
        load = self._open(batch.batch_id, batch.as_of, LIVE, is_rebuild=False)
        self._through(load, batch, files, set())

    def _retell(self, replay_id: int, batch_id: str, as_of: datetime) -> None:
        """Tell a replay of the live build again, at its own place in a rebuild."""
        load = self._open(
            batch_id, as_of, NEXT, is_rebuild=True, kind="replay", stands_for=replay_id
        )
        with self._stage("replay", f"batch {batch_id}", load, NEXT) as counts:
            for (feed, checksum), rows in corrected.kept_by(self.work, replay_id).items():
                self._correct(load, feed, checksum, rows, counts)
            self._finish(self.work, load, "rebuilt")
        self.retold[replay_id] = load.load_id

    def _correct(
        self,
        load: Load,
        feed: str,
        checksum: str,
        rows: dict[int, bytes],
        counts: dict[str, int],
    ) -> corrected.Outcome:
        """Bring corrected rows from staging to the facts, in the name of a load without files."""
        build = {"statuses": list(load.statuses), "is_rebuild": load.is_rebuild}
        outcome = corrected.correct(self.work, build, feed, checksum, rows, load.load_id)
        done: Counter[str] = Counter(
            rows_corrected=len(set().union(*outcome.lines.values())), bad_again=len(outcome.again)
        )
        for load_id in outcome.lines:
            dims.run_calendar(self.work, load_id, load.as_of, load.load_id)
        arrived = dims.Arrived(load.load_id, load.as_of, False, load.statuses, load.is_rebuild)
        lines = sorted(set().union(*outcome.lines.values()))
        for dimension in DIMENSIONS.values():
            if dimension.source.name == feed and lines:
                done.update(dims.correct(self.work, dimension, arrived, list(outcome.lines), lines))
        for fact in FACTS.values():
            for load_id, of_load in outcome.lines.items() if fact.source.name == feed else ():
                told = facts.correct_fact(
                    self.work,
                    fact,
                    facts.Arrived(load_id, load.schemas.warehouse, load.statuses, load.is_rebuild),
                    facts.Corrected(of_load, load.load_id, outcome.displaces),
                )
                done.update({f"{fact.name}_{name}": n for name, n in told.items()})
        for name, n in done.items():
            counts[name] = counts.get(name, 0) + n
        return outcome

    def stage_files(self, batch: Batch, files: list[FeedFile]) -> Summary:
        """Stage these files of a batch, whether they were seen before or not."""
        load = self._open(batch.batch_id, batch.as_of, LIVE, is_rebuild=False)
        self._through(load, batch, files, set(), ("stage",))
        return self.summary

    def run_cubes(self, schemas: Schemas = LIVE) -> Summary:
        """Make the cubes or bring them up to date."""
        # A rebuild's cubes say nothing of how fresh the live ones are.
        name = "cubes" if schemas == LIVE else "rebuilt_cubes"
        with self._stage(name, "cubes", None, schemas, total=len(CUBES)) as counts:
            for cube in CUBES.values():
                counts[cube.name] = cubes.run_cube(self.work, cube, schemas.cubes).get("rows", 0)
                self.watcher.advance(1)
            if schemas == LIVE:
                self._gate("cubes", "the cubes")
        return self.summary

    def run_checks(self, schemas: Schemas = LIVE, truth: Path | None = None) -> Summary:
        """Run every check; ``CheckFailedError`` if a critical one fails.

        ``truth``: folder of what synthetic feeds really hold, which a load never asks.
        """
        statuses = ("running", "rebuilt") if schemas == NEXT else ("running", "loaded")
        started = time.monotonic()
        begun = {"load_id": None, "stage": "checks"}
        stage_run_id = scalar(self.ledger, "ledger/ledger.begin_stage", begun)
        self.watcher.begin("checks", "checks", len(checks.all_checks()))
        try:
            report = checks.run_checks(
                self.ledger,
                self.url,
                schemas,
                statuses,
                lambda _: self.watcher.advance(1),
                truth,
                self._now(),
            )
            if truth is not None:
                self.summary.found = found.run_found(self.ledger, schemas, statuses, truth)
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
        if report.failed_critical:
            raise CheckFailedError(
                f"{report.failed_critical} critical checks failed: {_worst(report)}.",
                "The rebuild was not put live; readers keep what they had. See "
                "quality.check_result."
                if schemas == NEXT
                else "See quality.check_result; make full-load rebuilds all from the inbox.",
            )
        return self.summary

    def judge_arrivals(self) -> Summary:
        """Hold what came of each feed against what came before; the gate behind all the others."""
        report = checks.run_arrivals(self.ledger, LIVE, ("running", "loaded"), self._now())
        set_session_path(self.ledger)
        self._judged("arrivals", report)
        if report.failed_critical:
            raise CheckFailedError(
                f"{report.failed_critical} critical checks failed: {_worst(report)}.",
                "The loads are in place. See quality.check_judged; ask the sender.",
            )
        return self.summary

    # How it is done

    def _now(self) -> datetime | None:
        """Against what feeds may be late; the days of synthetic batches are none of this world."""
        return None if is_synthetic(self.settings.inbox) else datetime.now(UTC)

    def _all_batches(self) -> list[Batch]:
        batches = find_batches(self.settings.inbox)
        if not batches:
            raise BatchError(
                f"The inbox {self.settings.inbox} holds no batch.",
                "Put a batch folder there, or run make seed for synthetic feeds.",
            )
        return batches

    def _open(
        self,
        batch_id: str,
        as_of: datetime,
        schemas: Schemas,
        *,
        is_rebuild: bool,
        kind: str = "batch",
        stands_for: int | None = None,
    ) -> Load:
        values = {
            "batch_id": batch_id,
            "as_of": as_of,
            "kind": kind,
            "is_rebuild": is_rebuild,
            "first_load_id": self.rebuilt[0] if self.rebuilt else None,
        }
        load_id = scalar(self.ledger, "ledger/ledger.open_load", values)
        if is_rebuild:
            self.rebuilt.append(load_id)
        return Load(load_id, batch_id, as_of, schemas, is_rebuild, stands_for)

    def _forget(self, load: Load) -> None:
        """Leave no trace of a load that came to nothing."""
        for name in ("forget_stage", "forget_load"):
            run(self.ledger, f"ledger/ledger.{name}", {"load_id": load.load_id})

    def _through(
        self,
        load: Load,
        batch: Batch | None,
        files: list[FeedFile],
        done: set[str],
        wanted: tuple[str, ...] = STAGES,
    ) -> None:
        """Take a load through the stages wanted that it has not behind it, in order."""
        steps: dict[str, Callable[[], None]] = {
            "stage": lambda: self._run_stage(load, batch, files),
            "dims": lambda: self._run_dims(load),
            "facts": lambda: self._run_facts(load),
        }
        for name in STAGES:
            if name in done:
                continue
            if name not in wanted:
                break
            steps[name]()

    def _run_stage(self, load: Load, batch: Batch, files: list[FeedFile]) -> None:
        what = f"batch {load.batch_id}"
        total = sum(f.size_bytes for f in files)
        come = []
        try:
            with self._stage("stage", what, load, load.schemas, total=total) as counts:
                for file in files:
                    staged = self._stage_file(load, batch, file)
                    values = stage.ledger_values(load.load_id, staged)
                    run(self.work, "ledger/ledger.record_file", values)
                    come.append(staged)
                    for name, amount in staged.counts().items():
                        counts[name] = counts.get(name, 0) + amount
                self._gate_load("stage", load)
        except BatchError as error:
            refused = error.staged
            if refused is not None:
                refused.status, refused.loaded = "refused", 0
                rows = self._kept(self.ledger, load, refused.file, refused.checksum)
                stage.record_rejects(self.ledger, load.load_id, refused, rows)
                values = stage.ledger_values(load.load_id, refused)
                run(self.ledger, "ledger/ledger.record_file", values)
            raise
        self.summary.files += come

    def _stage_file(self, load: Load, batch: Batch, file: FeedFile) -> stage.Staged:
        checksum = file.checksum()
        values = {
            "feed": file.source.name,
            "xxh3_128": checksum,
            "kind": file.expected.kind,
            "contract": file.expected.contract,
            "load_id": load.load_id,
            "batch_id": load.batch_id,
            "as_of": load.as_of,
            "statuses": list(load.statuses),
            "is_rebuild": load.is_rebuild,
        }
        same = scalar(self.work, "ledger/ledger.same_file", values)
        if same is not None:
            note = f"already loaded with batch {same}"
            self.watcher.say(f"{file.path.name} of batch {load.batch_id} skipped: {note}.")
            self.log.info("file_skipped", file=file.path.name, batch=load.batch_id, same_as=same)
            return stage.Staged(file, checksum, status="skipped", notes=[note])
        rows = self._kept(self.work, load, file, checksum)
        # What was let in before, and corrected since, is let in again.
        is_mended = load.stands_for is not None and corrected.kept(
            self.work, file.source.name, checksum, None
        )
        staged = stage.run_file(
            self.work,
            load.load_id,
            batch,
            file,
            checksum,
            None if is_mended else self.settings.reject_share,
            self.watcher.advance if file.path.suffix != ".gz" else lambda _: None,
            {
                contract: stage.Before(columns, as_of)
                for contract, columns, as_of in run(
                    self.work, "ledger/ledger.columns_before", values
                )
            },
            rows,
        )
        stage.record_rejects(self.work, load.load_id, staged, rows)
        if not load.is_rebuild:
            run(self.work, "quarantine/quarantine.close_refused", values)
        skipped = run(self.work, "ledger/ledger.skipped_after", values).fetchone()
        if skipped is not None:
            later_id, later_as_of, same_as = skipped
            stage.repeat_file(self.work, file.source, later_id, later_as_of, same_as)
            staged.notes.append(f"load {later_id} had skipped the same file and has it now")
        for note in staged.notes:
            self.watcher.say(f"{file.path.name} of batch {load.batch_id}: {note}.")
        self.log.info("file_staged", file=file.path.name, batch=load.batch_id, **staged.counts())
        return staged

    def _kept(
        self, connection: psycopg.Connection[Any], load: Load, file: FeedFile, checksum: str
    ) -> dict[int, bytes]:
        """Rows of a file as people corrected them; in a rebuild those known at its place."""
        return corrected.kept(connection, file.source.name, checksum, load.stands_for)

    def _finish_before(self, load: Load) -> None:
        """Finish the loads before this one, so that what was known after each can be told."""
        for earlier, done in self.unfinished():
            if earlier.load_id < load.load_id:
                self.watcher.say(
                    f"Batch {earlier.batch_id} is taken through the facts before the dimensions of "
                    f"batch {load.batch_id}: loads change them one after the other."
                )
                self._through(earlier, None, [], done)

    def _run_dims(self, load: Load) -> None:
        if not load.is_rebuild:
            self._finish_before(load)
        what = f"batch {load.batch_id}"
        with self._stage("dims", what, load, load.schemas, total=len(DIMENSIONS)) as counts:
            kinds = self._feeds(load)
            dims.run_calendar(self.work, load.load_id, load.as_of)
            dims.ensure_unknown(self.work)
            for dimension in DIMENSIONS.values():
                rehashed = dims.rehash(self.work, dimension)
                if rehashed:
                    counts["rehashed"] = counts.get("rehashed", 0) + rehashed
                kind = kinds.get(dimension.source.name)
                if kind is not None:
                    arrived = dims.Arrived(
                        load.load_id,
                        load.as_of,
                        kind == "snapshot",
                        load.statuses,
                        load.is_rebuild,
                    )
                    for name, n in dims.run_dimension(self.work, dimension, arrived).items():
                        counts[name] = counts.get(name, 0) + n
                self.watcher.advance(1)
            self._gate_load("dims", load)

    def _run_facts(self, load: Load) -> None:
        what = f"batch {load.batch_id}"
        with self._stage("facts", what, load, load.schemas, total=len(FACTS)) as counts:
            kinds = self._feeds(load)
            arrived = facts.Arrived(
                load.load_id, load.schemas.warehouse, load.statuses, load.is_rebuild
            )
            for fact in FACTS.values():
                if fact.source.name in kinds:
                    done = facts.run_fact(self.work, fact, arrived)
                    for name, n in done.items():
                        counts[f"{fact.name}_{name}"] = n
                self.watcher.advance(1)
            self._gate_load("facts", load)
            status = "rebuilt" if load.is_rebuild else "loaded"
            self._finish(self.work, load, status)

    def _gate(
        self, stage: str, what: str, load_id: int | None = None, feeds: Collection[str] = ()
    ) -> None:
        """Let a stage last only if what it did passes its checks; within its transaction.

        A rebuild has no gates: nobody sees it before all the checks have looked at it.
        """
        report = checks.run_gate(
            self.work, self.ledger, LIVE, ("running", "loaded"), stage, load_id, feeds
        )
        self._judged(stage, report)
        if report.failed_critical:
            raise CheckFailedError(
                f"What the stage {stage} did for {what} was taken back: "
                f"{report.failed_critical} critical checks failed: {_worst(report)}.",
                "Readers keep what they had. quality.check_judged tells what failed, with its "
                "advice; when the cause is gone, make incremental goes on from there.",
            )

    def _judged(self, gate: str, report: CheckReport) -> None:
        self.summary.gates.append(report)
        self.log.info("gate", stage=gate, total=report.checks, failed=report.failed)

    def _gate_load(self, stage: str, load: Load) -> None:
        if not load.is_rebuild:
            self._gate(stage, f"batch {load.batch_id}", load.load_id, self._feeds(load))

    def _feeds(self, load: Load) -> dict[str, str]:
        return dict(
            run(self.work, "ledger/ledger.feeds_of_load", {"load_id": load.load_id}).fetchall()
        )

    def _finish(
        self, connection: psycopg.Connection[Any], load: Load, status: str, error: str | None = None
    ) -> None:
        run(
            connection,
            "ledger/ledger.finish_load",
            {"load_id": load.load_id, "status": status, "error": error},
        )

    @contextmanager
    def _stage(
        self, name: str, what: str, load: Load | None, schemas: Schemas, total: int | None = None
    ) -> Iterator[dict[str, int]]:
        """One stage: one transaction on the working connection, one row in the ledger."""
        load_id = load.load_id if load else None
        begun = {"load_id": load_id, "stage": name}
        stage_run_id = scalar(self.ledger, "ledger/ledger.begin_stage", begun)
        counts: dict[str, int] = {}
        started = time.monotonic()
        shown = name.removeprefix("rebuilt_")
        self.watcher.begin(shown, what, total)
        try:
            with self.work.transaction():
                set_search_path(self.work, schemas.path)
                run(self.work, "ledger/session.work_transaction")
                if load_id is not None:
                    run(self.work, "schema/past.set_load", {"load_id": load_id})
                yield counts
                self._end_stage(self.work, stage_run_id, "done", counts, None)
        except BaseException as error:
            said = str(error) if isinstance(error, AcaError | _TakenBack) else type(error).__name__
            if not self.ledger.closed:
                self._end_stage(self.ledger, stage_run_id, "failed", counts, said)
                if load and name in ("stage", "replay"):
                    self._finish(self.ledger, load, "failed", said)
            if isinstance(error, _TakenBack):
                self.log.info("stage_taken_back", stage=name, load_id=load_id)
            else:
                self.log.error("stage_failed", stage=name, load_id=load_id, error=said)
            raise
        finally:
            self.watcher.end()
        seconds = time.monotonic() - started
        self.summary.seconds[shown] = self.summary.seconds.get(shown, 0.0) + seconds
        for key, amount in counts.items():
            self.summary.add(key, amount)
        self.log.info(
            "stage_done", stage=name, load_id=load_id, seconds=round(seconds, 3), **counts
        )

    def _end_stage(
        self,
        connection: psycopg.Connection[Any],
        stage_run_id: int,
        status: str,
        counts: dict[str, int],
        error: str | None,
    ) -> None:
        run(
            connection,
            "ledger/ledger.finish_stage",
            {
                "stage_run_id": stage_run_id,
                "status": status,
                "counts": Jsonb(counts),
                "error": error,
            },
        )

    def _wait_for_older_readers(self) -> None:
        """Wait until no transaction is left that began before the rebuild was complete.

        Its snapshot would find the new tables under the live names and no rows in them: a
        repeatable-read report or a pg_dump would be wrong without a word.
        """
        boundary = {"boundary": scalar(self.ledger, "rebuild/swap.boundary")}
        deadline = time.monotonic() + READER_PATIENCE
        said = False
        while pids := [p for (p,) in run(self.ledger, "rebuild/swap.older_snapshots", boundary)]:
            if time.monotonic() > deadline:
                raise ServerError(
                    f"The rebuild could not go live: session {pids[0]} has had a transaction "
                    f"open for over {READER_PATIENCE // 60} minutes.",
                    "End that transaction (pg_stat_activity shows whose it is) and run again; "
                    "readers keep what they had.",
                )
            if not said:
                self.watcher.say("The rebuild is complete; waiting for older transactions to end.")
                said = True
            time.sleep(0.1)

    def _swap(self) -> None:
        """Put the rebuild live; where an analyst's view is in use, wait a little and try again.

        Only re-pointing such a view takes a lock that a reader could meet, so it is asked for
        with little patience and many times.
        """
        deadline = time.monotonic() + READER_PATIENCE
        while True:
            try:
                with self._stage("swap", "swap", None, LIVE):
                    run(self.work, "rebuild/swap.lock_patience", {"patience": "100ms"})
                    rebuild.swap(self.work)
                    run(self.work, "ledger/ledger.go_live", {"rebuilt": self.rebuilt})
                    moved = {"old": list(self.retold), "new": list(self.retold.values())}
                    run(self.work, "quarantine/quarantine.hand_over", moved)
                return
            except psycopg.errors.LockNotAvailable:
                if time.monotonic() > deadline:
                    raise ServerError(
                        "The rebuild could not go live: a view on the warehouse is in use.",
                        "End the transaction that reads it (pg_stat_activity) and run again; "
                        "readers keep what they had.",
                    ) from None
                time.sleep(1)

    def _drop_retired(self) -> None:
        blocked = rebuild.blockers(self.ledger)
        if blocked:
            self.summary.notes.append(
                f"{', '.join(blocked[:3])} reads from the warehouse as it was before this load: "
                "drop and create it again before the next full load."
            )
            return
        try:
            with self.ledger.transaction():
                run(self.ledger, "rebuild/swap.lock_patience", {"patience": "5s"})
                rebuild.drop(self.ledger, rebuild.RETIRED)
        except psycopg.errors.LockNotAvailable:
            # A long query still reads the old tables; the next full load clears them away.
            self.log.info("retired_kept")


def _worst(report: CheckReport) -> str:
    """The critical checks that failed, the first few by name."""
    worst = [r for r in report.failures if r.check.severity == CRITICAL]
    return "; ".join(f"{r.check.name} ({r.rows_failed:,} rows)" for r in worst[:3])


def _told(changes: dict[str, int]) -> str:
    """What a restatement changes, for a person."""
    said = {
        "replayed": "keys have another history",
        "spliced_in": "versions come",
        "merged": "go",
        "shortened": "end sooner",
        "rewritten": "differ otherwise",
        "rekeyed": "facts are keyed anew",
    }
    return ", ".join(
        f"{changes[name]:,} {words}" for name, words in said.items() if name in changes
    )


def set_session_path(connection: psycopg.Connection[Any]) -> None:
    """Resolve table names in the live schemas for the rest of the session."""
    run(connection, "ledger/session.live_path", {"path": ", ".join(LIVE.path)})


def latest_runs(url: str) -> list[tuple[Any, ...]]:
    """The latest stages, newest first: (begun, stage, batch, status, seconds)."""
    with connect(url, "aca-warehouse status") as connection:
        set_session_path(connection)
        try:
            return run(connection, "ledger/ledger.latest_runs").fetchall()
        except psycopg.errors.UndefinedTable:
            return []
