"""Going live: a complete rebuild takes the place of what readers read, and the old one goes."""

from __future__ import annotations

import time

import psycopg

from etl import rebuild
from etl.db.statements import run, scalar
from etl.errors import ServerError
from etl.session import Session
from etl.warehouse import LIVE

READER_PATIENCE = 15 * 60  # seconds to wait for a long report before a rebuild goes live
RETIRED_PATIENCE = 5.0  # seconds to wait for queries that still read the build it replaced
# How long a lock is asked for at once: whoever asks after us for the same table waits behind us.
LOCK_PATIENCE = "100ms"


def wait_for_older_readers(session: Session) -> None:
    """Wait until no transaction is left that began before the rebuild was complete.

    Its snapshot would find the new tables under the live names and no rows in them: a
    repeatable-read report or a pg_dump would be wrong without a word.
    """
    boundary = {"boundary": scalar(session.ledger, "rebuild/swap.boundary")}
    deadline = time.monotonic() + READER_PATIENCE
    said = False
    while pids := [p for (p,) in run(session.ledger, "rebuild/swap.older_snapshots", boundary)]:
        if time.monotonic() > deadline:
            raise ServerError(
                f"The rebuild could not go live: session {pids[0]} has had a transaction "
                f"open for over {READER_PATIENCE // 60} minutes.",
                "End that transaction (pg_stat_activity shows whose it is) and run again; "
                "readers keep what they had.",
            )
        if not said:
            session.watcher.say("The rebuild is complete; waiting for older transactions to end.")
            said = True
        time.sleep(0.1)


def swap(session: Session) -> None:
    """Put the rebuild live; where an analyst's view is in use, wait a little and try again.

    Only re-pointing such a view takes a lock that a reader could meet, so it is asked for
    with little patience and many times.
    """
    deadline = time.monotonic() + READER_PATIENCE
    while True:
        try:
            with session.stage("swap", "swap", None, LIVE):
                run(session.work, "rebuild/swap.lock_patience", {"patience": LOCK_PATIENCE})
                rebuild.swap(session.work)
                run(session.work, "ledger/ledger.go_live", {"rebuilt": session.rebuilt})
                moved = {"old": list(session.retold), "new": list(session.retold.values())}
                run(session.work, "quarantine/quarantine.hand_over", moved)
            return
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                raise ServerError(
                    "The rebuild could not go live: a view on the warehouse is in use.",
                    "End the transaction that reads it (pg_stat_activity) and run again; "
                    "readers keep what they had.",
                ) from None
            time.sleep(1)


def drop_retired(session: Session) -> None:
    """Drop the build whose place was taken, unless somebody's view still reads from it."""
    blocked = rebuild.blockers(session.ledger)
    if blocked:
        session.summary.notes.append(
            f"{', '.join(blocked[:3])} reads from the warehouse as it was before this load: "
            "drop and create it again before the next full load."
        )
        return
    # A query that was being planned at the swap may yet ask for parts of tables that it has begun
    # to lock. So no table is kept while another is waited for, but for a moment; then once more.
    deadline = time.monotonic() + RETIRED_PATIENCE
    while True:
        try:
            with session.ledger.transaction():
                run(session.ledger, "rebuild/swap.lock_patience", {"patience": LOCK_PATIENCE})
                rebuild.drop(session.ledger, rebuild.RETIRED)
            return
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                # A long query still reads the old tables; the next full load clears them away.
                session.log.info("retired_kept")
                return
            time.sleep(0.2)
