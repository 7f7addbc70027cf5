"""What is in an archive of rows whose retention is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of every file of an archive by the name of the file."""
    return {p.name: pq.read_table(p).to_pylist() for p in sorted(folder.glob("*.parquet"))}
