"""One run on the warehouse: its lock, its connections, the ledger, its gates.

The only place that opens transactions that write. A run has one advisory lock, so there is only
ever one. Each stage is one transaction that also says in the ledger that the stage is done: killed
anywhere, the next run continues from the last stage that was committed. In a rebuild, which is
never continued, a stage may be several.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from etl import log
from etl.access import erasure_files
from etl.access.erasure import ErasedMembers
from etl.config import Settings
from etl.contracts.refusals import Refusal
from etl.db.connection import connect, set_search_path
from etl.db.statements import run, scalar
from etl.errors import (
    AlreadyRunningError,
    BatchError,
    CheckFailedError,
    ServerError,
    UsageError,
)
from etl.inbox import refused
from etl.inbox.batch import find_batches
from etl.inbox.pending import Lookout
from etl.pipeline import waiting, worker
from etl.pipeline.ending import Current, RolledBack, about_batch, code_of, words
from etl.pipeline.running import LOCK_KEY, session_name, who_runs
from etl.pipeline.summary import Load, Summary, Watcher
from etl.pipeline.tries import Tries
from etl.quality import runner
from etl.quality.runner import CheckReport
from etl.retention.staging_archive import StagingArchive
from etl.schema import grants, layout, loader, repeatable, revisions
from etl.schema.migrations import migrate
from etl.server import own_texts
from etl.server.requirements import require_connections, require_rights
from etl.stages import tables
from etl.stages.dims.codes import give_codes
from etl.warehouse.tables import KEPT, LIVE, NEXT, RETIRED, Build

# Stages in which a member can get a surrogate key.
_GIVES_CODES = ("dims", "facts", "replay", "restate")


def utc_now() -> datetime:
    """The instant in UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Choices:
    """What a person chose for one run.

    ``confirmed``: ids of batches whose snapshots may end many keys. ``allowed_ahead``: of those
    that may lie far in the future. ``recheck``: compare every file of the inbox by its bytes.
    """

    confirmed: frozenset[str] = frozenset()
    allowed_ahead: frozenset[str] = frozenset()
    recheck: bool = False


@dataclass(slots=True)
class Problems:
    """What stopped batches of a run while the others went on.

    ``taken_out``: ids of batches whose data could not pass a stage; this run tries them once.
    """

    errors: list[BatchError | CheckFailedError] = field(default_factory=list)
    taken_out: set[str] = field(default_factory=set)

    def add(self, error: BatchError | CheckFailedError) -> None:
        """Remember what stopped a batch, once."""
        if error.message not in {known.message for known in self.errors}:
            self.errors.append(error)


@dataclass(slots=True)
class Rebuild:
    """The state of a full load until it goes live.

    ``newest_day``: of its newest batch. ``load_ids``: its loads, the first one first. ``replays``:
    of loads that replay corrected rows, the live one and the one that takes its place.
    ``erasures``: by token of a member the last load before the erasure. ``corrected``: files that
    another took the place of, by batch and feed; ``forgets``: whether what they brought may be
    lost. ``decisions``: rows of the ledger, written when it goes live. ``named_readers``: whose
    transactions it was last said to wait for. ``live_from``: since when it is live, where replicas
    have to know.
    """

    newest_day: date | None = None
    load_ids: list[int] = field(default_factory=list)
    replays: dict[int, int] = field(default_factory=dict)
    erasures: dict[str, int] = field(default_factory=dict)
    corrected: Mapping[tuple[str, str], Sequence[Any]] = field(default_factory=dict)
    forgets: bool = False
    decisions: list[dict[str, Any]] = field(default_factory=list)
    named_readers: str = ""
    live_from: dict[str, str] | None = None


