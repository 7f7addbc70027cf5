"""What is refused until somebody says that it is meant: keys that a snapshot ends, files forgotten.

A decision is recorded with who made it and when, and is valid for later rebuilds. It is written in
the transaction in which it takes effect: of a load that of its stage, of a rebuild that in which
it goes live.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from etl.contracts.feeds import FEEDS
from etl.contracts.refusals import Refusal
from etl.db.statements import insert, run
from etl.errors import BatchError, UsageError, some_of
from etl.inbox.batch import Batch
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Load, os_user
from etl.stages import snapshot
from etl.stages.stage.staged import Staged
from etl.warehouse.tables import LIVE

# How many files that are gone a message names; all of them are said before it.
_NAMED = 3


def batches_named(batches: Iterable[Batch], named: Sequence[str]) -> frozenset[str]:
    """The ids of batches that are named by id or folder, several with commas between.

    Raises ``UsageError`` where there is none of a name.
    """
    ids = {name: batch.batch_id for batch in batches for name in (batch.folder, batch.batch_id)}
    wanted = [
        piece.strip() for name in named for piece in ([name] if name in ids else name.split(","))
    ]
    for name in wanted:
        if name not in ids:
            raise UsageError(
                f"The inbox has no batch {name} that could be meant.",
                "Name the batch as the message does that asks for it. Nothing was changed.",
            )
    return frozenset(ids[name] for name in wanted)


def guard_snapshots(context: RunContext, load: Load, staged: Sequence[Staged]) -> None:
    """Refuse a load whose snapshot ends more keys than its feed declares, unless confirmed.

    Belongs into the transaction of the stage. Raises ``BatchError`` with the file as ``.staged``.
    """
    values = {
        "load_id": load.load_id,
        "batch_id": load.batch_id,
        "as_of": load.as_of,
        **load.build.values,
    }
    nameless = {s.file.feed.name: s.nameless for s in staged}
    for found in snapshot.over_limit(context.work, values, nameless):
        if found.is_usual or _is_confirmed(context, load, found):
            context.watcher.say(
                f"{found.file_name} of batch {found.batch_id} ends {found.ending:,} "
                f"of the {found.held:,} keys that were there before it"
                f"{': it is the first snapshot of a year' if found.is_usual else ', as confirmed'}."
            )
            continue
        command = "full-load" if load.build.is_rebuild else "incremental"
        why = f"more than {found.share:.0%} have to be confirmed"
        ask = "Ask the sender whether the snapshot is whole; if so:"
        if found.nameless:
            rows = f"{found.nameless:,} rejected row{'s' * (found.nameless > 1)}"
            why = f"the key of {rows} of it cannot be read, which may be theirs"
            ask = (
                f"Correct the rows (make quarantine-export BATCH={shlex.quote(found.batch_id)}, "
                "make quarantine-replay), or let the keys end:"
            )
        is_late = found.batch_id != load.batch_id
        refusal = BatchError(
            Refusal.LATE_BEFORE_SNAPSHOT if is_late else Refusal.SNAPSHOT_ENDS_TOO_MANY,
            f"{found.file_name} of batch {found.batch_id} is a snapshot that lacks "
            f"{found.ending:,} of the {found.held:,} keys that were there before it"
            f"{f', with batch {load.batch_id},' if is_late else ''} and "
            f"they would end; {why}.",
            f"Nothing of batch {load.batch_id} was loaded. {ask} "
            f"make {command} CONFIRM_SNAPSHOT={shlex.quote(found.batch_id)}",
        )
        of_feed = [s for s in staged if s.file.feed is found.feed and s.status == "loaded"]
        refusal.staged = of_feed[-1] if of_feed else None
        raise refusal


def _is_confirmed(context: RunContext, load: Load, found: snapshot.Snapshot) -> bool:
    """Whether somebody confirmed this snapshot, just now or before; just now is recorded."""
    values: dict[str, Any] = {
        "batch_id": found.batch_id,
        "feed": found.feed.name,
        "checksum": found.checksum,
    }
    if run(context.work, "ledger/decision.confirmed_snapshot", values).fetchone():
        return True
    if found.batch_id not in context.choices.confirmed:
        return False
    file = HeldFile(load.load_id, found.batch_id, found.feed.name, "", found.checksum)
    _decide(context, load, "confirm_snapshot", file, str(found))
    context.watcher.say(f"Confirmed for batch {found.batch_id}: {found}, which end.")
    return True


def note_let_in(context: RunContext, load: Load, staged: Sequence[Staged], far: str) -> None:
    """Record that somebody let in a batch that lies far in the future, file by file.

    Belongs into the transaction of the stage. ``far``: how far it lies.
    """
    for one in staged:
        file = HeldFile(
            load.load_id, load.batch_id, one.file.feed.name, one.file.name, UUID(one.checksum)
        )
        _decide(context, load, "allow_future", file, f"{one.file.name} {far}")
    context.watcher.say(f"Let in: batch {load.batch_id}, which {far}.")


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file that the live warehouse took in; ``totals``: US dollars by money column."""

    load_id: int
    batch_id: str
    feed: str
    name: str
    xxh3_128: UUID
    status: str = "loaded"
    rows: int = 0
    totals: dict[str, str] | None = None

    def __str__(self) -> str:
        money = (
            f"{column} ${Decimal(amount):,.2f}" for column, amount in (self.totals or {}).items()
        )
        rows = f"{self.rows:,} row{'' if self.rows == 1 else 's'}"
        return f"{self.name} of batch {self.batch_id} ({', '.join((rows, *money))})"


