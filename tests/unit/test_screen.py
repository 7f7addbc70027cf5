"""What fits on a terminal: lines broken between words, and answers shown as they come."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from etl.config import ROOT
from etl.pipeline.screen import broken
from etl.quality.side_by_side import InTurn, side_by_side
from tests.support.terminal import shown

HELP = [sys.executable, "-m", "etl", "--help"]


def test_lines_fit_and_commands_stay_in_one_piece() -> None:
    said = "Something happened to the batch: make incremental RECHECK=yes compares all its bytes."
    for width in range(45, 90):
        lines = broken(said, width, 9)
        assert max(map(len, lines)) <= width - (9 if len(lines) == 1 else 0)
        assert " ".join(line.strip() for line in lines) == said
        assert sum("make incremental RECHECK=yes" in line for line in lines) == 1


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


def test_a_terminal_shows_that_a_command_starts_before_the_command_does() -> None:
    assert shown(HELP, dict(os.environ), "").startswith("Starting ...")
    done = subprocess.run(HELP, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stderr, "Starting" in done.stdout) == ("", False)
