"""Small feeds for tests: rows drawn in the test, with the other columns filled in."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from etl.contracts.column import Column, OneOf
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.types import Type
from tests.support.tables import draw

# Rows of a feed, or a table that is drawn.
Rows = Iterable[Mapping[str, Any]] | str

_FILLERS = {
    Type.TEXT: "x",
    Type.KEY: "k",
    Type.REFERENCE: "x",
    Type.INTEGER: "1",
    Type.YEAR: "2025",
    Type.KEY_YEAR: "2025",
    Type.KEY_NUMBER: "1",
    Type.BOOLEAN: "false",
    Type.MONEY: "10.00",
    Type.RATIO: "1",
    Type.DATE: "2025-01-01",
    Type.KEY_DATE: "2025-01-01",
    Type.TIMESTAMP: "",
}


def _filler(column: Column) -> str:
    """The value of a column that a test leaves out; of a closed list its first value."""
    if column.name == "status":
        return "approved"
    if isinstance(column.check, OneOf) and column.check.closed:
        return column.check.values[0]
    return _FILLERS[column.type]


def fill(feed: Feed, row: Mapping[str, Any]) -> dict[str, str]:
    """A whole row of a feed from the columns that matter."""
    known = {c.name: _filler(c) if c.required else "" for c in feed.staged}
    unknown = row.keys() - known.keys()
    assert not unknown, f"{feed.name} has no {unknown}"
    return known | {k: "" if v is None else str(v) for k, v in row.items()}


def write_batch(
    inbox: Path,
    batch_id: str,
    manifest: Mapping[str, Any] | None = None,
    lacking: Collection[str] = (),
    snapshots: Collection[str] = (),
    **feeds: Rows,
) -> Path:
    """Write a batch folder with these feeds (``members=[{...}]`` or a drawn table).

    ``lacking``: columns that their files do not have. ``snapshots``: feeds that are snapshots.
    """
    folder = inbox / batch_id
    folder.mkdir(parents=True)
    for name, rows in feeds.items():
        feed = FEEDS[name]
        with (folder / feed.file_name).open("w", newline="", encoding="utf-8") as file:
            header = [c.name for c in feed.staged if c.name not in lacking]
            writer = csv.DictWriter(file, header, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            drawn_or_rows = draw(rows) if isinstance(rows, str) else rows
            writer.writerows(fill(feed, row) for row in drawn_or_rows)
    if snapshots:
        kinds = {FEEDS[name].file_name: {"kind": "snapshot"} for name in snapshots}
        manifest = {"files": kinds, **(manifest or {})}
    if manifest is not None:
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
