"""Two sources of answers at once, each answer handed over as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import TypeVar

_Answer = TypeVar("_Answer")


def side_by_side(
    here: Iterable[_Answer],
    there: Iterator[_Answer],
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[tuple[_Answer, bool]]:
    """The answers of both as they come, each with whether it is of ``there``.

    ``there`` is asked in a thread of its own. ``on_wait`` is called when only it is left. What it
    raises comes after all that it answered.
    """
    come: Queue[_Answer | None] = Queue()
    with ThreadPoolExecutor(1) as worker:
        work = worker.submit(_ask, there, come)
        for answer in here:
            yield answer, False
            for _ in range(come.qsize()):
                if (other := come.get()) is None:
                    come.put(None)  # the end, which is waited for below
                else:
                    yield other, True
        on_wait()
        while (other := come.get()) is not None:
            yield other, True
        work.result()


def _ask(there: Iterator[_Answer], come: Queue[_Answer | None]) -> None:
    try:
        for answer in there:
            come.put(answer)
    finally:
        come.put(None)  # so that nobody waits for what does not come
