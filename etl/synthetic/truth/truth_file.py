"""The truth as files: a batch's in JSON, which who only compares can read without the generator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Without these a file in the folder is no truth of a batch.
_FIELDS = {"batch_id", "made_from", "refused", "files", "dimensions", "unknown"}


def write(folder: Path, batch_id: str, truth: dict[str, Any]) -> None:
    """Write a batch's truth, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{batch_id}.partial"
    partial.write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / f"{batch_id}.json")


def read(folder: Path, batch_id: str) -> dict[str, Any] | None:
    """A batch's truth, or ``None`` if there is none that can be read."""
    try:
        found = json.loads((folder / f"{batch_id}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.keys() >= _FIELDS else None
