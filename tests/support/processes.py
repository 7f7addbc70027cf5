"""Commands of the command line, each in a process of its own.

Python takes three seconds to load the program and Great Expectations, and tests start a hundred
commands. So a process that has loaded them, and done nothing else, waits next to the tests: each
command is a fork of it, with an environment, output, signals and an exit code of its own.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import IO

from etl.config import ROOT

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        *("etl.__main__", "etl.quality.report", "etl.schema.migrations", "etl.synthetic.generate"),
        *("great_expectations", "great_expectations.expectations.row_conditions", __name__),
    ]
)


@dataclass(frozen=True, slots=True)
class Ended:
    """The exit code of a command, minus the number of a signal that killed it; what it said."""

    returncode: int
    stdout: str
    stderr: str


class Command:
    """``python -m etl ...`` at work, to be used as a ``subprocess.Popen``.

    ``prepare``: is called in the new process before the command begins.
    """

    def __init__(
        self,
        *arguments: str,
        environment: dict[str, str],
        prepare: Callable[[], object] | None = None,
    ) -> None:
        out, err = _CONTEXT.Pipe(duplex=False), _CONTEXT.Pipe(duplex=False)
        self.args = arguments
        self._process = _CONTEXT.Process(
            target=_work, args=(arguments, environment, prepare, out[1], err[1])
        )
        self._process.start()
        self.stdout, self.stderr = (_text_of(*pipe) for pipe in (out, err))

    @property
    def pid(self) -> int:
        assert self._process.pid is not None, "it was not started"
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float = 180) -> int:
        """Its exit code; minus the number of the signal that killed it."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(["etl", *self.args], timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal; nothing happens when it has ended, as with ``Popen``."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def ended(self, timeout: float = 180) -> Ended:
        """How it ends, and what it says until then."""
        with ThreadPoolExecutor() as threads:
            out, err = (threads.submit(stream.read) for stream in (self.stdout, self.stderr))
            try:
                code = self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            return Ended(code, out.result(), err.result())

    def communicate(self, timeout: float = 180) -> tuple[str, str]:
        """What it says until it ends."""
        ended = self.ended(timeout)
        return ended.stdout, ended.stderr


def obey_signals() -> None:
    """Let this process be stopped, also where the tests ignore signals (nohup, or a shell's &)."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def _text_of(ours: Pipe, theirs: Pipe) -> IO[str]:
    """Our end of a pipe, to read text from."""
    theirs.close()
    with ours:
        return os.fdopen(os.dup(ours.fileno()), encoding="utf-8")


def _work(
    arguments: tuple[str, ...],
    environment: dict[str, str],
    prepare: Callable[[], object] | None,
    out: Pipe,
    err: Pipe,
) -> None:
    """The new process: what an interpreter would have been given, then the command."""
    gc.freeze()  # what it was forked with is not gone through for garbage
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    with Path(os.devnull).open() as nothing, out, err:
        for number, stream in enumerate((nothing, out, err)):
            os.dup2(stream.fileno(), number)
    sys.argv = ["etl", *arguments]
    obey_signals()
    from etl import __main__ as command_line

    if prepare is not None:
        prepare()
    sys.exit(command_line.guarded(lambda: command_line.app(standalone_mode=True)))
