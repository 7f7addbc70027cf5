"""Signals that ask a run to stop: it ends in order, as with Ctrl-C, and says so.

Python's own answer to SIGTERM, SIGHUP and SIGQUIT is to die at once, without a word and with a
stage left ``running`` in the ledger. Here they are raised in the main thread: the statement at
work is cancelled, its transaction rolled back, and the ledger says by which signal.
"""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Stopped(KeyboardInterrupt):
    """A signal asked for the end; of the kind that psycopg cancels its statement for."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


_first: list[Stopped] = []


def listen() -> None:
    """Raise ``Stopped`` at these signals from now on; those that are ignored (nohup) stay so."""
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
