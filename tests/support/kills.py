"""Runs of the command line that kill themselves at a chosen moment, as ``kill -9`` would.

A moment is the beginning of a statement, or one of three around the end of a transaction: before
the commit is sent, when it is sent and not answered, and when it is answered. So that a trial is
the same each time, moments are counted and not timed.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Pipe
from subprocess import TimeoutExpired
from types import TracebackType
from typing import Any

import psycopg

from tests.support.processes import Command


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: its exit code, None if it was killed; the moments that it came to."""

    code: int | None
    moments: tuple[str, ...]


def run_command(
    environment: dict[str, str],
    *arguments: str,
    kill_at: int | None = None,
    kill_after: float | None = None,
    checks: bool = True,
) -> Outcome:
    """Run ``python -m etl ...`` in a process of its own, killed at the moment of this number.

    ``kill_after``: or killed after so many seconds. ``checks``: whether the run ends with the
    checks of everything, which take seconds.
    """
    ours, theirs = multiprocessing.Pipe(duplex=False)
    prepare = partial(_prepare, theirs, kill_at, checks)
    process = Command(*arguments, environment=environment, prepare=prepare)
    theirs.close()
    if kill_after is not None:
        with suppress(TimeoutExpired):
            process.wait(kill_after)
        process.kill()
    moments = []
    while True:
        try:
            moments.append(ours.recv())
        except EOFError:
            break
    code = process.ended().returncode
    return Outcome(None if code == -signal.SIGKILL else code, tuple(moments))


def _prepare(pipe: Pipe, kill_at: int | None, checks: bool) -> None:
    """In the new process: every moment is sent to the parent before it passes."""
    from etl import __main__ as command_line

    numbers = itertools.count()

    def moment(what: str) -> bool:
        pipe.send(what)
        return next(numbers) == kill_at

    _watch(moment)
    if not checks:
        command_line.commands.run_checks = lambda context, *_, **__: context.summary


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _watch(moment: Any) -> None:
    """Let the connections of this process report every moment."""
    execute = psycopg.Connection.execute
    executemany = psycopg.Cursor.executemany
    leave = psycopg.Transaction.__exit__

    def watched_execute(self: Any, query: Any, *args: Any, **how: Any) -> Any:
        if moment("statement"):
            _die()
        return execute(self, query, *args, **how)

    def watched_executemany(self: Any, *args: Any, **how: Any) -> Any:
        if moment("statements"):
            _die()
        return executemany(self, *args, **how)

    def watched_leave(
        self: Any,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if self.savepoint_name or error is not None:
            return bool(leave(self, kind, error, trace))
        if moment("before commit"):
            _die()
        if moment("commit sent"):
            self.connection.pgconn.send_query(b"COMMIT")
            self.connection.pgconn.flush()
            _die()
        left = bool(leave(self, kind, error, trace))
        if moment("after commit"):
            _die()
        return left

    psycopg.Connection.execute = watched_execute
    psycopg.Cursor.executemany = watched_executemany
    psycopg.Transaction.__exit__ = watched_leave
