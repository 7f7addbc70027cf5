"""Rows of a snapshot that the snapshot before it has too, so that they need not be compared.

``access.row_fingerprint`` has the fingerprints of the rows of a dimension's latest snapshot, and
the lines of it that the one before lacks. Whether only these lines can change the dimension is for
the dimension to decide (``etl/stages/dims/simple_path.py``).
"""

from __future__ import annotations

from typing import Any

import psycopg
import xxhash

from etl.db.statements import run
from etl.inbox.header import Header
from etl.inbox.line_fingerprints import LineFingerprints
from etl.stages import bulk
from etl.stages.stage.staged import Staged
from etl.warehouse.tables import DIMENSIONS

# From so many rows on it pays, unless more than this share of them are others.
ROWS = bulk.ROWS
MOST_CHANGED = 0.3
_FEEDS = frozenset(dimension.feed.name for dimension in DIMENSIONS.values())


def fingerprints_of(staged: Staged) -> LineFingerprints | None:
    """What takes in the rows of a file, if they can be those of the snapshot before."""
    file = staged.file
    feed = file.feed
    is_due = file.expected.kind == "snapshot" and feed.name in _FEEDS and len(feed.key) == 1
    return LineFingerprints() if is_due else None


def record(
    connection: psycopg.Connection[Any],
    load_id: int,
    staged: Staged,
    head: Header,
    fingerprints: LineFingerprints,
) -> None:
    """Note which rows of a file the snapshot before does not have, and what the next one needs.

    Each of its rows has a key of its own, and all that were sent and not rejected were staged.
    """
    rows = fingerprints.without(rejected.line for rejected in staged.rejected)
    if rows is None or len(rows.lines) != staged.loaded or staged.loaded < ROWS:
        return
    feed = staged.file.feed
    values = {"load_id": load_id, "feed": feed.name, "form": _form(head)}
    before = run(connection, "stage/unchanged_rows.before", values).fetchone()
    found: dict[str, Any] = {"same_as_load_id": None, "other_lines": None}
    if before is not None:
        same_as_load_id, in_bytes = before
        lines = rows.lines_not_in(in_bytes)
        if len(lines) <= MOST_CHANGED * staged.loaded:
            found = {"same_as_load_id": same_as_load_id, "other_lines": lines}
    run(connection, "stage/unchanged_rows.forget", values)
    kept = {**values, **found, "fingerprints": rows.in_bytes()}
    run(connection, "stage/unchanged_rows.record", kept)


def _form(head: Header) -> str:
    """How the rows of a file are read: where it is the same, the same bytes mean the same."""
    contract = head.contract
    read_as = (head.names, head.targets, contract.name, contract.parsing, contract.feed.columns)
    return xxhash.xxh3_128_hexdigest(repr(read_as).encode())
