"""Batches that are not in the warehouse: refused, stopped at a gate, held, or waiting their turn.

The ledger keeps what was refused, also where no load began; the inbox says what is settled since:
what was loaded, or is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psycopg

from etl.db.statements import run
from etl.errors import AcaError, printable
from etl.inbox.batch import Batch, FeedFile
from etl.inbox.pending import Inbox

REFUSED, STOPPED, HELD, WAITING = "refused", "stopped", "held", "waiting"
# In place of the name of a batch where something is wrong with the inbox itself.
_NO_BATCH = "the inbox"
_GO_ON = "make incremental loads it."


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """A batch that is not in the warehouse, and why; texts as they can be shown.

    ``state``: refused, stopped at a gate, held after others of its sender were refused, or waiting
    for a run to come to it. ``since``: when it was refused at first, or its sender's feed came to
    be held; ``None`` for one that no run has come to. ``code``: a ``Refusal``;
    ``None`` for one that is held or waits.
    """

    folder: str
    state: str
    since: datetime | None
    reason: str
    advice: str
    code: str | None = None

    @property
    def title(self) -> str:
        """What it is called in a sentence."""
        return self.folder if self.folder == _NO_BATCH else f"batch {self.folder}"

    @property
    def needs_somebody(self) -> bool:
        """Whether something has to be done before a run can load it."""
        return self.state != WAITING


def note(connection: psycopg.Connection[Any], errors: Iterable[BaseException | None]) -> None:
    """Enter into the ledger which batches these errors are about."""
    for error in errors:
        if isinstance(error, AcaError) and error.folder is not None:
            values = {
                "folder": _called(error.folder),
                "load_id": error.load_id,
                "reason": printable(error.message),
                "refusal_code": error.refusal,
                "advice": printable(error.hint),
            }
            run(connection, "ledger/refused.note", values)


def settle(connection: psycopg.Connection[Any], inbox: Inbox) -> None:
    """Bring the ledger's list of refused batches up to what the inbox and the loads say."""
    note(connection, inbox.refused)
    _, settled = _open(connection, inbox)
    run(connection, "ledger/refused.settle", {"settled": settled})


def held_batches(connection: psycopg.Connection[Any], inbox: Inbox) -> list[HeldBatch]:
    """What is not in the warehouse: what was refused or stopped first, then what waits.

    Reads only, so that it also says what no run has come to yet.
    """
    held, _ = _open(connection, inbox)
    known = {h.folder for h in held}
    held += [
        HeldBatch(name, REFUSED, None, error.message, error.hint, error.refusal)
        for name, error in ((_called(str(e.folder)), e) for e in inbox.refused)
        if name not in known
    ]
    if inbox.stray:
        error = inbox.stray
        stray = HeldBatch(_NO_BATCH, REFUSED, None, error.message, error.hint, error.refusal)
        held.insert(0, stray)
    held = [_still_held(one, inbox) for one in held]
    held += [
        HeldBatch(_called(batch.folder), HELD, *_why_held(inbox, files))
        for batch, files in inbox.held
        if not _names(batch) & known
    ]
    under_way = [
        _called(batch_id)
        for _, batch_id, _, _ in run(connection, "ledger/ledger.unfinished")
        if _called(batch_id) not in known
    ]
    held += [
        HeldBatch(batch_id, WAITING, None, "It is staged and not in the facts yet.", _GO_ON)
        for batch_id in under_way
    ]
    held += [
        HeldBatch(_called(batch.folder), WAITING, None, _not_loaded(batch, files), _GO_ON)
        for batch, files in inbox.pending
        if not _names(batch) & known
    ]
    return held


def _still_held(one: HeldBatch, inbox: Inbox) -> HeldBatch:
    """A refused batch; where its files are held since, no run tries it until they are let in."""
    for batch, files in inbox.held:
        if one.folder in _names(batch):
            return replace(one, advice=f"{one.advice} {_let_in(files)}")
    return one


def _why_held(inbox: Inbox, files: Sequence[FeedFile]) -> tuple[datetime, str, str]:
    """Since when files of a batch are held, why, and what to do."""
    since = min(inbox.held_feeds[file.sender, file.feed.name] for file in files)
    senders = dict.fromkeys(file.sender for file in files)
    why = (
        f"{_names_of(files)} held: several files in a row of sender {', '.join(senders)} were "
        "refused."
    )
    return since, why, _let_in(files)


def _let_in(files: Sequence[FeedFile]) -> str:
    commands = dict.fromkeys(f"make sender-resume SENDER={file.sender}" for file in files)
    return f"When the sender has corrected what it sends: {', '.join(commands)}"


def _names_of(files: Sequence[FeedFile]) -> str:
    return f"{', '.join(f.path.name for f in files)} {'is' if len(files) == 1 else 'are'}"


def _called(name: str) -> str:
    """A name as it can be kept and shown, on one line."""
    return printable(name).replace("\n", "\\n")


def _names(batch: Batch) -> set[str]:
    """What the ledger may call a batch: a load that goes on knows its id and not its folder."""
    return {_called(batch.folder), _called(batch.batch_id)}


def _not_loaded(batch: Batch, files: Sequence[FeedFile]) -> str:
    if len(files) == len(batch.files):
        return "It is not loaded yet."
    return f"{_names_of(files)} not loaded yet."


def _open(connection: psycopg.Connection[Any], inbox: Inbox) -> tuple[list[HeldBatch], list[int]]:
    """What the ledger has as refused, as far as it still is, and the ids of what is settled."""
    unloaded = (*inbox.pending, *inbox.held)
    troubled = {name for batch, _ in unloaded for name in _names(batch)}
    troubled |= {_called(str(error.folder)) for error in inbox.refused}
    held, settled = [], []
    for key, folder, since, reason, code, advice, is_stopped in run(
        connection, "ledger/refused.open"
    ):
        if is_stopped or folder in troubled or not inbox.is_there:
            state = STOPPED if is_stopped else REFUSED
            held.append(HeldBatch(folder, state, since, reason, advice, code))
        else:
            settled.append(key)
    return held, settled
