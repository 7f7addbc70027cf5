"""What fits on a terminal: lines broken between words, and the first one while a command starts."""

from __future__ import annotations

import os
import subprocess
import sys

from etl.config import ROOT
from etl.pipeline.screen import broken
from tests.support.terminal import shown

HELP = [sys.executable, "-m", "etl", "--help"]


def test_lines_fit_and_commands_stay_in_one_piece() -> None:
    said = "Something happened to the batch: make incremental RECHECK=yes compares all its bytes."
    for width in range(45, 90):
        lines = broken(said, width, 9)
        assert max(map(len, lines)) <= width - (9 if len(lines) == 1 else 0)
        assert " ".join(line.strip() for line in lines) == said
        assert sum("make incremental RECHECK=yes" in line for line in lines) == 1


def test_a_terminal_shows_that_a_command_starts_before_the_command_does() -> None:
    assert shown(HELP, dict(os.environ), "").startswith("Starting ...")
    done = subprocess.run(HELP, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stderr, "Starting" in done.stdout) == ("", False)