def guard_what_is_held(context: RunContext, batches: Iterable[Batch], *, forget: bool) -> None:
    """Refuse a rebuild that would lose what came from files that are no longer in the inbox.

    With ``forget`` it goes on without them, and the ledger says who decided that.
    """
    lost, context.rebuild.corrected = _lost(context, batches)
    context.rebuild.forgets = forget
    if not lost:
        return
    for file in lost:
        context.watcher.say(f"{'Forgotten' if forget else 'Gone from the inbox'}: {file}.")
    if forget:
        for file in lost:
            _decide_at_swap(context, _values("forget_file", file, str(file)))
        return
    count = "a file" if len(lost) == 1 else f"{len(lost):,} files"
    raise BatchError(
        Refusal.LOADED_FILES_GONE,
        f"A full load would lose what came from {count} no longer in the inbox: "
        f"{some_of([str(file) for file in lost], _NAMED)}.",
        f"Nothing was changed. Put {'it' if len(lost) == 1 else 'them'} back into the inbox, let "
        "in what is held in their place (make sender-resume), or go on without: make full-load "
        "FORGET=yes",
    )


def guard_corrections(context: RunContext, load: Load, staged: Sequence[Staged]) -> None:
    """Refuse a rebuild of a file that was corrected in its place and lacks keys that are loaded.

    Belongs into the transaction of the stage.
    """
    # A file that was skipped as equal to another batch's lacks them just as well.
    came = {s.file.feed.name for s in staged} if load.build.is_rebuild else set()
    for feed in sorted(came):
        for file in context.rebuild.corrected.get((load.batch_id, feed), ()):
            values = {"loads": [file.load_id], "load_id": load.load_id}
            context.staging_archive.bring_back_loads(context.work, [feed], [file.load_id])
            held, ending = snapshot.count_ending(
                context.work,
                FEEDS[feed],
                values,
                held_schema=LIVE.schemas.staging,
                also_marked=True,
            )
            if not ending:
                continue
            if context.rebuild.forgets:
                says = f"{file}: {ending:,} keys are no more"
                _decide(context, load, "forget_file", file, says)
                continue
            raise BatchError(
                Refusal.LOADED_FILES_GONE,
                f"The file in the place of {file} lacks {ending:,} of its {held:,} keys, and a "
                "full load would lose them.",
                "Readers keep what they had. Send what was left out, or go on without: make "
                "full-load FORGET=yes",
            )


_Corrected = dict[tuple[str, str], list[HeldFile]]


