"""Whom a run waits for: said within seconds, with what happens after how long.

A lock of another session keeps a statement of a run waiting without a word from the
server. A thread looks at the run's sessions whenever one of them has been at work for a moment. It
has a connection of its own, opened the first time that it has something to look for.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psycopg

from etl import log
from etl.db.connection import LIMITS, PREFIX, connect
from etl.db.statements import run
from etl.errors import AcaError

_LOOK_SECONDS = 0.5
# So long has a statement to be at work before anybody is asked whether it waits.
_BUSY_SECONDS = 1.5
_SHOWN = 3  # of several sessions that are waited for
_LONGEST_QUERY = 100
_TEXT = re.compile(r"'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$", re.DOTALL)


class Watch:
    """A thread that notifies a person whom the run waits for; a context manager."""

    def __init__(
        self,
        url: str,
        connections: Callable[[], list[psycopg.Connection[Any]]],
        say: Callable[[str], None],
    ) -> None:
        """``connections``: those that the run has at the moment. ``say``: notifies a person."""
        self._url = url
        self._connections = connections
        self._say = say
        self._over = threading.Event()
        self._is_silent = threading.Event()
        self._went_on = False
        self._thread = threading.Thread(target=self._watch, name="whom we wait for", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self, *, went_on: bool = False) -> None:
        """Look no more; ``went_on``: whoever waited at the last look had what it waited for."""
        self._went_on = went_on
        self._over.set()
        self._thread.join(timeout=5)

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Say nothing of waits in here: whoever waits tries for moments, and says so itself."""
        self._is_silent.set()
        try:
            yield
        finally:
            self._is_silent.clear()

    def _watch(self) -> None:
        asking: psycopg.Connection[Any] | None = None
        busy_since: float | None = None
        notified: tuple[int, ...] = ()
        notified_at = 0.0
        while not self._over.wait(_LOOK_SECONDS):
            now = time.monotonic()
            if self._is_silent.is_set() or not self._is_busy():
                busy_since = None
            elif busy_since is None:
                busy_since = now
            if not notified and (busy_since is None or now - busy_since < _BUSY_SECONDS):
                continue
            # Watching must never be what ends a run: where it cannot look, it is silent.
            with suppress(psycopg.Error, AcaError):
                asking = asking or connect(self._url, f"{PREFIX} watch")
                found = run(asking, "ledger/session.waited_for").fetchall()
                if self._is_silent.is_set():
                    continue
                pids = tuple(sorted(row[0] for row in found))
                if pids and pids != notified:
                    self._say(_sentence(found))
                    log.get().info("waiting", for_sessions=list(pids))
                    notified_at = notified_at if notified else now
                elif notified and not pids:
                    self._say(f"{_over(now - notified_at)}; going on.")
                notified = pids
        if notified and self._went_on:  # it ended, and so did the run, since the last look
            self._say(f"{_over(time.monotonic() - notified_at)}.")
        if asking is not None:
            asking.close()

    def _is_busy(self) -> bool:
        active = psycopg.pq.TransactionStatus.ACTIVE
        return any(c.pgconn.transaction_status == active for c in self._connections())


def _over(seconds: float) -> str:
    return f"The wait is over after {seconds:,.0f} s"


def _sentence(found: list[tuple[Any, ...]]) -> str:
    more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    minutes, seconds = LIMITS.lock_seconds / 60, LIMITS.lock_seconds
    patience = f"{minutes:,.0f} minutes" if minutes >= 1 else f"{seconds:,.0f} s"
    return (
        f"Waiting for a lock of {'; '.join(map(describe, found[:_SHOWN]))}{more}. "
        f"End that transaction to go on at once; after {patience} of waiting this try "
        "ends, and nothing is lost."
    )


def describe(session: tuple[Any, ...]) -> str:
    """A session for a person, from (pid, user, program, address, since, state, query).

    Text within a query could be somebody's name and is left out.
    """
    pid, user, program, address, since, state, query = session
    if not pid:
        return "a prepared transaction (pg_prepared_xacts)"
    said = f"session {pid} of {user}"
    if program:
        said += f" ({program})"
    if address:
        said += f" at {address}"
    if isinstance(since, datetime):
        said += f", in a transaction since {since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if query is None:
        return f"{said}; what it runs is hidden from us without the role pg_monitor"
    shown = _TEXT.sub("'...'", " ".join(query.split()))
    shown = shown if len(shown) <= _LONGEST_QUERY else f"{shown[:_LONGEST_QUERY]}..."
    doing = "which runs" if state == "active" else f"{state or 'idle'}, whose last query was"
    return f"{said}, {doing}: {shown}"
