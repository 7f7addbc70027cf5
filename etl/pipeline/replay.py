"""Replay: rows that people corrected go the way that they would have gone had they been right."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from functools import partial

from etl.contracts.refusals import Refusal
from etl.db.statements import run
from etl.errors import BatchError
from etl.pipeline.ending import RolledBack
from etl.pipeline.load import count_expired, held, pending, run_remaining_stages
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Load
from etl.quarantine import export
from etl.quarantine import store as corrected
from etl.quarantine.originals import records_of
from etl.retention import expire
from etl.stages.dims import calendar, history
from etl.stages.facts import merge_facts
from etl.stages.stage import erased
from etl.warehouse.staging import PARTITIONED
from etl.warehouse.tables import DIMENSIONS, FACTS, LIVE, NEXT


def without_erased(context: RunContext, request: export.ReplayRequest) -> None:
    """Take members who were erased out of corrected rows, which may be from before that."""
    file, door = request.file, context.erased.door()
    texts = [(line, record.decode()) for line, record in request.rows.items()]
    for line, text in erased.erased_texts(context.work, file.feed, file.head, door, texts):
        request.rows[line] = text.encode()


def replay_loaded(context: RunContext, request: export.ReplayRequest, where: str) -> None:
    """Let corrected rows join those of their file, in one transaction to the facts.

    Where every row is bad again just as it was when it was replayed before, nothing is written:
    whoever repeats a replay, such as one that was killed at its end, has it once in the ledger.
    """
    file = request.file
    load = context.open_load(f"replay {file.batch_id}", file.as_of, LIVE, kind="replay")
    try:
        with context.run_stage("replay", f"batch {file.batch_id}", load, LIVE) as counts:
            checksum = file.xxh3_128.hex
            tried = corrected.kept(context.work, file.feed_name, checksum, None)
            outcome = _correct(context, load, file.feed_name, checksum, request.rows, counts)
            came = set().union(*outcome.lines.values())
            if not came and not outcome.again:
                raise RolledBack(f"The rows of {where} were all dealt with before.")
            rows = {
                line: record
                for line, record in request.rows.items()
                if line in came or (line in outcome.again and tried.get(line) != record)
            }
            if not rows:
                raise RolledBack(
                    f"The rows of {where} are bad as they were when they were replayed before, "
                    "and stay open: make quarantine says why."
                )
            corrected.keep(context.work, file, rows, load.load_id)
            _gate_replay(context, load, file, outcome)
            context.finish(context.work, load, "loaded")
    except RolledBack as error:
        context.forget(load)
        context.watcher.say(str(error))
        return
    context.watcher.say(f"{len(came):,} rows of {where} came in and are closed.")
    if outcome.again:
        context.watcher.say(
            f"{len(outcome.again):,} are bad again and stay open: make quarantine says why."
        )


def _gate_replay(
    context: RunContext, load: Load, file: corrected.File, outcome: corrected.Outcome
) -> None:
    """The gates of all stages: what entered staging and facts bears the loads it belongs to."""
    what = f"batch {file.batch_id}"
    for load_id in outcome.lines:
        context.gate("stage", what, load_id, [file.feed_name])
    context.gate("dims", what, load.load_id, [file.feed_name])
    for load_id in outcome.lines:
        context.gate("facts", what, load_id, [file.feed_name])


def replay_refused(context: RunContext, request: export.ReplayRequest, where: str) -> None:
    """Keep the corrected rows, then load the file with them as any file of the inbox."""
    file = request.file
    for batch, files in (*pending(context), *held(context)):
        if batch.batch_id == file.batch_id and any(
            f.feed.name == file.feed_name and f.checksum() == file.xxh3_128.hex for f in files
        ):
            break
    else:
        raise BatchError(
            Refusal.CORRECTED_FILE_GONE,
            f"{where} was refused and is no longer in the inbox as it was.",
            "Put that file back, or correct the one that is there; nothing was changed.",
        )
    with context.ledger.transaction():
        corrected.keep(context.ledger, file, request.rows, file.load_id)
    load = context.open_load(batch.batch_id, batch.as_of, LIVE)
    run_remaining_stages(context, load, batch, files, set())


def rebuild_replay(context: RunContext, replay_id: int, batch_id: str, as_of: datetime) -> None:
    """Repeat a replay of the live build in a rebuild, at its own place among the loads."""
    load = context.open_load(batch_id, as_of, NEXT, kind="replay", rebuilds_load_id=replay_id)
    with context.run_stage("replay", f"batch {batch_id}", load, NEXT) as counts:
        for (feed, checksum), rows in corrected.kept_by(context.work, replay_id).items():
            _correct(context, load, feed, checksum, rows, counts)
        context.finish(context.work, load, "rebuilt")
    context.rebuild.replays[replay_id] = load.load_id


def _correct(
    context: RunContext,
    load: Load,
    feed: str,
    checksum: str,
    rows: dict[int, bytes],
    counts: Counter[str],
) -> corrected.Outcome:
    """Bring corrected rows from staging to the facts, in the name of a load without files."""
    _bring_back(context, load, feed, checksum)
    outcome = corrected.correct(
        context.work,
        load.build,
        feed,
        checksum,
        rows,
        load.load_id,
        partial(records_of, context.settings.inbox),
        context.erased.door(load.rebuilds_load_id),
    )
    lines = sorted(set().union(*outcome.lines.values()))
    counts.update(rows_corrected=len(lines), bad_again=len(outcome.again))
    for load_id in outcome.lines:
        calendar.extend(context.work, load_id, load.as_of, load.build.schemas, load.load_id)
    feed_load = history.FeedLoad(load.load_id, load.as_of, False, load.build)
    for dimension in DIMENSIONS.values():
        if dimension.feed.name == feed and lines:
            loads = list(outcome.lines)
            counts.update(history.correct(context.work, dimension, feed_load, loads, lines))
    old_rows, newest_day = context.old_rows(load.build), context.rebuild.newest_day
    for load_id, of_load in outcome.lines.items():
        current_load = merge_facts.CurrentLoad(load_id, load.build, old_rows, newest_day)
        rows_of_load = merge_facts.Corrected(of_load, load.load_id, outcome.displaces)
        _correct_facts(context, feed, current_load, rows_of_load, counts)
    if not load.build.is_rebuild:
        context.staging_archive.bring_back_asked(context.work, list(outcome.lines))
    gone = expire.expire(context.work, [feed], outcome.lines, as_recorded=load.build.is_rebuild)
    count_expired(context, gone, counts)
    return outcome


def _bring_back(context: RunContext, load: Load, feed: str, checksum: str) -> None:
    """Let staging have all rows of the loads that rows are corrected in."""
    if not load.build.is_rebuild and feed in PARTITIONED:
        values = {"feed": feed, "xxh3_128": checksum, **load.build.values}
        found = run(context.work, "quarantine/quarantine.loads_of_file", values).fetchall()
        loads = [load_id for (load_id,) in found]
        context.staging_archive.bring_back_loads(context.work, [feed], loads)


def _correct_facts(
    context: RunContext,
    feed: str,
    current_load: merge_facts.CurrentLoad,
    corrected_rows: merge_facts.Corrected,
    counts: Counter[str],
) -> None:
    """Bring corrected rows of a load into the facts of its feed, and into what follows these."""
    for fact in FACTS.values():
        if fact.feed.name == feed:
            merged = merge_facts.correct_fact(context.work, fact, current_load, corrected_rows)
            counts.update({f"{fact.name}_{name}": n for name, n in merged.items()})
    merged = merge_facts.run_details(context.work, current_load, [feed], corrected=corrected_rows)
    counts.update(merged)
