"""What the inbox has when a backup is made: its batches, their manifests and files by size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


def write(inbox: Path, file: Path) -> None:
    """Write the list; of an inbox that is not there, an empty one."""
    folders = sorted(p for p in inbox.iterdir() if p.is_dir()) if inbox.is_dir() else []
    listed = {folder.name: _batch(folder) for folder in folders}
    file.write_text(json.dumps(listed, indent=1, sort_keys=True), encoding="utf-8")


def _batch(folder: Path) -> dict[str, Any]:
    manifest = folder / MANIFEST
    return {
        "manifest": manifest.read_text("utf-8", "replace") if manifest.is_file() else None,
        "files": {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.is_file()},
    }
