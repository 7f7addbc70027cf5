"""Ctrl-C while the program is still being loaded: it ends with a sentence and not in a traceback.

Loading takes half a second, in which nothing has begun and no handler of the command line stands.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130
_SAID = b"Error: Interrupted.\nNothing had begun. Run it again.\n"


def listen() -> None:
    """Answer Ctrl-C from now on, where this is the program that ``python -m`` was asked for.

    While its packages are looked for the name of the program is ``-m``.
    """
    is_program = sys.argv[:1] == ["-m"]
    if is_program and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def hand_over() -> None:
    """Let Ctrl-C raise ``KeyboardInterrupt`` again: from here on somebody catches it."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(_number: int, _frame: FrameType | None) -> None:
    os.write(2, _SAID)
    os._exit(INTERRUPTED)
