"""Several sources of answers at once, each answer handed over as it comes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from queue import Queue
from threading import Event, Lock
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")
_Task = TypeVar("_Task")

# Until a source is asked again to end: between two statements it does not hear it.
_PAUSE_SECONDS = 0.2


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


@dataclass(slots=True)
class _Shared(Generic[_Answer]):
    """What the threads share. ``is_over``: nothing more is asked. ``errors``: what ended that."""

    cancel: Callable[[int], None] | None
    come: Queue[tuple[_Answer, int] | None] = field(default_factory=Queue)
    is_over: Event = field(default_factory=Event)
    here_ended: Event = field(default_factory=Event)
    errors: list[BaseException] = field(default_factory=list)


def side_by_side(
    here: Iterable[_Answer],
    *there: Iterator[_Answer],
    on_wait: Callable[[], None] = lambda: None,
    cancel: Callable[[int], None] | None = None,
) -> Generator[tuple[_Answer, int], None, None]:
    """The answers of all as they come, each with which source it is of: 0 is ``here``.

    Each of ``there`` is asked in a thread of its own. ``on_wait`` is called when only they are
    left. What one of them raises comes after all that they answered. After an error ``here``, or
    where nobody takes answers any more, nothing more is asked.

    ``cancel``: ends what one source is doing, from another thread. With it the first error of any
    source ends all of them at once, and is the one that is raised.
    """
    shared = _Shared[_Answer](cancel)
    with ThreadPoolExecutor(max(1, len(there))) as workers:
        work = [
            workers.submit(_ask, source, place, shared) for place, source in enumerate(there, 1)
        ]
        at_work = len(work)
        try:
            for answer in here:
                yield answer, 0
                for _ in range(shared.come.qsize()):
                    if (other := shared.come.get()) is None:
                        at_work -= 1
                    else:
                        yield other
                if shared.is_over.is_set():
                    break
            shared.here_ended.set()
            on_wait()
            while at_work and not shared.is_over.is_set():
                if (other := shared.come.get()) is None:
                    at_work -= 1
                else:
                    yield other
        except Exception:
            # One that was canceled is not the first.
            if not shared.errors:
                raise
        finally:
            shared.is_over.set()
            shared.here_ended.set()
            _end(work, cancel if at_work else None)
        for error in shared.errors:
            raise error
        for one in work:
            one.result()


def _ask(there: Iterator[_Answer], place: int, shared: _Shared[_Answer]) -> None:
    try:
        for answer in there:
            shared.come.put((answer, place))
            if shared.is_over.is_set():
                break
    except BaseException as error:
        if shared.cancel is not None and not shared.is_over.is_set():
            shared.errors.append(error)
            shared.is_over.set()
            while not shared.here_ended.is_set():
                shared.cancel(0)
                shared.here_ended.wait(_PAUSE_SECONDS)
        raise
    finally:
        shared.come.put(None)  # so that nobody waits for what does not come


def _end(work: Sequence[Future[None]], cancel: Callable[[int], None] | None) -> None:
    """End those that are still at work, if there is a way to."""
    while cancel is not None and not all(one.done() for one in work):
        for place, one in enumerate(work, 1):
            if not one.done():
                cancel(place)
        wait(work, timeout=_PAUSE_SECONDS)
