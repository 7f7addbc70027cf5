"""What a person can ask of the warehouse, and the order in which it is done.

A full load goes into schemas of its own (``etl.schema.build``) and then replaces the
live ones; everything else works on these.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from etl.contracts.refusals import Refusal
from etl.db.statements import run, scalar
from etl.errors import BatchError, CheckFailedError, ServerError
from etl.inbox.batch import Batch, FeedFile, in_arrival_order, look_through
from etl.pipeline import breaker, empty_months, erase, guards, replay, room, swap
from etl.pipeline.ending import RolledBack
from etl.pipeline.latest import CUBES_ARE_DUE
from etl.pipeline.load import STAGES, all_batches, pending, run_remaining_stages, unfinished
from etl.pipeline.session import RunContext, set_session_path
from etl.pipeline.summary import Summary
from etl.quality import runner
from etl.quality.great_expectations import load_ahead
from etl.quality.share import NIGHTS
from etl.quality.truth import Truth, truth_checks
from etl.quarantine import export
from etl.schema import build as schema_build
from etl.schema import layout
from etl.stages import take_out
from etl.stages.cubes import refresh
from etl.stages.dims import history
from etl.stages.dims.codes import give_codes
from etl.warehouse.tables import CUBES, LIVE, NEXT, Build, Dimension


def is_empty(context: RunContext) -> bool:
    """Whether no batch was ever loaded."""
    return not scalar(context.ledger, "ledger/ledger.ever_loaded")


def confirm_snapshots(context: RunContext, named: Sequence[str]) -> None:
    """Let the snapshots of these batches end as many keys as they lack, in this run."""
    if named:
        batches = [
            batch
            for batch in look_through(context.settings.inbox)[0]
            if any(file.expected.kind == "snapshot" for file in batch.files)
        ]
        context.choices.confirmed = guards.batches_named(batches, named)


def allow_future(context: RunContext, named: Sequence[str]) -> None:
    """Let in these batches although they lie far in the future, in this run."""
    if named:
        batches, _ = look_through(context.settings.inbox)
        context.choices.allowed_ahead = guards.batches_named(batches, named)


def full_load(context: RunContext, *, forget: bool = False) -> Summary:
    """Rebuild everything from every batch of the inbox, then put it in the live place.

    Held files stay out of it: where one lies in the place of a loaded one, that counts as gone.
    ``forget``: also where that loses what came from files that the inbox no longer contains.
    """
    erase.catch_up(context)
    batches = breaker.batches_not_held(context, all_batches(context))
    guards.guard_what_is_held(context, batches, forget=forget)
    if not batches:
        _raise_stopped(context)
        raise BatchError(
            Refusal.EMPTY_INBOX,
            f"The inbox {context.settings.inbox} contains no batch.",
            "Put a batch folder there, or run make seed for synthetic feeds.",
        )
    swap.prepare(context)
    schema_build.drop(context.ledger, NEXT.schemas)
    room.require_room(context, batches)
    schema_build.create(context.ledger)
    context.rebuild.newest_day = max(batch.as_of for batch in batches).date()
    known = run(context.ledger, "ledger/ledger.files_known").fetchall()
    replays = run(context.ledger, "quarantine/quarantine.replays").fetchall()
    for rebuilds, batch, files in in_arrival_order(batches, known):
        while replays and (rebuilds is None or replays[0][0] < rebuilds):
            erase.repeat(context, replays[0][0])
            replay.rebuild_replay(context, *replays.pop(0))
        erase.repeat(context, rebuilds)
        load = context.open_load(batch.batch_id, batch.as_of, NEXT, rebuilds_load_id=rebuilds)
        run_remaining_stages(context, load, batch, files, set())
    for left in replays:
        erase.repeat(context, left[0])
        replay.rebuild_replay(context, *left)
    erase.repeat(context, None)
    schema_build.finish(context.ledger)
    empty_months.drop(context, NEXT)
    # From here to the checks the server works and Python waits.
    load_ahead()
    with context.run_stage("codes", "the codes of members", None, NEXT):
        give_codes(context.work, whole=True)
    run_cubes(context, NEXT)
    run_checks(context, NEXT)
    swap.wait_for_older_readers(context)
    swap.swap(context)
    tidy(context)
    breaker.note_held(context)
    _raise_stopped(context)
    return context.summary


def incremental(context: RunContext) -> Summary:
    """Finish what was begun and load every batch that is not loaded yet."""
    _load_pending(context, STAGES)
    # Also when a batch was refused: what did come must show in the cubes.
    try:
        if _cubes_are_due(context):
            run_cubes(context, LIVE)
        if scalar(context.ledger, "ledger/ledger.arrivals_are_due"):
            judge_arrivals(context)
    except (BatchError, CheckFailedError) as error:
        context.problems.errors.append(error)
    tidy(context)
    _raise_stopped(context)
    return context.summary


def tidy(context: RunContext) -> Summary:
    """Let views of people follow that may by now, drop what nobody needs, name what is left."""
    swap.clear_replaced(context)
    empty_months.drop(context, LIVE)
    context.staging_archive.clear(context.ledger)
    context.summary.notes += swap.notes(context.ledger)
    return context.summary


def run_stages(context: RunContext, wanted: tuple[str, ...]) -> Summary:
    """Run these of the stages on whatever is due for them."""
    _load_pending(context, wanted)
    _raise_stopped(context)
    return context.summary


def _load_pending(context: RunContext, wanted: tuple[str, ...]) -> None:
    """Take what was begun and every pending batch through these of the stages.

    A refused batch does not stop the others: the order in which batches come
    makes no difference, so it may come later, corrected. What a gate stops also stops all that is
    later: its cause is in the warehouse and not in a file.
    """
    if is_empty(context) and layout.is_cluster(context.ledger):
        raise ServerError(
            "Nothing is loaded on this cluster yet, and only a full load lays a warehouse out over "
            "its nodes.",
            "Run make full-load. Nothing was changed.",
        )
    erase.catch_up(context)
    try:
        for load, done in unfinished(context):
            try:
                run_remaining_stages(context, load, None, [], done, wanted)
            except BatchError as error:
                context.problems.errors.append(error)
        if "stage" in wanted:
            for batch, files in pending(context):
                files = breaker.without_held(context, files)
                if not files:
                    continue
                load = context.open_load(batch.batch_id, batch.as_of, LIVE)
                try:
                    run_remaining_stages(context, load, batch, files, set(), wanted)
                except BatchError as error:
                    context.problems.errors.append(error)
                    breaker.trip(context)
            breaker.note_held(context)
    except CheckFailedError as error:
        context.problems.errors.append(error)


def _raise_stopped(context: RunContext) -> None:
    """Raise what stopped a batch or the run, the worst first, once all have had their turn."""
    if not context.problems.errors:
        return
    first, *others = sorted(
        context.problems.errors, key=lambda e: not isinstance(e, CheckFailedError)
    )
    for error in others:
        context.watcher.say(f"Also: {error.message}")
    raise first


def restate(
    context: RunContext, dimension: Dimension, since: datetime, *, show: bool = False
) -> Summary:
    """Make a dimension's history again from staging, from an instant (UTC) on.

    The watcher shows what changes before that is made to last; with ``show``, or unless it
    agrees, nothing has happened. Facts follow; cubes and checks after them.
    """
    run_stages(context, ("dims", "facts"))
    what = f"{dimension.table} from {since:%Y-%m-%d}"
    load = context.open_load(
        f"restate {what}",
        since.replace(tzinfo=UTC),
        LIVE,
        kind="restatement",
        subject=dimension.table,
    )
    try:
        with context.run_stage("restate", what, load, LIVE) as counts:
            feed_load = history.FeedLoad(load.load_id, load.as_of, False, load.build)
            changes = history.restate(context.work, dimension, feed_load, since)
            context.watcher.end()
            if not any(changes.values()):
                raise RolledBack(f"{dimension.table} is as staging says: no change.")
            shown = f"Restating {what}: {_as_words(changes)}."
            if show:
                raise RolledBack(f"{shown} This was only shown.")
            if not context.watcher.agree(shown):
                raise RolledBack("Nothing was changed.")
            counts.update(changes)
            context.finish(context.work, load, "loaded")
    except RolledBack as error:
        context.forget(load)
        context.watcher.say(str(error))
        # One that was killed before its cubes or checks: they follow now.
        if show or not scalar(context.ledger, "ledger/ledger.checks_are_due"):
            return context.summary
    run_cubes(context, LIVE, whole=True)
    return run_checks(context, LIVE)


def replay_export(context: RunContext, path: Path) -> Summary:
    """Load the rows of a corrected export of the quarantine as if they had been right at first.

    Where the file is loaded they join its rows, in one transaction to the facts; where it was
    refused it is loaded with them. Cubes and checks follow.
    """
    run_stages(context, ("dims", "facts"))
    set_session_path(context.ledger)
    request = export.replay_request(context.ledger, path)
    replay.without_erased(context, request)
    file = request.file
    where = f"{file.file_name} of batch {file.batch_id}"
    if request.untouched:
        context.watcher.say(f"{request.untouched:,} rows were left as they are and stay open.")
    if request.escaped:
        context.watcher.say(
            f"{request.escaped:,} rows still contain escaped bytes and stay open: write the text "
            "that is meant."
        )
    if not request.rows:
        what = "were all dealt with before" if request.closed else "are unchanged"
        context.watcher.say(f"The rows of {where} {what}: nothing to load.")
    elif file.status == "refused":
        replay.replay_refused(context, request, where)
    else:
        replay.replay_loaded(context, request, where)
        context.staging_archive.clear(context.ledger)
    # Also where an earlier run ended before it came to them.
    if _cubes_are_due(context):
        run_cubes(context, LIVE)
    return context.summary


def _cubes_are_due(context: RunContext) -> bool:
    """Whether a load, a replay or a restatement came since the cubes were made."""
    return bool(scalar(context.ledger, "ledger/ledger.cubes_are_due"))


def stage_files(context: RunContext, batch: Batch, files: list[FeedFile]) -> Summary:
    """Stage these files of a batch, whether they were seen before or not."""
    erase.catch_up(context)
    load = context.open_load(batch.batch_id, batch.as_of, LIVE)
    run_remaining_stages(context, load, batch, files, set(), ("stage",))
    return context.summary


def run_cubes(context: RunContext, build: Build = LIVE, *, whole: bool = False) -> Summary:
    """Make the cubes or bring them up to date; by what changed unless ``whole``."""
    try:
        with context.run_stage("cubes", "cubes", None, build, total=len(CUBES)) as counts:
            made = refresh.run_cubes(
                context.work, build, whole=whole, on_cubes=context.watcher.advance
            )
            counts.update(made.rows)
            if build == LIVE:
                kind = "followed_cubes" if made.by_change else "cubes"
                context.gate("cubes", "the cubes", kind=kind)
    except psycopg.Error as error:
        if not take_out.is_of_data(error):
            raise
        raise BatchError(
            Refusal.CUBES_CANNOT_FOLLOW,
            f"The cubes could not be brought up to date: {take_out.reason(error)}.",
            "Dimensions and facts are loaded, and the cubes keep what they had. Have the "
            "amounts or names that do not fit corrected by a later batch, then make "
            "incremental.",
        ) from error
    return context.summary


def run_checks(
    context: RunContext,
    build: Build = LIVE,
    truth: Truth | None = None,
    nights: int | None = None,
) -> Summary:
    """Run every check; ``CheckFailedError`` if a critical one fails.

    ``truth``: what the feeds really contain, which a load never asks for. ``nights``: look at a
    share of the months of claims; see ``etl.quality.share``.
    """
    started = time.monotonic()
    begun = {"load_id": None, "stage": "checks", "is_rebuild": build.is_rebuild}
    stage_run_id = scalar(context.ledger, "ledger/ledger.begin_stage", begun)
    context.watcher.begin("checks", "checks", len(runner.all_checks()))
    try:
        report = context.checks(
            context.ledger,
            context.url,
            build,
            lambda _: context.watcher.advance(1),
            truth,
            context.now(),
            context.values_of_checks(build),
            nights,
            context.old_rows(build),
        )
        # Of rows that are in files alone nobody could say that a defect was detected.
        if truth is not None and not context.staging_archive.files(context.ledger):
            context.summary.detections = truth.detections(context.ledger, build)
    except BaseException as error:
        with suppress(psycopg.Error):
            set_session_path(context.ledger)
            context.end_stage(context.ledger, stage_run_id, {}, error)
        raise
    finally:
        context.watcher.end()
    counts = {"checks": report.checks, "failed": report.failed}
    set_session_path(context.ledger)
    context.end_stage(context.ledger, stage_run_id, counts)
    context.summary.seconds["checks"] = time.monotonic() - started
    context.summary.checks = report
    context.log.info(
        "checks", total=report.checks, failed=report.failed, critical=report.failed_critical
    )
    if truth is not None:
        _note_what_was_not_compared(context, report.checks - len(runner.all_checks()))
    if report.failed_critical:
        raise CheckFailedError(
            f"{report.worst}.",
            "The rebuild was not put live; readers keep what they had. See quality.check_result."
            if build == NEXT
            else _what_to_do(context),
        )
    return context.summary


def _what_to_do(context: RunContext) -> str:
    """What to do when a critical check of the live warehouse fails."""
    if is_empty(context):
        return "Nothing is loaded yet: make full-load loads the inbox."
    if _cubes_are_due(context):
        return f"{CUBES_ARE_DUE} Then check again."
    return "See quality.check_result; make full-load rebuilds all from the inbox."


def _note_what_was_not_compared(context: RunContext, compared: int) -> None:
    """Say so where fewer of the checks against the truth were answered than there are."""
    if compared < len(truth_checks()):
        extent = " with facts and cubes" if compared else ""
        context.summary.notes.append(
            f"The truth of the synthetic feeds was not compared{extent}: what is loaded is not "
            "what the generator wrote, such as rows that were corrected, have expired or were "
            "erased."
        )


def dq_check(
    context: RunContext, truth: Truth | None = None, nights: int | None = NIGHTS
) -> Summary:
    """Run every check; fails also while a batch is refused and that is not settled.

    ``nights``: in how many such runs every month of claims has its turn; ``None`` looks at
    everything.
    """
    try:
        run_checks(context, truth=truth, nights=nights)
    except CheckFailedError as error:
        context.problems.errors.append(error)
    named = []
    for batch in context.settle_refused():
        if batch.needs_somebody:
            context.watcher.say(f"{batch.state.capitalize()}: {batch.title}. {batch.reason}")
            named.append(batch.folder)
    if named:
        count = "A batch is" if len(named) == 1 else f"{len(named):,} batches are"
        unsettled = BatchError(
            Refusal.BATCHES_NOT_LOADED,
            f"{count} not in the warehouse for what is wrong with it: {', '.join(named[:10])}.",
            "make status says why and what to do. Until it is loaded, or gone from the inbox, "
            "this fails.",
        )
        context.problems.errors.append(unsettled)
    _raise_stopped(context)
    return context.summary


def judge_arrivals(context: RunContext) -> Summary:
    """Compare the arrivals of each feed with earlier ones; the last gate of a run."""
    report = runner.run_arrivals(context.ledger, LIVE, context.now())
    set_session_path(context.ledger)
    context.record_gate("arrivals", report)
    if report.failed_critical:
        raise CheckFailedError(
            f"{report.worst}.",
            "The loads are in place. See quality.check_judged; ask the sender.",
        )
    return context.summary


def _as_words(changes: dict[str, int]) -> str:
    """What a restatement changes, for a person."""
    said = {
        "rebuilt_keys": "keys have another history",
        "added": "versions come",
        "removed": "go",
        "shortened": "end sooner",
        "rewritten": "differ otherwise",
        "rekeyed": "facts are keyed again",
    }
    return ", ".join(
        f"{changes[name]:,} {words}" for name, words in said.items() if name in changes
    )
