"""Several sources of answers at once: each answer as it comes, and how an error ends them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from etl.db.side_by_side import InTurn, side_by_side


def test_answers_of_all_come_and_an_error_after_them() -> None:
    def there() -> Iterator[int]:
        yield from (10, 11)
        raise ValueError("gone")

    come = list(side_by_side(iter((1, 2)), iter((10, 11)), iter((20,))))
    assert [[n for n, of in come if of == place] for place in range(3)] == [[1, 2], [10, 11], [20]]
    failing = side_by_side((3,), there())
    come = [next(failing) for _ in range(3)]
    assert sorted(come) == [(3, 0), (10, 1), (11, 1)]
    with pytest.raises(ValueError, match="gone"):
        next(failing)


def test_each_task_is_taken_once_and_none_after_an_error() -> None:
    tasks = InTurn(range(99))
    assert sorted(n for n, _ in side_by_side(tasks, tasks)) == [*range(99)]

    def slowly() -> Iterator[int]:
        for n in tasks:
            time.sleep(0.001)
            yield n

    def failing() -> Iterator[int]:
        yield -1
        raise ValueError("gone")

    tasks = InTurn(range(10_000))
    with pytest.raises(ValueError, match="gone"):
        list(side_by_side(failing(), slowly()))
    assert 0 < next(tasks) < 10_000


class Canceled(Exception):
    """What a source raises that is asked to end."""


def endless(canceled: threading.Event) -> Iterator[int]:
    """A source that answers nothing until it is canceled."""
    if canceled.wait(10):
        raise Canceled
    yield 0


def failing() -> Iterator[int]:
    yield 1
    time.sleep(0.05)
    raise ValueError("gone")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_first_error_cancels_all_others_and_is_raised(place: int) -> None:
    ends = [threading.Event() for _ in range(3)]
    sources = [failing() if n == place else endless(end) for n, end in enumerate(ends)]
    with pytest.raises(ValueError, match="gone"):
        list(side_by_side(*sources, cancel=lambda n: ends[n].set()))
    assert all(end.is_set() for n, end in enumerate(ends) if n != place)


def test_a_source_that_does_not_hear_it_is_canceled_again() -> None:
    asked = 0

    def cancel(_: int) -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            end.set()

    end = threading.Event()
    with pytest.raises(ValueError, match="gone"):
        list(side_by_side(endless(end), failing(), cancel=cancel))
    assert asked >= 3


def test_an_error_cancels_others_when_the_first_source_is_done() -> None:
    end = threading.Event()
    with pytest.raises(ValueError, match="gone"):
        list(side_by_side(iter((1, 2)), failing(), endless(end), cancel=lambda _: end.set()))


def test_nobody_is_canceled_where_all_end_well() -> None:
    def never(place: int) -> None:
        raise AssertionError(place)

    assert sorted(side_by_side(iter((1,)), iter((2,)), cancel=never)) == [(1, 0), (2, 1)]