def _lost(context: RunContext, batches: Iterable[Batch]) -> tuple[list[HeldFile], _Corrected]:
    """Files that the live warehouse took in and the inbox lacks, by their bytes.

    A file replaces one of its own batch first, then one whose folder had another name. One
    that was corrected in its place is not missed if the correction, wherever it lies by now, has
    every key; where that is not loaded yet, it is to be seen once it is staged, and the file is
    among the second.
    """
    held = [HeldFile(*row) for row in run(context.ledger, "ledger/ledger.files_held")]
    if not held:
        return [], {}
    there = Counter(
        (batch.batch_id, file.feed.name, UUID(file.checksum()))
        for batch in batches
        for file in batch.files
    )
    missing: list[HeldFile] = []
    corrections: dict[tuple[str, str], int] = {}
    renamed = Counter[tuple[str, UUID]]()
    # Of loads of the same bytes the latest that brought rows matches the file that is there.
    for file in sorted(held, key=lambda f: (f.status == "loaded", f.load_id), reverse=True):
        copy = (file.batch_id, file.feed, file.xxh3_128)
        if there[copy]:
            there[copy] -= 1
            corrections.setdefault(copy[:2], file.load_id)
            # One that was skipped brings the rows once those that it repeated are gone.
            renamed[copy[1:]] += file.status == "skipped"
        elif file.status == "loaded":
            missing.append(file)
    for (_, feed, checksum), files in there.items():
        renamed[feed, checksum] += files
    unloaded = {(batch_id, feed) for (batch_id, feed, _), files in there.items() if files}
    lost: list[HeldFile] = []
    corrected: _Corrected = {}
    for file in missing:
        place, content = (file.batch_id, file.feed), (file.feed, file.xxh3_128)
        if place in unloaded:
            corrected.setdefault(place, []).append(file)
        elif renamed[content]:
            renamed[content] -= 1
            corrections.setdefault(place, file.load_id)
        elif not _is_corrected(context, file, corrections.get(place)):
            lost.append(file)
    lost.reverse()
    return lost, corrected


def _is_corrected(context: RunContext, file: HeldFile, corrected_by: int | None) -> bool:
    """Whether a load brought a correction of a file in its place that has every key of it."""
    if corrected_by is None or corrected_by < file.load_id:
        return False
    _bring_back(context, file.feed, [file.load_id, corrected_by])
    values = {"loads": [file.load_id], "load_id": corrected_by}
    _, ending = snapshot.count_ending(context.ledger, FEEDS[file.feed], values, also_marked=True)
    return ending == 0


def _bring_back(context: RunContext, feed: str, loads: list[int]) -> None:
    """Let staging have the rows of loads that are compared."""
    if context.staging_archive.files(context.ledger, [feed], loads):
        with context.run_stage("archive_staging", "rows to compare", None, LIVE) as counts:
            counts["rows_returned"] = context.staging_archive.bring_back_loads(
                context.work, [feed], loads
            )


def _decide(context: RunContext, load: Load, kind: str, file: HeldFile, says: str) -> None:
    """Record that somebody let through what is refused otherwise, as soon as that lasts."""
    values = _values(kind, file, says)
    if load.build.is_rebuild:
        _decide_at_swap(context, values)
    else:
        insert(context.work, "decision", [values])


def _decide_at_swap(context: RunContext, values: dict[str, Any]) -> None:
    """Keep a decision about a rebuild until it goes live, once however often it is asked for."""
    known = ("kind", "batch_id", "feed", "xxh3_128")
    if not any(all(one[k] == values[k] for k in known) for one in context.rebuild.decisions):
        context.rebuild.decisions.append(values)


def _values(kind: str, file: HeldFile, says: str) -> dict[str, Any]:
    """A decision's row."""
    return {
        "kind": kind,
        "batch_id": file.batch_id,
        "feed": file.feed,
        "xxh3_128": file.xxh3_128,
        "load_id": file.load_id,
        "says": says,
        "os_user": os_user(),
    }
