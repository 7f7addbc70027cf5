"""Folders of files that tests read."""

from __future__ import annotations

import csv
from pathlib import Path

PIPELINE = Path(__file__).parents[1] / "pipeline"
# What senders send, each kind a folder with the expected result.
CASES = PIPELINE / "cases"
# Excerpts of published files.
REAL_FILES = PIPELINE / "real_files"


def rows_of(path: Path, encoding: str = "utf-8") -> list[dict[str, str]]:
    """A file as a plain reading of it has it."""
    with path.open(newline="", encoding=encoding) as file:
        return list(csv.DictReader(file))