@dataclass(slots=True)
class RunContext:
    """One run: what the functions of the pipeline share.

    ``ledger``: a connection whose statements last at once. ``work``: that of the stages, each of
    which is one transaction. ``connections``: these and others that the run has at the moment;
    ``watch`` says whom any of them waits for. ``now``: the instant
    against which batches may be late or in the future; ``None`` where their days are none of the
    real world. ``checks``: what runs every check on a build. ``tries``: of which the run is one.
    """

    url: str = field(repr=False)  # it can contain a password
    settings: Settings
    watcher: Watcher
    now: Callable[[], datetime | None]
    ledger: psycopg.Connection[Any]
    work: psycopg.Connection[Any]
    connections: list[psycopg.Connection[Any]]
    watch: waiting.Watch
    summary: Summary
    log: Any
    choices: Choices = field(default_factory=Choices)
    problems: Problems = field(default_factory=Problems)
    rebuild: Rebuild = field(default_factory=Rebuild)
    current: Current | None = None
    checks: Callable[..., CheckReport] = runner.run_checks
    tries: Tries = field(default_factory=lambda: Tries(""))
    _transaction: ExitStack = field(default_factory=ExitStack)
    _lookout: Lookout | None = None
    _staging_archive: StagingArchive | None = None

    @property
    def staging_archive(self) -> StagingArchive:
        """Settled partitions of staging that are in files."""
        if self._staging_archive is None:
            self._staging_archive = StagingArchive(self.settings.staging_archive)
        return self._staging_archive

    def old_rows(self, build: Build) -> StagingArchive | None:
        """What staging of a build lacks; a rebuild reads all of the inbox again."""
        return None if build.is_rebuild else self.staging_archive

    @property
    def erased(self) -> ErasedMembers:
        """The members who were erased; ``UsageError`` where the key to recognize them is gone."""
        return erasure_files.erased_members(self.ledger, self.settings.data)

    def values_of_checks(self, build: Build) -> dict[str, list[str]]:
        """What checks on a build compare with that the database does not have."""
        schema = build.schemas.warehouse
        return erasure_files.values_of_checks(self.ledger, self.settings.data, schema)

    def lookout(self) -> Lookout:
        """What looks at the inbox for this run, as was chosen before it is first asked for."""
        if self._lookout is None:
            self._lookout = Lookout(
                self.settings.inbox,
                self.now(),
                recheck=self.choices.recheck,
                allowed=self.choices.allowed_ahead,
                has_to_be_there=self.settings.names_inbox,
            )
        return self._lookout

    def settle_refused(self) -> list[refused.HeldBatch]:
        """Enter which refused batches are settled; what is not in the warehouse after that."""
        found = self.lookout().look(self.ledger)
        refused.settle(self.ledger, found)
        return refused.held_batches(self.ledger, found)

    def open_load(
        self,
        batch_id: str,
        as_of: datetime,
        build: Build,
        *,
        kind: str = "batch",
        subject: str | None = None,
        rebuilds_load_id: int | None = None,
    ) -> Load:
        """Begin a load.

        ``kind`` and ``subject`` are those of the ledger, ``rebuilds_load_id`` that of ``Load``.
        """
        values = {
            "batch_id": batch_id,
            "as_of": as_of,
            "kind": kind,
            "subject": subject,
            "is_rebuild": build.is_rebuild,
            "first_load_id": self.rebuild.load_ids[0] if self.rebuild.load_ids else None,
        }
        load_id = scalar(self.ledger, "ledger/ledger.open_load", values)
        if build.is_rebuild:
            self.rebuild.load_ids.append(load_id)
        return Load(load_id, batch_id, as_of, build, rebuilds_load_id)

    def forget(self, load: Load) -> None:
        """Leave no trace of a load that came to nothing."""
        for name in ("forget_stage", "forget_load"):
            run(self.ledger, f"ledger/ledger.{name}", {"load_id": load.load_id})

    def finish(
        self,
        connection: psycopg.Connection[Any],
        load: Load,
        status: str,
        error: str | None = None,
        code: Refusal | None = None,
    ) -> None:
        """Say how a load ended, within the transaction of ``connection``."""
        values = {"load_id": load.load_id, "status": status, "error": error, "error_code": code}
        run(connection, "ledger/ledger.finish_load", values)

    def feeds(self, load: Load) -> dict[str, str]:
        """The feeds that a load brought, each with the kind of its file."""
        found = run(self.work, "ledger/ledger.files_of_load", {"load_id": load.load_id})
        return {feed: kind for feed, kind, _ in found}

    @contextmanager
    def run_stage(
        self, name: str, what: str, load: Load | None, build: Build, total: int | None = None
    ) -> Iterator[Counter[str]]:
        """One stage: one transaction on the working connection, one row in the ledger."""
        load_id = load.load_id if load else None
        begun = {"load_id": load_id, "stage": name, "is_rebuild": build.is_rebuild}
        stage_run_id = scalar(self.ledger, "ledger/ledger.begin_stage", begun)
        counts = Counter[str]()
        started = time.monotonic()
        self.watcher.begin(name, what, total)
        try:
            with self._transaction:
                self._transaction.enter_context(worker.transaction(self.work, load_id, build))
                yield counts
                if not build.is_rebuild and name in _GIVES_CODES:
                    give_codes(self.work, of_load=load_id if name == "facts" else None)
                tables.renew_statistics(self.work, build.schemas.names)
                self.end_stage(self.work, stage_run_id, counts)
        except BaseException as error:
            # Where the server is gone the next run notes that this one was interrupted.
            with suppress(psycopg.OperationalError):
                self.end_stage(self.ledger, stage_run_id, counts, error)
                if load and name in ("stage", "replay", "restate"):
                    self.finish(self.ledger, load, "failed", words(error), code_of(error))
            if isinstance(error, RolledBack | UsageError):
                self.log.info("stage_rolled_back", stage=name, load_id=load_id)
            else:
                self.log.error("stage_failed", stage=name, load_id=load_id, error=words(error))
            raise
        finally:
            self.watcher.end()
        if load is not None and not build.is_rebuild:
            self.tries.note_progress()
        seconds = time.monotonic() - started
        self.summary.seconds[name] = self.summary.seconds.get(name, 0.0) + seconds
        self.summary.counts.update(counts)
        self.log.info(
            "stage_done", stage=name, load_id=load_id, seconds=round(seconds, 3), **counts
        )

    @contextmanager
    def in_parts(self, load: Load) -> Iterator[psycopg.Connection[Any]]:
        """Let a second session, which this opens, take a share in the current stage of a rebuild.

        What the stage did so far is committed, so that the other session sees it. In here each part
        (``worker.part``) is a transaction of its own: nobody reads a rebuild before it is live, and
        one that is ended here is begun again from nothing.
        """
        assert load.build.is_rebuild, "readers would see a part of a stage"
        tables.renew_statistics(self.work, load.build.schemas.names)
        self._transaction.close()
        with closing(worker.begin(self.url)) as second:
            self.connections.append(second)
            try:
                yield second
            finally:
                self.connections.remove(second)
        self._transaction.enter_context(worker.transaction(self.work, load.load_id, load.build))

    def end_stage(
        self,
        connection: psycopg.Connection[Any],
        stage_run_id: int,
        counts: dict[str, int],
        error: BaseException | None = None,
    ) -> None:
        """Enter how a stage ended, in the transaction of ``connection``."""
        # Who asked for what cannot be, or only to be shown, has a stage that changed nothing.
        failure = None if isinstance(error, RolledBack | UsageError) else error
        values = {
            "stage_run_id": stage_run_id,
            "status": "failed" if failure else "rolled_back" if error else "done",
            "counts": Jsonb({} if error and not failure else counts),
            "error": words(failure) if failure else None,
            "error_code": code_of(failure) if failure else None,
        }
        run(connection, "ledger/ledger.finish_stage", values)

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
        report = runner.run_gate(
            self.work, self.ledger, LIVE, stage, load_id, feeds, kind, self.old_rows(LIVE)
        )
        self.record_gate(stage, report)
        if report.failed_critical:
            raise CheckFailedError(
                f"The work on {what} was rolled back at the gate of {stage}: {report.worst}.",
                "Readers keep what they had. quality.check_judged lists the rows. What the stage "
                "had just made was wrong: look for what changed in code or tables. When the cause "
                "is gone, make incremental continues from there.",
            )

    def gate_load(self, stage: str, load: Load) -> None:
        """The gate of a stage for a load.

        A rebuild has none: nobody sees it before all the checks have looked at it.
        """
        if not load.build.is_rebuild:
            self.gate(stage, f"batch {load.batch_id}", load.load_id, self.feeds(load))

    def record_gate(self, gate: str, report: CheckReport) -> None:
        """Note what a gate found."""
        self.summary.gates.append(report)
        self.log.info("gate", stage=gate, total=report.checks, failed=report.failed)


