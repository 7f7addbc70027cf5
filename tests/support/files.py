"""Folders of files that tests read."""

from __future__ import annotations

from pathlib import Path

PIPELINE = Path(__file__).parents[1] / "pipeline"
# What the world sends, each kind a folder with its right answer.
WORLD = PIPELINE / "world"
# Excerpts of files as others publish them.
WILD = PIPELINE / "wild"
