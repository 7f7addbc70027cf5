"""A call that may take no longer than so many seconds, whatever it waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class TookTooLongError(Exception):
    """The call has not ended in its time; its thread is left to end with the process."""


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """What ``call`` returns or raises; ``TookTooLongError`` when the time is over.

    A server that was stopped in the middle of an answer leaves its client waiting without end,
    and looking up the name of a host knows no limit of time either.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TookTooLongError
    return results[0]
