"""A load on its way through the stages: files to staging, staging to dimensions and facts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

import psycopg

from etl.contracts.refusals import Refusal
from etl.db import steps
from etl.db.statements import run, scalar
from etl.errors import AcaError, BatchError
from etl.inbox import values_of_file
from etl.inbox.batch import Batch, FeedFile
from etl.inbox.header import PreviousFile
from etl.pipeline import details, guards
from etl.pipeline.ending import Current
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Load
from etl.quarantine import store
from etl.retention import expire
from etl.stages import take_out
from etl.stages.dims import calendar, history
from etl.stages.facts import merge_facts
from etl.stages.stage import load_file, parts, rejects
from etl.stages.stage.staged import Staged
from etl.warehouse.details import DETAILS, Detail
from etl.warehouse.tables import DIMENSIONS, FACTS, LIVE, Fact

STAGES = ("stage", "dims", "facts")


def pending(context: RunContext) -> list[tuple[Batch, list[FeedFile]]]:
    """Batches of the inbox with the files that are not loaded yet, in order.

    Those that cannot be read are among the problems of the run.
    """
    found = context.lookout().look(context.ledger)
    for error in (*found.refused, *([found.stray] if found.stray else ())):
        context.problems.add(error)
    return [
        (batch, files)
        for batch, files in found.pending
        if batch.batch_id not in context.problems.taken_out
    ]


def held(context: RunContext) -> list[tuple[Batch, list[FeedFile]]]:
    """Batches of the inbox with the files that are held, in order."""
    return context.lookout().look(context.ledger).held


def all_batches(context: RunContext) -> list[Batch]:
    """Every batch of the inbox, in order; ``BatchError`` if one of them may not be loaded.

    What lies in the inbox and in no batch is among the problems of the run.
    """
    found = context.lookout().look(context.ledger)
    if found.stray:
        context.problems.add(found.stray)
    for error in found.refused[1:]:
        context.watcher.say(f"Also: {error.message}")
    if found.refused:
        raise found.refused[0]
    return found.batches


def unfinished(context: RunContext) -> list[tuple[Load, set[str]]]:
    """Loads that are staged and not in the facts yet, with the stages that they completed."""
    return [
        (Load(load_id, batch_id, as_of, LIVE), set(done or ()))
        for load_id, batch_id, as_of, done in run(context.ledger, "ledger/ledger.unfinished")
    ]


def run_remaining_stages(
    context: RunContext,
    load: Load,
    batch: Batch | None,
    files: list[FeedFile],
    completed: set[str],
    wanted: tuple[str, ...] = STAGES,
) -> None:
    """Run the requested stages that this load has not completed yet.

    Raises ``BatchError`` if its data cannot pass one: then the load is taken out, and others may go
    on. Every error says which batch it is about.
    """
    steps: dict[str, Callable[[Current], None]] = {
        "dims": lambda current: _run_dims(context, load, current),
        "facts": lambda current: _run_facts(context, load, current),
    }
    if batch is not None:
        steps["stage"] = lambda _: _run_stage(context, load, batch, files)
    before = context.current
    for name in STAGES:
        if name in completed:
            continue
        if name not in wanted:
            break
        folder = batch.folder if batch else load.batch_id
        context.current = current = Current(folder, load.load_id)
        try:
            steps[name](current)
        except psycopg.Error as error:
            if not take_out.is_of_data(error):
                raise
            _take_out(context, load, name, current.feed, error, wanted)
        except AcaError as error:
            error.folder, error.load_id = folder, load.load_id
            raise
        context.current = before


def _take_out(
    context: RunContext,
    load: Load,
    stage: str,
    feed: str | None,
    error: psycopg.Error,
    wanted: tuple[str, ...],
) -> None:
    """Take a load whose data cannot pass a stage back out; always raises ``BatchError``.

    ``feed``: the one that the stage was working on. Dimensions that the load changed in a stage
    before stay, for they are right: then only the files of facts are taken out, and what else the
    load brought goes through the rest of the stages.
    """
    _note_fault(context, "load_taken_out", load, error)
    context.problems.taken_out.add(load.batch_id)
    found = run(context.ledger, "ledger/ledger.files_of_load", {"load_id": load.load_id})
    files = {feed: file_name for feed, _, file_name in found}
    at_fault = _at_fault(files, stage, feed)
    if stage == "facts" and not at_fault:
        raise error
    # A stage that was rolled back with all its files has left nothing to take out.
    what = " and ".join(files[feed] for feed in at_fault) or "what it brought"
    why = f"{what} cannot pass {stage}: {take_out.reason(error)}"
    left = files.keys() - at_fault
    if load.build.is_rebuild:
        raise BatchError(
            Refusal.CANNOT_PASS_STAGE,
            f"Batch {load.batch_id} cannot be loaded: {why}.",
            "The rebuild was not put live; readers keep what they had. Ask the sender for a "
            "corrected file, or take it out of the inbox, then make full-load.",
        ) from error
    with context.run_stage("take_out", f"batch {load.batch_id}", load, load.build) as counts:
        counts["rows_taken_out"] = take_out.take_out(context.work, load.load_id, at_fault, why)
        if not left:
            context.finish(context.work, load, "failed", why, Refusal.CANNOT_PASS_STAGE)
    if left:
        try:
            run_remaining_stages(context, load, None, [], {"stage", "dims"}, wanted)
        except BatchError as further:
            context.problems.errors.append(further)
    rest = "the other files of it are" if left else "nothing of it is"
    raise _was_taken_out(load, why, rest) from error


def _at_fault(files: Collection[str], stage: str, feed: str | None) -> list[str]:
    """Which feeds of a load to take out.

    In the facts the one that was worked on, or all facts; in a stage before them every feed.
    """
    if stage != "facts":
        return sorted(files)
    entries: tuple[Fact | Detail, ...] = (*FACTS.values(), *DETAILS)
    feeds_of_facts = [entry.feed.name for entry in entries if entry.feed.name in files]
    return [feed] if feed in feeds_of_facts else feeds_of_facts


def _run_stage(context: RunContext, load: Load, batch: Batch, files: list[FeedFile]) -> None:
    what = f"batch {load.batch_id}"
    total = sum(f.size_bytes for f in files)
    staged_files: list[Staged] = []
    try:
        with context.run_stage("stage", what, load, load.build, total=total) as counts:
            for file in files:
                staged = _stage_file(context, load, batch, file)
                parts.record(context.work, load.load_id, staged)
                staged_files.append(staged)
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


def _stage_file(context: RunContext, load: Load, batch: Batch, file: FeedFile) -> Staged:
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
        same = scalar(context.work, "ledger/ledger.same_file", values)
    if same is not None:
        note = f"already loaded with batch {same}"
        context.watcher.say(
            f"{file.name} of batch {load.batch_id} skipped: {note}. If its contract was corrected "
            "since, make full-load reads it again."
        )
        context.log.info("file_skipped", file=file.name, batch=load.batch_id, same_as=same)
        return Staged(file, checksum, status="skipped", notes=[note])
    rows = _corrected_rows(context.work, load, file, checksum)
    staged = _read_file(context, load, batch, file, values, rows)
    rejects.record_rejects(context.work, load.load_id, staged, rows)
    if not load.build.is_rebuild:
        run(context.work, "quarantine/quarantine.close_refused", values)
    skipped = run(context.work, "ledger/ledger.skipped_after", values).fetchone()
    if skipped is not None:
        later_id, later_as_of, same_as = skipped
        if not load.build.is_rebuild:
            context.staging_archive.bring_back_loads(context.work, [file.feed.name], [same_as])
        load_file.repeat_file(context.work, file.feed, later_id, later_as_of, same_as)
        staged.notes.append(f"load {later_id} had skipped the same file and has it now")
    for remark in staged.remarks():
        context.watcher.say(f"{file.name} of batch {load.batch_id}: {remark}.")
    seconds = round(time.monotonic() - started, 3)
    said = {"file": file.name, "batch": load.batch_id, "seconds": seconds, **staged.counts()}
    context.log.info("file_staged", **said)
    return staged


def _read_file(
    context: RunContext,
    load: Load,
    batch: Batch,
    file: FeedFile,
    values: dict[str, Any],
    rows: dict[int, bytes],
) -> Staged:
    """Load a file into staging; ``BatchError`` where what it contains cannot be loaded at all."""
    checksum = values["xxh3_128"]
    before = {
        contract: PreviousFile(columns, as_of)
        for contract, columns, as_of in run(context.work, "ledger/ledger.columns_before", values)
    }
    # A file that was let in by a correction of its rows is let in again by a rebuild.
    was_corrected = load.rebuilds_load_id is not None and store.kept(
        context.work, file.feed.name, checksum, None
    )
    try:
        return load_file.run_file(
            context.work,
            load.load_id,
            batch,
            file,
            checksum,
            None if was_corrected else context.settings.reject_share,
            context.watcher.advance if not file.is_packed else lambda _: None,
            before,
            rows,
            load.build.is_rebuild,
            context.erased.door(load.rebuilds_load_id),
        )
    except Exception as error:
        if not take_out.is_of_file(error):
            raise
        _note_fault(context, "file_taken_out", load, error)
        why = f"{file.name} cannot pass stage: {take_out.reason(error)}"
        refusal = _was_taken_out(load, why, "nothing of it is")
        refusal.staged = Staged(file, checksum, notes=[why])
        raise refusal from error


def _note_fault(context: RunContext, event: str, load: Load, error: Exception) -> None:
    why, places = take_out.reason(error), take_out.places(error)
    context.log.error(event, batch=load.batch_id, load_id=load.load_id, why=why, places=places)


def _corrected_rows(
    connection: psycopg.Connection[Any], load: Load, file: FeedFile, checksum: str
) -> dict[int, bytes]:
    """Rows of a file as people corrected them; in a rebuild those known at its place."""
    return store.kept(connection, file.feed.name, checksum, load.rebuilds_load_id)


def _finish_before(context: RunContext, load: Load) -> None:
    """Finish the loads before this one, so that what was known after each can be asked for."""
    for earlier, completed in unfinished(context):
        if earlier.load_id < load.load_id:
            context.watcher.say(
                f"Batch {earlier.batch_id} is taken through the facts before the dimensions of "
                f"batch {load.batch_id}: loads change them one after the other."
            )
            try:
                run_remaining_stages(context, earlier, None, [], completed)
            except BatchError as error:
                context.problems.errors.append(error)


def _run_dims(context: RunContext, load: Load, current: Current) -> None:
    if not load.build.is_rebuild:
        _finish_before(context, load)
    what = f"batch {load.batch_id}"
    with context.run_stage("dims", what, load, load.build, total=len(DIMENSIONS)) as counts:
        kinds = context.feeds(load)
        calendar.extend(context.work, load.load_id, load.as_of, load.build.schemas)
        counts.update(history.prepare(context.work, load.build.schemas))
        for dimension in DIMENSIONS.values():
            kind = kinds.get(dimension.feed.name)
            current.feed = dimension.feed.name
            if kind is not None:
                is_snapshot = kind == "snapshot"
                feed_load = history.FeedLoad(load.load_id, load.as_of, is_snapshot, load.build)
                with steps.within(dimension.table):
                    counts.update(history.run_dimension(context.work, dimension, feed_load))
            context.watcher.advance(1)
        current.feed = None
        context.gate_load("dims", load)


def _run_facts(context: RunContext, load: Load, current: Current) -> None:
    what = f"batch {load.batch_id}"
    with context.run_stage(
        "facts", what, load, load.build, total=len(FACTS) + len(DETAILS)
    ) as counts:
        kinds = context.feeds(load)
        old_rows = context.old_rows(load.build)
        current_load = merge_facts.CurrentLoad(
            load.load_id, load.build, old_rows, context.rebuild.newest_day
        )
        _bring_back_asked(context, current_load)
        for fact in FACTS.values():
            current.feed = fact.feed.name
            if fact.feed.name in kinds:
                with details.logged(context, load, fact.table), steps.within(fact.table):
                    done = merge_facts.run_fact(context.work, fact, current_load)
                counts.update({f"{fact.name}_{name}": n for name, n in done.items()})
            context.watcher.advance(1)
        counts.update(details.bring_up(context, load, current_load, kinds, current))
        _expire_old(context, load, kinds, counts)
        context.gate_load("facts", load)
        status = "rebuilt" if load.build.is_rebuild else "loaded"
        context.finish(context.work, load, status)


def _bring_back_asked(context: RunContext, current_load: merge_facts.CurrentLoad) -> None:
    """Bring back archived rows that a load asks for, be it late or not."""
    if not current_load.build.is_rebuild:
        context.staging_archive.bring_back_asked(context.work, [current_load.load_id])


def _expire_old(
    context: RunContext, load: Load, feeds: Collection[str], counts: Counter[str]
) -> None:
    """Take out what a load brought from before the horizon."""
    rebuilt = load.rebuilds_load_id
    if rebuilt is not None:
        expire.copy_lines(context.work, load.load_id, rebuilt)
    gone = expire.expire(
        context.work, feeds, [load.load_id], load.load_id, as_recorded=rebuilt is not None
    )
    count_expired(context, gone, counts)


def count_expired(
    context: RunContext, gone: Iterable[expire.Expired], counts: Counter[str]
) -> None:
    """Count rows that expired, also of the files that this run has staged."""
    for rows in gone:
        counts[f"{rows.feed}_expired"] += rows.rows
        for staged in context.summary.files:
            if (staged.load_id, staged.file.feed.name) == (rows.load_id, rows.feed):
                staged.expire(rows.rows, rows.totals)


def _was_taken_out(load: Load, why: str, rest: str) -> BatchError:
    return BatchError(
        Refusal.CANNOT_PASS_STAGE,
        f"Batch {load.batch_id} was taken out: {why}; {rest} loaded.",
        "Other batches are loaded. Ask the sender for a corrected file and put it into the batch's "
        "folder; make incremental tries again.",
    )
