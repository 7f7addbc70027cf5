"""What the server is asked just now, for whoever watches a run.

Nobody listens unless a terminal shows a run, and then only to the thread that runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)
_table: ContextVar[str] = ContextVar("table", default="")


def listen(listener: Callable[[str], None] | None) -> None:
    """Call this with each step that this thread begins, in words; ``None``: with none."""
    _listener.set(listener)


@contextmanager
def within(table: str) -> Iterator[None]:
    """The steps that begin in here are about this table or cube, and are shown with its name."""
    token = _table.set(f"{table}: ")
    try:
        yield
    finally:
        _table.reset(token)


def is_listened_to() -> bool:
    """Whether somebody listens, so that words are made only for somebody."""
    return _listener.get() is not None


def begin(what: str) -> None:
    """A step begins that may last."""
    listener = _listener.get()
    if listener is not None:
        listener(f"{_table.get()}{what}")
