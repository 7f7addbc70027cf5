"""One run on the warehouse: its lock, its connections, the ledger, its gates.

The only place that opens transactions that write. A run holds one advisory lock, so there is only
ever one. Each stage is one transaction that also says in the ledger that the stage is done: killed
anywhere, the next run goes on from the last stage that was committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from etl import log
from etl.config import Settings
from etl.contracts.checks import CRITICAL
from etl.db import trouble
from etl.db.connection import PREFIX, connect, set_search_path
from etl.db.statements import names, run, scalar
from etl.errors import AcaError, AlreadyRunningError, BatchError, CheckFailedError
from etl.inbox.batch import find_batches
from etl.pipeline import waiting
from etl.pipeline.running import LOCK_KEY, session_name, who_runs
from etl.pipeline.stopping import Stopped
from etl.pipeline.summary import Load, Summary, Watcher
from etl.quality import runner
from etl.quality.runner import CheckReport
from etl.schema import repeatable, revisions
from etl.schema.migrations import migrate
from etl.server.requirements import require_connections, require_rights
from etl.stages.statistics import STALE_SHARE
from etl.warehouse.tables import KEPT, LIVE, NEXT, RETIRED, Build

WORKER = f"{PREFIX} work"


def utc_now() -> datetime:
    """The instant in UTC."""
    return datetime.now(UTC)


class RolledBack(Exception):
    """A change turned out to be none, or was not wanted: its transaction is rolled back."""


class Session:
    """One run; a context manager that holds the run's lock.

    ``now``: the instant against which batches may be late or in the future; ``None`` where their
    days are none of the real world.
    """

    def __init__(
        self,
        url: str,
        settings: Settings,
        watcher: Watcher,
        command: str,
        now: Callable[[], datetime | None] = utc_now,
    ) -> None:
        self.url = url
        self.now = now
        self.settings = settings
        self.watcher = watcher
        self.summary = Summary(command)
        self.log = log.get().bind(command=command)
        self.rebuilt: list[int] = []
        self.stopped: list[BatchError | CheckFailedError] = []
        self.rebuilt_loads: dict[int, int] = {}
        # The folder and load that a stage is at work on.
        self.in_hand: tuple[str, int] | None = None
        # Of a rebuild: files that another took the place of, by batch and feed, and whether what
        # they brought may be lost.
        self.corrected: Mapping[tuple[str, str], Sequence[Any]] = {}
        self.forgets = False
        # What was decided about it, as rows of the ledger: written when it goes live.
        self.decided: list[dict[str, Any]] = []
        self.waits_for = ""  # whose transactions it was last said to wait for before it goes live
        self.confirmed: frozenset[str] = frozenset()  # batches whose snapshots may end many keys

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self.ledger = connect(self.url, session_name(self.summary.command))
            opened.callback(self.ledger.close)
            self.work: psycopg.Connection[Any] = self.ledger  # until it has one of its own
            self.watch = waiting.Watch(
                self.url, lambda: [self.ledger, self.work], lambda text: self.watcher.say(text)
            )
            self.watch.start()
            opened.callback(self.watch.stop)
            self._take_lock()
            require_rights(
                self.ledger, (*KEPT, *LIVE.schemas.build, *NEXT.schemas.build, *RETIRED.build)
            )
            require_connections(self.url, self.ledger)
            if self.summary.command == "full-load" and revisions.is_of_before(self.ledger):
                self._keep_old_warehouse()
            if not revisions.is_newest(self.ledger):
                migrate(self.url)
            repeatable.ensure(self.ledger)
            set_session_path(self.ledger)
            with self.ledger.transaction():
                runner.define(self.ledger)
            self.work = connect(self.url, WORKER)
            opened.pop_all()
        run(self.work, "ledger/session.work_session")
        run(self.ledger, "ledger/ledger.close_interrupted")
        self._fail_unfinished("interrupted")
        return self

    def _keep_old_warehouse(self) -> None:
        """Make room for a full load where the warehouse is one that no migration leads on from."""
        if not find_batches(self.settings.inbox):
            return  # nothing to make a new one from
        names = ", ".join(revisions.keep_old(self.ledger))
        said = (
            f"The warehouse of an earlier version is now in the schemas {names}, and views on it "
            "still read it: drop them when nobody needs them."
        )
        self.watcher.say(said)
        self.summary.notes.append(said)

    def _fail_unfinished(self, error: str) -> None:
        """Enter of loads that came to nothing that they failed; what they left goes."""
        with self.ledger.transaction():
            run(self.ledger, "ledger/ledger.fail_interrupted", {"error": error})
            run(self.ledger, "ledger/ledger.fail_files")
            for name in ("clear_lines", "clear_rejects", "clear_profiles", "clear_rekeys"):
                run(self.ledger, f"ledger/ledger.{name}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.watch.stop(went_on=error is None)
        self.work.close()
        if self.rebuilt:
            with suppress(psycopg.Error):
                self._fail_unfinished("its full load did not go live")
        # A session that is closed goes on for a moment, in which the next run would be refused.
        with suppress(psycopg.Error):
            run(self.ledger, "ledger/ledger.unlock", {"key": LOCK_KEY})
        self.ledger.close()

    def _take_lock(self) -> None:
        if not scalar(self.ledger, "ledger/ledger.try_lock", {"key": LOCK_KEY}):
            found = "".join(f"It is {said}. " for said in who_runs(self.ledger))
            raise AlreadyRunningError(
                "Another run is working on this warehouse.",
                f"{found}Wait for it to end; make status shows what it is doing. Nothing was "
                "changed.",
            )
        run(self.ledger, "ledger/ledger.end_orphans", {"application": WORKER})

    def open_load(
        self,
        batch_id: str,
        as_of: datetime,
        build: Build,
        *,
        kind: str = "batch",
        rebuilds_load_id: int | None = None,
    ) -> Load:
        """Begin a load; ``kind`` is that of the ledger, ``rebuilds_load_id`` that of ``Load``."""
        values = {
            "batch_id": batch_id,
            "as_of": as_of,
            "kind": kind,
            "is_rebuild": build.is_rebuild,
            "first_load_id": self.rebuilt[0] if self.rebuilt else None,
        }
        load_id = scalar(self.ledger, "ledger/ledger.open_load", values)
        if build.is_rebuild:
            self.rebuilt.append(load_id)
        return Load(load_id, batch_id, as_of, build, rebuilds_load_id)

    def forget(self, load: Load) -> None:
        """Leave no trace of a load that came to nothing."""
        for name in ("forget_stage", "forget_load"):
            run(self.ledger, f"ledger/ledger.{name}", {"load_id": load.load_id})

    def finish(
        self, connection: psycopg.Connection[Any], load: Load, status: str, error: str | None = None
    ) -> None:
        """Say how a load ended, within the transaction of ``connection``."""
        run(
            connection,
            "ledger/ledger.finish_load",
            {"load_id": load.load_id, "status": status, "error": error},
        )

    def feeds(self, load: Load) -> dict[str, str]:
        """The feeds that a load brought, each with the kind of its file."""
        return dict(
            run(self.work, "ledger/ledger.feeds_of_load", {"load_id": load.load_id}).fetchall()
        )

    @contextmanager
    def stage(
        self, name: str, what: str, load: Load | None, build: Build, total: int | None = None
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
            # What earlier stages changed must not count for this one when statistics are renewed.
            run(self.work, "ledger/session.settle_counts")
            with self.work.transaction():
                set_search_path(self.work, build.schemas.path)
                run(self.work, "ledger/session.work_transaction")
                if load_id is not None:
                    run(self.work, "schema/past.set_load", {"load_id": load_id})
                yield counts
                self._renew_statistics(build)
                self._end_stage(self.work, stage_run_id, "done", counts, None)
        except BaseException as error:
            said = words(error)
            # Where the server is gone the next run notes that this one was interrupted.
            with suppress(psycopg.OperationalError):
                self._end_stage(self.ledger, stage_run_id, "failed", counts, said)
                if load and name in ("stage", "replay", "restate"):
                    self.finish(self.ledger, load, "failed", said)
            if isinstance(error, RolledBack):
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

    def _renew_statistics(self, build: Build) -> None:
        """Refresh what the planner knows of tables that a stage changed and did not analyze itself.

        Stages analyze what their own steps read; what only readers plan with is left to here: past
        rows, states, and partitioned tables as a whole.
        """
        stale = {"schemas": list(build.schemas.build), "share": STALE_SHARE}
        found = run(self.work, "ledger/session.stale_tables", stale).fetchall()
        for schema, table, is_partitioned, columns in found:
            run(
                self.work,
                "ledger/session.renew_statistics",
                # A part has statistics of its own, and its stage has seen to them.
                only=sql.SQL("only" if is_partitioned else ""),
                table=sql.Identifier(schema, table),
                columns=names(columns),
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

    def gate(
        self,
        stage: str,
        what: str,
        load_id: int | None = None,
        feeds: Collection[str] = (),
        kind: str | None = None,
    ) -> None:
        """Let a stage last only if what it did passes its checks; within its transaction.

        ``kind``: which of its gates, where a stage has more than one.
        """
        report = runner.run_gate(self.work, self.ledger, LIVE, stage, load_id, feeds, kind)
        self.judged(stage, report)
        if report.failed_critical:
            raise CheckFailedError(
                f"The work on {what} was taken back at the gate of {stage}: {worst(report)}.",
                "Readers keep what they had. quality.check_judged tells which rows. What the stage "
                "had just made was wrong: look for what changed in code or tables. When the cause "
                "is gone, make incremental goes on from there.",
            )

    def gate_load(self, stage: str, load: Load) -> None:
        """The gate of a stage for a load.

        A rebuild has none: nobody sees it before all the checks have looked at it.
        """
        if not load.build.is_rebuild:
            self.gate(stage, f"batch {load.batch_id}", load.load_id, self.feeds(load))

    def judged(self, gate: str, report: CheckReport) -> None:
        """Note what a gate found."""
        self.summary.gates.append(report)
        self.log.info("gate", stage=gate, total=report.checks, failed=report.failed)


def words(error: BaseException) -> str:
    """What the ledger says of the end of a stage: never the text of a driver, which can quote."""
    if isinstance(error, AcaError | RolledBack | Stopped):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "stopped by SIGINT"
    explained = trouble.explain(error)
    return explained.message if explained else type(error).__name__


def worst(report: CheckReport) -> str:
    """How many critical checks failed, and the first few by name."""
    found = [r for r in report.failures if r.check.severity == CRITICAL]
    named = "; ".join(f"{r.check.name} ({r.rows_failed:,} rows)" for r in found[:3])
    return f"{len(found)} critical check{'s' if len(found) > 1 else ''} failed: {named}"


def set_session_path(connection: psycopg.Connection[Any]) -> None:
    """Resolve table names in the live schemas for the rest of the session."""
    run(connection, "ledger/session.live_path", {"path": ", ".join(LIVE.schemas.path)})
