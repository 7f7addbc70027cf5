"""Runs of the command line that kill themselves at a chosen moment, as ``kill -9`` would.

Or that are robbed of their server at some moments and go on.

A moment is the beginning of a statement, or one of three around the end of a transaction: before
the commit is sent, when it is sent and not answered, and when it is answered. So that a trial is
the same each time, moments are counted and not timed. Where two sessions are at work at once, whose
moment comes first may differ from run to run.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Pipe
from subprocess import TimeoutExpired
from threading import Lock
from types import TracebackType
from typing import Any

import psycopg

from etl.config import Settings
from etl.pipeline.session import RunContext
from etl.server import cluster, server
from etl.server.home import Home, locate
from tests.support.processes import Command

# Seconds that a run may take whose server is restarted at ten moments.
_LONGEST = 600


def die() -> None:
    """A strike: this process is killed."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: its exit code, None if it was killed; the moments that it came to.

    ``said``: to whoever ran it, apart from the summary.
    """

    code: int | None
    moments: tuple[str, ...]
    said: str = ""


def run_command(
    environment: dict[str, str],
    *arguments: str,
    strike_at: Collection[int | str] = (),
    strike: Callable[[], None] = die,
    kill_after: float | None = None,
    checks: bool = True,
    stage: str = "",
) -> Outcome:
    """Run ``python -m etl ...`` in a process of its own, killed at the moments of these numbers.

    ``strike``: or what happens at them instead. ``kill_after``: or killed after so many seconds.
    ``checks``: whether the run ends with the checks of everything, which take seconds.
    ``stage``: only moments within this stage count. One that is named, and not numbered, is the
    first of its kind.
    """
    ours, theirs = multiprocessing.Pipe(duplex=False)
    prepare = partial(_prepare, theirs, strike_at, strike, checks, stage)
    process = Command(*arguments, environment=environment, prepare=prepare)
    theirs.close()
    if kill_after is not None:
        with suppress(TimeoutExpired):
            process.wait(kill_after)
        process.kill()
    # All that it says is read at once: a pipe that is full would stop it.
    with ThreadPoolExecutor(1) as threads:
        moments = threads.submit(_all_of, ours)
        ended = process.ended(_LONGEST)
    code = None if ended.returncode == -signal.SIGKILL else ended.returncode
    return Outcome(code, tuple(moments.result()), ended.stderr)


def _all_of(pipe: Pipe) -> list[str]:
    """The moments that a process sends until it ends."""
    moments = []
    with suppress(EOFError):
        while True:
            moments.append(pipe.recv())
    return moments


def _prepare(
    pipe: Pipe,
    strike_at: Collection[int | str],
    strike: Callable[[], None],
    checks: bool,
    stage: str,
) -> None:
    """In the new process: every moment is sent to the parent before it passes."""
    from etl import __main__ as command_line

    numbers, one_by_one = itertools.count(), Lock()
    left = set(strike_at)
    is_striking = False
    counts = not stage

    def moment(what: str) -> bool:
        # What the strike itself says to the server is none.
        if is_striking or not counts:
            return False
        with one_by_one:
            pipe.send(what)
            reached = left & {next(numbers), what}
            left.difference_update(reached)
            return bool(reached)

    def struck() -> None:
        nonlocal is_striking
        is_striking = True
        try:
            strike()
        finally:
            is_striking = False

    @contextmanager
    def watched_stage(context: Any, name: str, *args: Any, **how: Any) -> Iterator[Any]:
        nonlocal counts
        counts = stage in ("", name)
        try:
            with run_stage(context, name, *args, **how) as found:
                yield found
        finally:
            counts = not stage

    run_stage, RunContext.run_stage = RunContext.run_stage, watched_stage
    _watch(moment, struck)
    if not checks:
        command_line.commands.run_checks = lambda context, *_, **__: context.summary


def _watch(moment: Callable[[str], bool], strike: Callable[[], None]) -> None:
    """Let the connections of this process report every moment, and strike at some."""
    execute = psycopg.Connection.execute
    executemany = psycopg.Cursor.executemany
    leave = psycopg.Transaction.__exit__

    def watched_execute(self: Any, query: Any, *args: Any, **how: Any) -> Any:
        if moment("statement"):
            strike()
        return execute(self, query, *args, **how)

    def watched_executemany(self: Any, *args: Any, **how: Any) -> Any:
        if moment("statements"):
            strike()
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
            strike()
        if moment("commit sent"):
            self.connection.pgconn.send_query(b"COMMIT")
            self.connection.pgconn.flush()
            strike()
        left = bool(leave(self, kind, error, trace))
        if moment("after commit"):
            strike()
        return left

    psycopg.Connection.execute = watched_execute
    psycopg.Cursor.executemany = watched_executemany
    psycopg.Transaction.__exit__ = watched_leave


def end_sessions(url: str) -> None:
    """A strike: end every session of a run on this database, as a server does that is stopped."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
            "where datname = current_database() and application_name like 'aca-warehouse%'"
        )


def crash_server(settings: Settings) -> None:
    """A strike: kill the embedded server, which nobody starts again.

    Each session with it ends, so no fixture of more than one module may keep one open.
    """
    crash(locate(settings))


def crash(home: Home) -> None:
    """A strike: kill a server of ours."""
    process = cluster.postmaster(home)
    assert process is not None, "it does not run"
    process.kill()
    process.wait()


def restart_server(settings: Settings, _url: str) -> None:
    """A strike: kill the embedded server and start it again."""
    crash_server(settings)
    server.ensure_running(settings)
