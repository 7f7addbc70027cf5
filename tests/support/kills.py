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
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

# Children are forked from a process that has loaded the program and done nothing else.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["etl.__main__", "etl.quality.great_expectations", "sqlalchemy", __name__]
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: its exit code, None if it was killed; the moments that it came to."""

    code: int | None
    moments: tuple[str, ...]
    said: str


def run_command(
    environment: dict[str, str],
    *arguments: str,
    said: Path,
    kill_at: int | None = None,
    kill_after: float | None = None,
    checks: bool = True,
) -> Ended:
    """Run ``python -m etl ...`` in a process of its own, killed at the moment of this number.

    ``kill_after``: or killed after so many seconds. ``checks``: whether the run ends with the
    checks of everything, which take seconds.
    """
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(
        target=_work, args=(theirs, environment, arguments, kill_at, str(said), checks)
    )
    process.start()
    theirs.close()
    if kill_after is not None:
        process.join(kill_after)
        process.kill()
    moments = []
    while True:
        try:
            moments.append(ours.recv())
        except EOFError:
            break
    process.join(180)
    code = process.exitcode
    assert code is not None, "the run did not end"
    killed = code == -signal.SIGKILL
    return Ended(None if killed else code, tuple(moments), said.read_text(encoding="utf-8"))


def _work(
    pipe: Pipe,
    environment: dict[str, str],
    arguments: tuple[str, ...],
    kill_at: int | None,
    said: str,
    checks: bool,
) -> None:
    """The child: the command line, with every moment told to the parent before it passes."""
    os.environ.update(environment)
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    from etl import __main__ as command_line

    numbers = itertools.count()

    def moment(what: str) -> bool:
        pipe.send(what)
        return next(numbers) == kill_at

    _watch(moment)
    if not checks:
        command_line.commands.run_checks = lambda context, *_, **__: context.summary
    code = command_line.guarded(lambda: command_line.app(list(arguments), standalone_mode=True))
    os._exit(code)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _watch(moment: Any) -> None:
    """Let the connections of this process tell of every moment."""
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
