"""A load on its way through the stages: files to staging, staging to dimensions and facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable

import psycopg

from etl.contracts.refusals import Refusal
from etl.db import steps
from etl.db.statements import run
from etl.errors import AcaError, BatchError
from etl.inbox.batch import Batch, FeedFile
from etl.pipeline import details, staging
from etl.pipeline.ending import Current
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Load
from etl.retention import expire
from etl.stages import take_out
from etl.stages.dims import calendar, history
from etl.stages.facts import merge_facts
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
        steps["stage"] = lambda _: staging.run_stage(context, load, batch, files)
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
    staging.note_fault(context, "load_taken_out", load, error)
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
    raise staging.taken_out(load, why, rest) from error


def _at_fault(files: Collection[str], stage: str, feed: str | None) -> list[str]:
    """Which feeds of a load to take out.

    In the facts the one that was worked on, or all facts; in a stage before them every feed.
    """
    if stage != "facts":
        return sorted(files)
    entries: tuple[Fact | Detail, ...] = (*FACTS.values(), *DETAILS)
    feeds_of_facts = [entry.feed.name for entry in entries if entry.feed.name in files]
    return [feed] if feed in feeds_of_facts else feeds_of_facts


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
