"""A word on the terminal while the program is imported, which takes seconds on a busy machine.

It imports nothing itself.
"""

from __future__ import annotations

import sys

_WORD = "Starting ..."


def say() -> None:
    """Show that the program starts, where a person looks."""
    if sys.stderr.isatty():
        print(_WORD, end="", file=sys.stderr, flush=True)


def take_back() -> None:
    """Clear the word, so that what a command shows begins the line."""
    if sys.stderr.isatty():
        print(f"\r{' ' * len(_WORD)}\r", end="", file=sys.stderr, flush=True)
