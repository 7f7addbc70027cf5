"""The stage of a load that brings its files into staging; a full load takes two of them at once.

Files of a batch do not read each other. Where a full load reads several large ones, each is loaded
by one of two sessions, which take them in turn; everywhere else the stage is one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg

from etl.access.erasure import Door
from etl.contracts.refusals import Refusal
from etl.db.statements import run, scalar
from etl.errors import BatchError
from etl.inbox import values_of_file
from etl.inbox.batch import Batch, FeedFile
from etl.inbox.header import PreviousFile
from etl.pipeline import guards
from etl.pipeline.by_two import by_two
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Load
from etl.quarantine import store
from etl.stages import bulk, take_out
from etl.stages.stage import load_file, parts, rejects
from etl.stages.stage.staged import Staged


def run_stage(context: RunContext, load: Load, batch: Batch, files: list[FeedFile]) -> None:
    """Load files of a batch into staging.

    Raises ``BatchError`` if one of them cannot be loaded: then none is, and the ledger has why.
    """
    what = f"batch {load.batch_id}"
    total = sum(f.size_bytes for f in files)
    try:
        with context.run_stage("stage", what, load, load.build, total=total) as counts:
            staged_files = _stage_files(context, load, batch, files)
            for staged in staged_files:
                counts.update(staged.counts())
            if load.batch_id in context.lookout().let_in:
                guards.note_let_in(
                    context, load, staged_files, context.lookout().let_in[load.batch_id]
                )
            guards.guard_snapshots(context, load, staged_files)
            guards.guard_corrections(context, load, staged_files)
            context.gate_load("stage", load)
    except BatchError as error:
        at_fault = error.staged
        if at_fault is not None:
            at_fault.status, at_fault.refusal, at_fault.loaded = "refused", error.refusal, 0
            rows = _corrected_rows(context.ledger, load, at_fault.file, at_fault.checksum)
            rejects.record_rejects(context.ledger, load.load_id, at_fault, rows)
            parts.record(context.ledger, load.load_id, at_fault)
        raise
    context.summary.files += staged_files


def _stage_files(
    context: RunContext, load: Load, batch: Batch, files: Sequence[FeedFile]
) -> list[Staged]:
    """Load the files, and say of each what a person should know."""
    door = context.erased.door(load.rebuilds_load_id)

    def stage(session: psycopg.Connection[Any], file: FeedFile) -> Staged:
        staged = _stage_file(context, session, load, batch, file, door)
        parts.record(session, load.load_id, staged)
        return staged

    def say(staged: Staged) -> None:
        about = f"{staged.file.name} of batch {load.batch_id}"
        if staged.status == "skipped":
            context.watcher.say(
                f"{about} skipped: {', '.join(staged.notes)}. If its contract was corrected since, "
                "make full-load reads it again."
            )
            return
        for remark in staged.remarks():
            context.watcher.say(f"{about}: {remark}.")

    if takes_two(load, files):
        return by_two(context, load, files, stage, say)
    found = []
    for file in files:
        found.append(stage(context.work, file))
        say(found[-1])
    return found


def takes_two(load: Load, files: Sequence[FeedFile]) -> bool:
    """Whether two sessions share the files: where a full load has more than one that is large."""
    large = [file for file in files if file.size_bytes > bulk.BYTES]
    return load.build.is_rebuild and len(large) > 1


def _stage_file(
    context: RunContext,
    session: psycopg.Connection[Any],
    load: Load,
    batch: Batch,
    file: FeedFile,
    door: Door,
) -> Staged:
    started = time.monotonic()
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
    same = None
    if not values_of_file.may_differ(file):
        same = scalar(session, "ledger/ledger.same_file", values)
    if same is not None:
        note = f"already loaded with batch {same}"
        context.log.info("file_skipped", file=file.name, batch=load.batch_id, same_as=same)
        return Staged(file, checksum, status="skipped", notes=[note])
    rows = _corrected_rows(session, load, file, checksum)
    staged = _read_file(context, session, load, batch, file, values, rows, door)
    rejects.record_rejects(session, load.load_id, staged, rows)
    if not load.build.is_rebuild:
        run(session, "quarantine/quarantine.close_refused", values)
    skipped = run(session, "ledger/ledger.skipped_after", values).fetchone()
    if skipped is not None:
        later_id, later_as_of, same_as = skipped
        if not load.build.is_rebuild:
            context.staging_archive.bring_back_loads(session, [file.feed.name], [same_as])
        load_file.repeat_file(session, file.feed, later_id, later_as_of, same_as)
        staged.notes.append(f"load {later_id} had skipped the same file and has it now")
    seconds = round(time.monotonic() - started, 3)
    said = {"file": file.name, "batch": load.batch_id, "seconds": seconds, **staged.counts()}
    context.log.info("file_staged", **said)
    return staged


def _read_file(
    context: RunContext,
    session: psycopg.Connection[Any],
    load: Load,
    batch: Batch,
    file: FeedFile,
    values: dict[str, Any],
    rows: dict[int, bytes],
    door: Door,
) -> Staged:
    """Load a file into staging; ``BatchError`` where what it contains cannot be loaded at all."""
    checksum = values["xxh3_128"]
    before = {
        contract: PreviousFile(columns, as_of)
        for contract, columns, as_of in run(session, "ledger/ledger.columns_before", values)
    }
    # A file that was let in by a correction of its rows is let in again by a rebuild.
    was_corrected = load.rebuilds_load_id is not None and store.kept(
        session, file.feed.name, checksum, None
    )
    try:
        return load_file.run_file(
            session,
            load.load_id,
            batch,
            file,
            checksum,
            None if was_corrected else context.settings.reject_share,
            context.watcher.advance if not file.is_packed else lambda _: None,
            before,
            rows,
            load.build.is_rebuild,
            door,
        )
    except Exception as error:
        if not take_out.is_of_file(error):
            raise
        note_fault(context, "file_taken_out", load, error)
        why = f"{file.name} cannot pass stage: {take_out.reason(error)}"
        refusal = taken_out(load, why, "nothing of it is")
        refusal.staged = Staged(file, checksum, notes=[why])
        raise refusal from error


def note_fault(context: RunContext, event: str, load: Load, error: Exception) -> None:
    """Log what a load or file was taken out for, and where in the code that came up."""
    why, places = take_out.reason(error), take_out.places(error)
    context.log.error(event, batch=load.batch_id, load_id=load.load_id, why=why, places=places)


def taken_out(load: Load, why: str, rest: str) -> BatchError:
    """The error of a load whose data cannot pass a stage. ``rest``: what of it is loaded."""
    return BatchError(
        Refusal.CANNOT_PASS_STAGE,
        f"Batch {load.batch_id} was taken out: {why}; {rest} loaded.",
        "Other batches are loaded. Ask the sender for a corrected file and put it into the batch's "
        "folder; make incremental tries again.",
    )


def _corrected_rows(
    connection: psycopg.Connection[Any], load: Load, file: FeedFile, checksum: str
) -> dict[int, bytes]:
    """Rows of a file as people corrected them; in a rebuild those known at its place."""
    return store.kept(connection, file.feed.name, checksum, load.rebuilds_load_id)
