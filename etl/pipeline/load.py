"""A load on its way through the stages: files to staging, staging to dimensions and facts."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

from etl.config import Settings
from etl.db.statements import run, scalar
from etl.errors import AcaError, BatchError
from etl.inbox import refused
from etl.inbox.batch import Batch, FeedFile
from etl.inbox.header import Before
from etl.inbox.pending import Inbox, Lookout
from etl.pipeline import guards
from etl.pipeline.session import Session, utc_now
from etl.pipeline.summary import Load, Watcher
from etl.quarantine import store as corrected
from etl.stages import take_out
from etl.stages.dims import calendar, empty_versions, history, rehash
from etl.stages.facts import merge_facts
from etl.stages.stage import load_file, parts, rejects
from etl.stages.stage.staged import Staged
from etl.warehouse.tables import DIMENSIONS, FACTS, LIVE

STAGES = ("stage", "dims", "facts")


def look(
    connection: psycopg.Connection[Any],
    inbox: Path,
    now: datetime | None,
    *,
    is_named: bool = False,
) -> Inbox:
    """What the inbox contains, for those who only look; ``is_named``: it has to be there."""
    try:
        lookout = Lookout(inbox, now, only_looks=True, has_to_be_there=is_named)
        return lookout.look(connection)
    except BatchError as error:
        return Inbox(stray=error, is_there=False)


class Loading(Session):
    """A run that takes loads through the stages.

    ``feed_in_hand``: the feed whose rows a stage of a load is at work on, if any one.
    ``set_aside``: batches that this run found that they cannot pass. ``recheck``: compare every
    file of the inbox by its bytes. ``allowed_ahead``: ids of batches that may lie far in the
    future.
    """

    recheck = False
    allowed_ahead: Collection[str] = ()
    _lookout: Lookout | None = None

    def __init__(
        self,
        url: str,
        settings: Settings,
        watcher: Watcher,
        command: str,
        now: Callable[[], datetime | None] = utc_now,
    ) -> None:
        super().__init__(url, settings, watcher, command, now)
        self.feed_in_hand: str | None = None
        self.set_aside: set[str] = set()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Enter into the ledger what was refused, and what is settled since."""
        # The server or the inbox may be gone.
        with suppress(psycopg.Error, OSError, BatchError):
            refused.note(self.ledger, [*self.stopped, self._about_batch(error)])
            self.settle_refused()
        super().__exit__(kind, error, trace)

    def settle_refused(self) -> list[refused.HeldBatch]:
        """Enter which refused batches are settled; what is not in the warehouse after that."""
        found = self.lookout().look(self.ledger)
        refused.settle(self.ledger, found)
        return refused.held_batches(self.ledger, found)

    def _about_batch(self, error: BaseException | None) -> BaseException | None:
        """What stopped the run, as far as a batch may be at fault: no signal and no lost server."""
        is_unforeseen = isinstance(error, Exception) and not isinstance(
            error, AcaError | psycopg.OperationalError | psycopg.InterfaceError
        )
        if not is_unforeseen or self.in_hand is None:
            return error
        said = AcaError(
            f"Something unforeseen stopped it: {type(error).__name__}.",
            "Run again with DEBUG=1 for the traceback.",
        )
        said.folder, said.load_id = self.in_hand
        return said

    def pending(self) -> list[tuple[Batch, list[FeedFile]]]:
        """Batches of the inbox with the files that are not loaded yet, in order.

        Those that cannot be read are put into ``stopped``.
        """
        found = self.lookout().look(self.ledger)
        for error in (*found.refused, found.stray):
            self._stop(error)
        return [
            (batch, files) for batch, files in found.pending if batch.batch_id not in self.set_aside
        ]

    def all_batches(self) -> list[Batch]:
        """Every batch of the inbox, in order; ``BatchError`` if one of them may not be loaded.

        What lies in the inbox and in no batch is put into ``stopped``.
        """
        found = self.lookout().look(self.ledger)
        self._stop(found.stray)
        for error in found.refused[1:]:
            self.watcher.say(f"Also: {error.message}")
        if found.refused:
            raise found.refused[0]
        return found.batches

    def lookout(self) -> Lookout:
        """What looks at the inbox for this run."""
        if self._lookout is None:
            self._lookout = Lookout(
                self.settings.inbox,
                self.now(),
                recheck=self.recheck,
                allowed=self.allowed_ahead,
                has_to_be_there=self.settings.names_inbox,
            )
        return self._lookout

    def _stop(self, error: BatchError | None) -> None:
        """Remember what stopped a batch, once."""
        if error is not None and error.message not in {known.message for known in self.stopped}:
            self.stopped.append(error)

    def unfinished(self) -> list[tuple[Load, set[str]]]:
        """Loads that are staged and not in the facts yet, with the stages they have behind them."""
        return [
            (Load(load_id, batch_id, as_of, LIVE), set(done or ()))
            for load_id, batch_id, as_of, done in run(self.ledger, "ledger/ledger.unfinished")
        ]

    def through(
        self,
        load: Load,
        batch: Batch | None,
        files: list[FeedFile],
        done: set[str],
        wanted: tuple[str, ...] = STAGES,
    ) -> None:
        """Take a load through the stages wanted that it has not behind it, in order.

        Raises ``BatchError`` if it cannot pass: then it is set aside, and others may go on. What
        stops it says which batch it is about.
        """
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
            in_hand = (batch.folder if batch else load.batch_id, load.load_id)
            self.in_hand = in_hand
            try:
                self._step(load, name, steps[name], wanted)
            except AcaError as error:
                error.folder, error.load_id = in_hand
                raise
            self.in_hand = None

    def _step(
        self, load: Load, stage: str, step: Callable[[], None], wanted: tuple[str, ...]
    ) -> None:
        """Take a load through a stage, or set it aside where its data cannot pass."""
        try:
            step()
        except psycopg.Error as error:
            if not take_out.is_of_data(error):
                raise
            self._set_aside(load, stage, error, wanted)

    def _set_aside(
        self, load: Load, stage: str, error: psycopg.Error, wanted: tuple[str, ...]
    ) -> None:
        """Take a load whose data cannot pass a stage back out, and say so: ``BatchError``.

        Dimensions that it changed in a stage before stay, for they are right: then only the files
        of facts are taken out, and what else the load brought is carried to its end.
        """
        self._note_fault("load_set_aside", load, error)
        self.set_aside.add(load.batch_id)
        found = run(self.ledger, "ledger/ledger.files_of_load", {"load_id": load.load_id})
        files = dict(found.fetchall())
        at_fault = self._at_fault(files, stage)
        if stage == "facts" and not at_fault:
            raise error
        # A stage that was rolled back with all its files has left nothing to take out.
        what = " and ".join(files[feed] for feed in at_fault) or "what it brought"
        why = f"{what} cannot pass {stage}: {take_out.reason(error)}"
        left = files.keys() - at_fault
        if load.build.is_rebuild:
            raise BatchError(
                f"Batch {load.batch_id} cannot be loaded: {why}.",
                "The rebuild was not put live; readers keep what they had. Ask the sender for a "
                "corrected file, or take it out of the inbox, then make full-load.",
            ) from error
        with self.stage("set_aside", f"batch {load.batch_id}", load, load.build) as counts:
            counts["rows_taken_out"] = take_out.take_out(self.work, load.load_id, at_fault, why)
            if not left:
                self.finish(self.work, load, "failed", why)
        if left:
            try:
                self.through(load, None, [], {"stage", "dims"}, wanted)
            except BatchError as further:
                self.stopped.append(further)
        rest = "the other files of it are" if left else "nothing of it is"
        raise _was_set_aside(load, why, rest) from error

    def _at_fault(self, files: Collection[str], stage: str) -> list[str]:
        """Which feeds of a load to take out: of facts the one in hand or all, before them all."""
        if stage != "facts":
            return sorted(files)
        told = [fact.feed.name for fact in FACTS.values() if fact.feed.name in files]
        return [self.feed_in_hand] if self.feed_in_hand in told else told

    def _run_stage(self, load: Load, batch: Batch, files: list[FeedFile]) -> None:
        what = f"batch {load.batch_id}"
        total = sum(f.size_bytes for f in files)
        come = []
        try:
            with self.stage("stage", what, load, load.build, total=total) as counts:
                for file in files:
                    staged = self._stage_file(load, batch, file)
                    values = staged.ledger_values(load.load_id)
                    run(self.work, "ledger/ledger.record_file", values)
                    parts.record(self.work, load.load_id, staged)
                    come.append(staged)
                    for name, amount in staged.counts().items():
                        counts[name] = counts.get(name, 0) + amount
                if load.batch_id in self.lookout().let_in:
                    guards.note_let_in(self, load, come, self.lookout().let_in[load.batch_id])
                guards.guard_snapshots(self, load, come)
                guards.guard_corrections(self, load, come)
                self.gate_load("stage", load)
        except BatchError as error:
            at_fault = error.staged
            if at_fault is not None:
                at_fault.status, at_fault.loaded = "refused", 0
                rows = self._kept(self.ledger, load, at_fault.file, at_fault.checksum)
                rejects.record_rejects(self.ledger, load.load_id, at_fault, rows)
                values = at_fault.ledger_values(load.load_id)
                run(self.ledger, "ledger/ledger.record_file", values)
                parts.record(self.ledger, load.load_id, at_fault)
            raise
        self.summary.files += come

    def _stage_file(self, load: Load, batch: Batch, file: FeedFile) -> Staged:
        checksum = file.checksum()
        values = {
            "feed": file.feed.name,
            "xxh3_128": checksum,
            "kind": file.expected.kind,
            "contract": file.expected.contract,
            "load_id": load.load_id,
            "batch_id": load.batch_id,
            "as_of": load.as_of,
            **load.build.values,
        }
        same = scalar(self.work, "ledger/ledger.same_file", values)
        if same is not None:
            note = f"already loaded with batch {same}"
            self.watcher.say(f"{file.name} of batch {load.batch_id} skipped: {note}.")
            self.log.info("file_skipped", file=file.name, batch=load.batch_id, same_as=same)
            return Staged(file, checksum, status="skipped", notes=[note])
        rows = self._kept(self.work, load, file, checksum)
        # What was let in before, and corrected since, is let in again.
        is_mended = load.rebuilds_load_id is not None and corrected.kept(
            self.work, file.feed.name, checksum, None
        )
        try:
            staged = load_file.run_file(
                self.work,
                load.load_id,
                batch,
                file,
                checksum,
                None if is_mended else self.settings.reject_share,
                self.watcher.advance if not file.is_packed else lambda _: None,
                {
                    contract: Before(columns, as_of)
                    for contract, columns, as_of in run(
                        self.work, "ledger/ledger.columns_before", values
                    )
                },
                rows,
                load.build.is_rebuild,
            )
        except Exception as error:
            if not take_out.is_of_file(error):
                raise
            self._note_fault("file_set_aside", load, error)
            why = f"{file.name} cannot pass stage: {take_out.reason(error)}"
            refusal = _was_set_aside(load, why, "nothing of it is")
            refusal.staged = Staged(file, checksum, status="refused", notes=[why])
            raise refusal from error
        rejects.record_rejects(self.work, load.load_id, staged, rows)
        if not load.build.is_rebuild:
            run(self.work, "quarantine/quarantine.close_refused", values)
        skipped = run(self.work, "ledger/ledger.skipped_after", values).fetchone()
        if skipped is not None:
            later_id, later_as_of, same_as = skipped
            load_file.repeat_file(self.work, file.feed, later_id, later_as_of, same_as)
            staged.notes.append(f"load {later_id} had skipped the same file and has it now")
        for note in staged.notes:
            self.watcher.say(f"{file.name} of batch {load.batch_id}: {note}.")
        self.log.info("file_staged", file=file.name, batch=load.batch_id, **staged.counts())
        return staged

    def _note_fault(self, event: str, load: Load, error: Exception) -> None:
        why, places = take_out.reason(error), take_out.places(error)
        self.log.error(event, batch=load.batch_id, load_id=load.load_id, why=why, places=places)

    def _kept(
        self, connection: psycopg.Connection[Any], load: Load, file: FeedFile, checksum: str
    ) -> dict[int, bytes]:
        """Rows of a file as people corrected them; in a rebuild those known at its place."""
        return corrected.kept(connection, file.feed.name, checksum, load.rebuilds_load_id)

    def _finish_before(self, load: Load) -> None:
        """Finish the loads before this one, so that what was known after each can be told."""
        for earlier, done in self.unfinished():
            if earlier.load_id < load.load_id:
                self.watcher.say(
                    f"Batch {earlier.batch_id} is taken through the facts before the dimensions of "
                    f"batch {load.batch_id}: loads change them one after the other."
                )
                try:
                    self.through(earlier, None, [], done)
                except BatchError as error:
                    self.stopped.append(error)

    def _run_dims(self, load: Load) -> None:
        if not load.build.is_rebuild:
            self._finish_before(load)
        what = f"batch {load.batch_id}"
        with self.stage("dims", what, load, load.build, total=len(DIMENSIONS)) as counts:
            kinds = self.feeds(load)
            self.feed_in_hand = None
            calendar.extend(self.work, load.load_id, load.as_of)
            empty_versions.ensure_unknown(self.work)
            for dimension in DIMENSIONS.values():
                rehashed = rehash.rehash(self.work, dimension)
                if rehashed:
                    counts["rehashed"] = counts.get("rehashed", 0) + rehashed
                kind = kinds.get(dimension.feed.name)
                self.feed_in_hand = dimension.feed.name
                if kind is not None:
                    feed_load = history.FeedLoad(
                        load.load_id,
                        load.as_of,
                        kind == "snapshot",
                        load.build,
                    )
                    for name, n in history.run_dimension(self.work, dimension, feed_load).items():
                        counts[name] = counts.get(name, 0) + n
                self.watcher.advance(1)
            self.feed_in_hand = None
            self.gate_load("dims", load)

    def _run_facts(self, load: Load) -> None:
        what = f"batch {load.batch_id}"
        with self.stage("facts", what, load, load.build, total=len(FACTS)) as counts:
            kinds = self.feeds(load)
            arrived = merge_facts.Arrived(load.load_id, load.build)
            for fact in FACTS.values():
                self.feed_in_hand = fact.feed.name
                if fact.feed.name in kinds:
                    done = merge_facts.run_fact(self.work, fact, arrived)
                    for name, n in done.items():
                        counts[f"{fact.name}_{name}"] = n
                self.watcher.advance(1)
            self.feed_in_hand = None
            self.gate_load("facts", load)
            status = "rebuilt" if load.build.is_rebuild else "loaded"
            self.finish(self.work, load, status)


def _was_set_aside(load: Load, why: str, rest: str) -> BatchError:
    return BatchError(
        f"Batch {load.batch_id} was set aside: {why}; {rest} loaded.",
        "Other batches are loaded. Ask the sender for a corrected file and put it into the batch's "
        "folder; make incremental tries again.",
    )