@contextmanager
def open_run(
    url: str,
    settings: Settings,
    watcher: Watcher,
    command: str,
    now: Callable[[], datetime | None] = utc_now,
    tries: Tries | None = None,
) -> Iterator[RunContext]:
    """Take the lock of the warehouse for a run, and bring its schema up to date.

    ``tries``: of which this is one, if it is not the only one. Raises ``AlreadyRunningError`` while
    another run has the lock. When the run ends, the ledger says what was refused or stopped.
    """
    tries = tries or Tries(command)
    with ExitStack() as opened:
        name = session_name(command)
        ledger = opened.enter_context(closing(connect(url, name)))
        connections = [ledger]
        watch = waiting.Watch(url, lambda: connections, watcher.say)
        watch.start()
        opened.callback(watch.stop)
        tries.meet(ledger, name)
        _take_lock(ledger)
        require_connections(url, ledger)
        url = layout.settle(ledger, loader.become(ledger, url))
        _close_nodes(ledger, watcher)
        require_rights(ledger, (*KEPT, *LIVE.schemas.names, *NEXT.schemas.names, *RETIRED.names))
        set_session_path(ledger)
        _put_back_old_warehouse(ledger, watcher)
        if command == "full-load" and revisions.is_of_before(ledger):
            _keep_old_warehouse(ledger, settings, watcher)
        if not revisions.is_newest(ledger):
            migrate(url)
        repeatable.ensure(ledger)
        with ledger.transaction():
            grants.apply(ledger)
            with loader.as_login(ledger):
                grants.give_path(ledger)
        set_session_path(ledger)
        with ledger.transaction():
            runner.define(ledger)
        tries.enter(ledger)
        work = opened.enter_context(closing(worker.begin(url)))
        connections.append(work)
        run(ledger, "ledger/ledger.close_interrupted", {"error_code": Refusal.INTERRUPTED})
        _fail_unfinished(ledger, "interrupted", Refusal.INTERRUPTED)
        bound_log = log.get().bind(command=command)
        context = RunContext(
            *(url, settings, watcher, now, ledger, work, connections, watch),
            *(tries.summary, bound_log),
            tries=tries,
        )
        error: BaseException | None = None
        try:
            yield context
        except BaseException as raised:
            error = raised
            raise
        finally:
            _end(context, error)


