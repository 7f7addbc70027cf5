"""Folders of files that tests read."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

from etl.config import ROOT

PIPELINE = Path(__file__).parents[1] / "pipeline"
# What senders send, each kind a folder with the expected result.
CASES = PIPELINE / "cases"
# Excerpts of published files.
REAL_FILES = PIPELINE / "real_files"


def rows_of(path: Path, encoding: str = "utf-8") -> list[dict[str, str]]:
    """A file as a plain reading of it has it."""
    with path.open(newline="", encoding=encoding) as file:
        return list(csv.DictReader(file))


def add_up(export: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Add up the transactions of an export of Synthea in a folder, as its pre-step does."""
    script = ROOT / "scripts" / "synthea_claims.py"
    return subprocess.run(
        [sys.executable, script, export, folder], capture_output=True, text=True, check=False
    )
