"""Work on tables of a rebuild that two sessions share: each takes the next task that is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Any, TypeVar

import psycopg

from etl.db.side_by_side import InTurn, side_by_side
from etl.pipeline import worker
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Load

_Task = TypeVar("_Task")
_Answer = TypeVar("_Answer")


def by_two(
    context: RunContext,
    load: Load,
    tasks: Sequence[_Task],
    do: Callable[[psycopg.Connection[Any], _Task], _Answer],
    on_answer: Callable[[_Answer], None] = lambda _: None,
    on_error: Callable[[_Task], None] = lambda _: None,
) -> list[_Answer]:
    """What ``do`` answers for each of the tasks, in their order, each a transaction of its own.

    ``do`` is called in two threads, ``on_answer`` in this one, as answers come. The first error
    ends both sessions and is raised. ``on_error`` is called with each task that failed, the first
    one first, also where it failed in the commit.
    """
    left = InTurn(enumerate(tasks))

    def work(session: psycopg.Connection[Any]) -> Iterator[tuple[int, _Answer]]:
        for place, task in left:
            try:
                with worker.part(session, load.load_id, load.build):
                    answer = do(session, task)
            except Exception:
                on_error(task)
                raise
            yield place, answer

    found: dict[int, _Answer] = {}
    with context.in_parts(load) as second:
        sessions = (context.work, second)

        def cancel(place: int) -> None:
            with suppress(psycopg.Error):  # it is gone
                sessions[place].cancel_safe(timeout=1)

        # Whatever ends this block, both have ended before the second session is closed.
        with closing(side_by_side(*map(work, sessions), cancel=cancel)) as come:
            for (place, answer), _ in come:
                found[place] = answer
                on_answer(answer)
    return [answer for _, answer in sorted(found.items(), key=lambda one: one[0])]
