"""Several sources of answers at once, each answer handed over as it comes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from threading import Event, Lock
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")
_Task = TypeVar("_Task")


class InTurn(Generic[_Task]):
    """Tasks that several threads share: each takes the next one that none has taken."""

    def __init__(self, tasks: Iterable[_Task]) -> None:
        self._tasks = iter(tasks)
        self._taking = Lock()

    def __iter__(self) -> Iterator[_Task]:
        return self

    def __next__(self) -> _Task:
        with self._taking:
            return next(self._tasks)


def side_by_side(
    here: Iterable[_Answer],
    *there: Iterator[_Answer],
    on_wait: Callable[[], None] = lambda: None,
) -> Generator[tuple[_Answer, int], None, None]:
    """The answers of all as they come, each with which source it is of: 0 is ``here``.

    Each of ``there`` is asked in a thread of its own. ``on_wait`` is called when only they are
    left. What one of them raises comes after all that they answered. After an error ``here``, or
    where nobody takes answers any more, nothing more is asked.
    """
    come: Queue[tuple[_Answer, int] | None] = Queue()
    is_over = Event()
    with ThreadPoolExecutor(max(1, len(there))) as workers:
        try:
            work = [
                workers.submit(_ask, source, place, come, is_over)
                for place, source in enumerate(there, 1)
            ]
            at_work = len(work)
            for answer in here:
                yield answer, 0
                for _ in range(come.qsize()):
                    if (other := come.get()) is None:
                        at_work -= 1
                    else:
                        yield other
            on_wait()
            while at_work:
                if (other := come.get()) is None:
                    at_work -= 1
                else:
                    yield other
            for one in work:
                one.result()
        finally:
            is_over.set()


def _ask(
    there: Iterator[_Answer],
    place: int,
    come: Queue[tuple[_Answer, int] | None],
    is_over: Event,
) -> None:
    try:
        for answer in there:
            come.put((answer, place))
            if is_over.is_set():
                break
    finally:
        come.put(None)  # so that nobody waits for what does not come
