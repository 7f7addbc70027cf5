"""Signals that ask a run to stop: it ends in order, as with Ctrl-C, and says so.

Loading the program takes half a second, in which nothing has begun: Ctrl-C then ends it with a
sentence and not in a traceback (``etl/__init__.py``; only the standard library is imported here).
Python's own answer to SIGTERM, SIGHUP and SIGQUIT is to die at once, without a word and with a
stage left ``running`` in the ledger. Here they are raised in the main thread: the statement at
work is canceled, its transaction rolled back, and the ledger says by which signal.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

INTERRUPTED = 130
_NOTHING_BEGUN = b"Error: Interrupted.\nNothing had begun. Run it again.\n"
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Stopped(KeyboardInterrupt):
    """A signal asked for the end; of the kind that psycopg cancels its statement for."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


_first: list[Stopped] = []


def end_while_loading() -> None:
    """Let Ctrl-C end the program at once, where this is what ``python -m`` was asked for.

    While its packages are looked for the name of the program is ``-m``.
    """
    is_program = sys.argv[:1] == ["-m"]
    if is_program and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def listen() -> None:
    """Raise ``Stopped`` at these signals from now on; those that are ignored (nohup) stay so.

    Ctrl-C raises ``KeyboardInterrupt`` again, which from here on somebody catches.
    """
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        # A handler that is not Python's cannot be asked and is left alone.
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            with suppress(OSError, ValueError):
                signal.signal(number, _stop)


def stopped() -> Stopped | None:
    """What stopped this process, if a signal did."""
    return _first[0] if _first else None


def _stop(number: int, _frame: FrameType | None) -> None:
    # A second signal while the first is being answered would keep the ledger from being written.
    if not _first:
        _first.append(Stopped(number))
        raise _first[0]


def _end(_number: int, _frame: FrameType | None) -> None:
    os.write(2, _NOTHING_BEGUN)
    os._exit(INTERRUPTED)