def _close_nodes(ledger: psycopg.Connection[Any], watcher: Watcher) -> None:
    """Let nobody but who loads run a text of their own on a node, also on one that was added."""
    if not layout.is_cluster(ledger):
        return
    with loader.as_login(ledger):
        if not own_texts.close(ledger):
            watcher.say(
                f"{ledger.info.user} may not take from everybody the functions of Citus by which a "
                "login has nodes run a text. Let a superuser run make migrate."
            )


def _take_lock(ledger: psycopg.Connection[Any]) -> None:
    if not scalar(ledger, "ledger/ledger.try_lock", {"key": LOCK_KEY}):
        found = "".join(f"It is {said}. " for said in who_runs(ledger))
        raise AlreadyRunningError(
            "Another run is working on this warehouse.",
            f"{found}Wait for it to end; make status shows what it is doing. Nothing was changed.",
        )
    run(ledger, "ledger/ledger.end_orphans", {"application": worker.WORKER})


def _keep_old_warehouse(
    ledger: psycopg.Connection[Any], settings: Settings, watcher: Watcher
) -> None:
    """Make room for a full load where no migration leads on from the warehouse that is there."""
    if find_batches(settings.inbox):  # else there is nothing to make a new one from
        schemas = ", ".join(revisions.keep_old(ledger))
        watcher.say(
            f"The warehouse of an earlier version is now in the schemas {schemas}, and views on it "
            "still read it. It gets its names back if this load does not go live."
        )


def _put_back_old_warehouse(ledger: psycopg.Connection[Any], watcher: Watcher) -> None:
    """Let readers have the warehouse of an earlier version again that a full load did not replace.

    That of this run, or of one that was killed.
    """
    if revisions.put_back(ledger):
        watcher.say(
            "The warehouse of an earlier version has its names back: the full load that was to "
            "take its place did not go live."
        )


def _fail_unfinished(ledger: psycopg.Connection[Any], error: str, code: Refusal) -> None:
    """Mark loads that came to nothing as failed, and delete what they left."""
    with ledger.transaction():
        run(ledger, "ledger/ledger.fail_interrupted", {"error": error, "error_code": code})
        run(ledger, "ledger/ledger.fail_files")
        for name in ("clear_lines", "clear_rejects", "clear_profiles", "clear_rekeys"):
            run(ledger, f"ledger/ledger.{name}")


def _end(context: RunContext, error: BaseException | None) -> None:
    """Enter into the ledger what was refused and what is settled since, and release the lock."""
    # The server or the inbox may be gone.
    with suppress(psycopg.Error, OSError, BatchError):
        _note_end(context, error)
        refused.note(
            context.ledger, [*context.problems.errors, about_batch(error, context.current)]
        )
        context.settle_refused()
    context.watch.stop(went_on=error is None)
    context.work.close()
    if context.rebuild.load_ids:
        context.tries.summary = Summary(context.tries.command)  # nothing of it lasts
        with suppress(psycopg.Error):
            said = "its full load did not go live"
            _fail_unfinished(context.ledger, said, Refusal.REBUILD_NOT_LIVE)
    # Where somebody keeps a table for long, the next run does it.
    with suppress(psycopg.Error):
        _put_back_old_warehouse(context.ledger, context.watcher)
    # A session that is closed goes on for a moment, in which the next run would be refused.
    with suppress(psycopg.Error):
        run(context.ledger, "ledger/ledger.unlock", {"key": LOCK_KEY})


def _note_end(context: RunContext, error: BaseException | None) -> None:
    """Enter how the try ended; one that ended well must not seem to have been killed."""
    load_id = context.current.load_id if context.current else None
    try:
        context.tries.leave(context.ledger, error, load_id)
    except psycopg.OperationalError:
        if error is not None:
            raise
        with suppress(ServerError), closing(connect(context.url, worker.WORKER)) as again:
            set_session_path(again)
            context.tries.leave(again, error, load_id)


def set_session_path(connection: psycopg.Connection[Any]) -> None:
    """Resolve table names in the live schemas for the rest of the session."""
    set_search_path(connection, LIVE.schemas.path, is_local=False)
