"""Readers of replicas, when a full load goes live.

A transaction whose snapshot is older than the rebuild would find the new tables on a replica too,
and no rows in them. The server cannot know what is read there, but each replica says how old the
oldest snapshot on it is.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg

from etl.db.connection import connect
from etl.db.statements import run, scalar
from etl.errors import ServerError
from etl.pipeline.session import RunContext
from etl.server import replicas

# A report that takes longer is rather read on the server itself, whose readers are waited for.
PATIENCE = 5 * 60
_SESSION = "aca-warehouse replicas"
_BETWEEN_LOOKS = 0.2
# Each says how far it is once a second: a wait of that length is nothing to speak of.
_SAID_AFTER = 2.0

Boundary = dict[str, str]


def are_there(context: RunContext) -> bool:
    """Whether there are replicas of the warehouse."""
    return bool(replicas.wanted_in(context.settings))


def wait_for_older(context: RunContext) -> None:
    """Wait until no replica has a snapshot older than this moment; then end those that are left."""
    if not are_there(context):
        return
    boundary = _now(context)
    if _await(context, boundary, _SAID_AFTER):
        return
    left = ", ".join(map(str, _behind(context, boundary)))
    context.watcher.say(
        f"The rebuild is complete; waiting for older transactions to end on replica {left}."
    )
    if not _await(context, boundary, PATIENCE):
        for number in _behind(context, boundary):
            _end(context, number, boundary)


def note_live(context: RunContext) -> None:
    """Note that the rebuild is live: who reads what it replaced on a replica is older than this."""
    if are_there(context):
        context.rebuild.live_from = _now(context)


def have_left(context: RunContext, patience: float) -> bool:
    """Whether nobody reads on a replica any more what this run has replaced.

    A later run does not ask: whoever still reads it by then has had the time.
    """
    live_from = context.rebuild.live_from
    return live_from is None or _await(context, live_from, patience)


def _now(context: RunContext) -> Boundary:
    return {"boundary": scalar(context.ledger, "rebuild/replicas.next_transaction")}


def _behind(context: RunContext, boundary: Boundary) -> list[int]:
    found = run(context.ledger, "rebuild/replicas.older_readers", boundary).fetchall()
    return [number for (number,) in found]


def _await(context: RunContext, boundary: Boundary, seconds: float) -> bool:
    """Whether every replica is past a boundary within so many seconds."""
    deadline = time.monotonic() + seconds
    while _behind(context, boundary):
        if time.monotonic() > deadline:
            return False
        time.sleep(_BETWEEN_LOOKS)
    return True


def _end(context: RunContext, number: int, boundary: Boundary) -> None:
    url = replicas.running_url(context.settings, number)
    try:
        if url is not None:
            with connect(url, _SESSION) as reader:
                ended = run(reader, "rebuild/replicas.end_older_readers", boundary).fetchall()
            context.watcher.say(
                f"{len(ended):,} transactions on replica {number} were ended: they were older than "
                f"the rebuild, and over {PATIENCE // 60} minutes old."
            )
    except (ServerError, psycopg.Error):  # it was stopped meanwhile: nobody reads there any more
        context.log.info("replica_not_reached", replica=number)


def report_goes_on(context: RunContext) -> bool:
    """Whether a transaction of more than one statement has read on a replica or is about to."""
    with replicas.sessions(context.settings) as readers:
        return any(map(_reports_go_on, readers))


def _reports_go_on(reader: psycopg.Connection[Any]) -> bool:
    try:
        return bool(scalar(reader, "rebuild/swap.reports_go_on"))
    except psycopg.Error:  # the replica was stopped meanwhile: nobody reads there any more
        return False
