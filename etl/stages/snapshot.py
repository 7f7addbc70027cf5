"""Snapshots: what one says by its silence, counted before anything follows from it.

A snapshot holds every key there is, so a key that it lacks is gone. A file that was cut short
looks the same. Keys are counted in staging, where all that was told of a feed lies, so that a
batch out of order is judged by what came before it in the order of batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from etl.contract import IS_DELETED, Source
from etl.db.statements import equal, names, run, scalar
from etl.sources import FEEDS


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot of a load: its feed, its files with their checksums, and what it ends.

    ``held``: keys that were there before it; ``ending``: those of them that it lacks.
    """

    source: Source
    file_names: list[str]
    checksums: list[UUID]
    held: int
    ending: int

    @property
    def is_over_limit(self) -> bool:
        """Whether it ends more than the feed declares."""
        return self.source.snapshot_limit.refuses(self.ending, self.held)

    def __str__(self) -> str:
        return f"{' and '.join(self.file_names)} lacks {self.ending:,} of {self.held:,} keys"


def of_load(connection: psycopg.Connection[Any], build: Mapping[str, Any]) -> list[Snapshot]:
    """The snapshots among the files that a load has just staged, one a feed.

    ``build``: load_id, batch_id and as_of of the load; statuses and is_rebuild of its build.
    """
    rows = run(connection, "stage/snapshot.snapshots_of_load", dict(build)).fetchall()
    found = []
    for feed, files, checksums in rows:
        values = {**build, "feed": feed}
        loads = scalar(connection, "stage/snapshot.loads_before", values)
        counts = count_ending(connection, FEEDS[feed], {**values, "loads": loads})
        found.append(Snapshot(FEEDS[feed], files, checksums, *counts))
    return found


def count_ending(
    connection: psycopg.Connection[Any], source: Source, values: dict[str, Any]
) -> tuple[int, int]:
    """How many keys are there after ``loads``, in their order, and how many ``load_id`` lacks."""
    if not values["loads"]:
        return 0, 0
    marked = sql.Identifier("s", IS_DELETED.name) if source.deletable else sql.SQL("false")
    held, ending = run(
        connection,
        "stage/snapshot.count_ending",
        values,
        table=sql.Identifier(source.table),
        keys_of_row=names(source.key, "s"),
        first_key=sql.Identifier(source.key[0]),
        key_p_h=equal(source.key, "p", "h"),
        marked=marked,
    ).fetchone() or (0, 0)
    return held, ending
