"""Replay: rows that people corrected go the way that they would have gone had they been right."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from etl.errors import BatchError
from etl.pipeline.load import Loading
from etl.pipeline.session import RolledBack
from etl.pipeline.summary import Load
from etl.quarantine import export
from etl.quarantine import store as corrected
from etl.stages.dims import calendar, history
from etl.stages.facts import merge_facts
from etl.warehouse.tables import DIMENSIONS, FACTS, LIVE, NEXT


def replay_loaded(loading: Loading, asked: export.ReplayRequest, where: str) -> None:
    """Let corrected rows join those of their file, in one transaction to the facts.

    Where every row is bad again just as it was when it was replayed before, nothing is written:
    whoever repeats a replay, such as one that was killed at its end, has it once in the ledger.
    """
    file = asked.file
    load = loading.open_load(f"replay {file.batch_id}", file.as_of, LIVE, kind="replay")
    try:
        with loading.stage("replay", f"batch {file.batch_id}", load, LIVE) as counts:
            checksum = file.xxh3_128.hex
            tried = corrected.kept(loading.work, file.feed_name, checksum, None)
            outcome = _correct(loading, load, file.feed_name, checksum, asked.rows, counts)
            came = set().union(*outcome.lines.values())
            if not came and not outcome.again:
                raise RolledBack(f"The rows of {where} were all dealt with before.")
            rows = {
                line: record
                for line, record in asked.rows.items()
                if line in came or (line in outcome.again and tried.get(line) != record)
            }
            if not rows:
                raise RolledBack(
                    f"The rows of {where} are bad as they were when they were replayed before, "
                    "and stay open: make quarantine says why."
                )
            corrected.keep(loading.work, file, rows, load.load_id)
            _gate_replay(loading, load, file, outcome)
            loading.finish(loading.work, load, "loaded")
    except RolledBack as error:
        loading.forget(load)
        loading.watcher.say(str(error))
        return
    loading.watcher.say(f"{len(came):,} rows of {where} came in and are closed.")
    if outcome.again:
        loading.watcher.say(
            f"{len(outcome.again):,} are bad again and stay open: make quarantine says why."
        )


def _gate_replay(
    loading: Loading, load: Load, file: corrected.File, outcome: corrected.Outcome
) -> None:
    """The gates of all stages: what entered staging and facts bears the loads it belongs to."""
    what = f"batch {file.batch_id}"
    for load_id in outcome.lines:
        loading.gate("stage", what, load_id, [file.feed_name])
    loading.gate("dims", what, load.load_id, [file.feed_name])
    for load_id in outcome.lines:
        loading.gate("facts", what, load_id, [file.feed_name])


def replay_refused(loading: Loading, asked: export.ReplayRequest, where: str) -> None:
    """Keep the corrected rows, then load the file with them as any file of the inbox."""
    file = asked.file
    for batch, files in loading.pending():
        if batch.batch_id == file.batch_id and any(
            f.feed.name == file.feed_name and f.checksum() == file.xxh3_128.hex for f in files
        ):
            break
    else:
        raise BatchError(
            f"{where} was refused and is no longer in the inbox as it was.",
            "Put that file back, or correct the one that is there; nothing was changed.",
        )
    with loading.ledger.transaction():
        corrected.keep(loading.ledger, file, asked.rows, file.load_id)
    load = loading.open_load(batch.batch_id, batch.as_of, LIVE)
    loading.through(load, batch, files, set())


def rebuild_replay(loading: Loading, replay_id: int, batch_id: str, as_of: datetime) -> None:
    """Tell a replay of the live build again, at its own place in a rebuild."""
    load = loading.open_load(batch_id, as_of, NEXT, kind="replay", rebuilds_load_id=replay_id)
    with loading.stage("replay", f"batch {batch_id}", load, NEXT) as counts:
        for (feed, checksum), rows in corrected.kept_by(loading.work, replay_id).items():
            _correct(loading, load, feed, checksum, rows, counts)
        loading.finish(loading.work, load, "rebuilt")
    loading.rebuilt_loads[replay_id] = load.load_id


def _correct(
    loading: Loading,
    load: Load,
    feed: str,
    checksum: str,
    rows: dict[int, bytes],
    counts: dict[str, int],
) -> corrected.Outcome:
    """Bring corrected rows from staging to the facts, in the name of a load without files."""
    outcome = corrected.correct(loading.work, load.build, feed, checksum, rows, load.load_id)
    done: Counter[str] = Counter(
        rows_corrected=len(set().union(*outcome.lines.values())), bad_again=len(outcome.again)
    )
    for load_id in outcome.lines:
        calendar.extend(loading.work, load_id, load.as_of, load.load_id)
    feed_load = history.FeedLoad(load.load_id, load.as_of, False, load.build)
    lines = sorted(set().union(*outcome.lines.values()))
    for dimension in DIMENSIONS.values():
        if dimension.feed.name == feed and lines:
            done.update(
                history.correct(loading.work, dimension, feed_load, list(outcome.lines), lines)
            )
    for fact in FACTS.values():
        for load_id, of_load in outcome.lines.items() if fact.feed.name == feed else ():
            told = merge_facts.correct_fact(
                loading.work,
                fact,
                merge_facts.Arrived(load_id, load.build),
                merge_facts.Corrected(of_load, load.load_id, outcome.displaces),
            )
            done.update({f"{fact.name}_{name}": n for name, n in told.items()})
    for name, n in done.items():
        counts[name] = counts.get(name, 0) + n
    return outcome
