"""Folders of files that tests read."""

from __future__ import annotations

from pathlib import Path

PIPELINE = Path(__file__).parents[1] / "pipeline"
# What senders send, each kind a folder with the expected result.
CASES = PIPELINE / "cases"
# Excerpts of published files.
REAL_FILES = PIPELINE / "real_files"
