"""Partitions of staging by ranges of loads: found for a load, or made of its rows.

A load that no partition is for yet fills a table of its own, which then becomes the partition of
it and of loads after it: its indexes are made after the rows have come, and no reader waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.feed import Feed
from etl.db import steps
from etl.db.statements import run
from etl.stages import bulk
from etl.warehouse import staging

_FILE = "stage/load_ranges"


@dataclass(frozen=True, slots=True)
class Into:
    """Where the rows of a file go; ``is_frozen``: nobody reads them before they are complete."""

    table: str
    is_frozen: bool = False


@contextmanager
def opened(
    connection: psycopg.Connection[Any],
    feed: Feed,
    load_id: int,
    size_bytes: int,
    *,
    is_rebuild: bool,
) -> Iterator[Into]:
    """What takes the rows of a load's file; afterwards they are rows of the feed's table.

    ``size_bytes``: of the file. ``is_rebuild``: nobody reads the table yet.
    """
    if feed.name not in staging.PARTITIONED:
        with _whole(connection, feed, size_bytes, is_rebuild=is_rebuild) as into:
            yield into
    elif of_load(connection, feed, load_id):
        yield Into(feed.table)
    else:
        name = staging.partition_of(feed.table, load_id)
        parts: dict[str, sql.Composable] = {
            "table": sql.Identifier(feed.table),
            "partition": sql.Identifier(name),
        }
        run(connection, f"{_FILE}.create", **parts)
        yield Into(name, is_frozen=is_rebuild)
        _attach(connection, feed, load_id, size_bytes, parts)


@contextmanager
def _whole(
    connection: psycopg.Connection[Any], feed: Feed, size_bytes: int, *, is_rebuild: bool
) -> Iterator[Into]:
    """A table without partitions: one that nobody reads does without indexes meanwhile."""
    if not (is_rebuild and bulk.is_worth(connection, feed.table, size_bytes)):
        yield Into(feed.table)
        return
    with bulk.without_indexes(connection, feed.table):
        yield Into(feed.table, is_frozen=bulk.empty_if_no_rows(connection, feed.table))


def table_of(connection: psycopg.Connection[Any], feed: Feed, load_id: int) -> str:
    """Name of the table that has a load's rows: a partition, or the feed's whole."""
    return of_load(connection, feed, load_id) or feed.table


def of_load(connection: psycopg.Connection[Any], feed: Feed, load_id: int) -> str | None:
    """Name of the partition that a load's rows of a feed are in; ``None`` if there is none."""
    values = {"table": feed.table, "load_id": load_id}
    found = run(connection, f"{_FILE}.of_load", values).fetchone()
    return found[0] if found else None


def _attach(
    connection: psycopg.Connection[Any],
    feed: Feed,
    load_id: int,
    size_bytes: int,
    parts: dict[str, sql.Composable],
) -> None:
    """Let a filled table be the partition of a load and of those that come after it."""
    values = {"table": feed.table, "load_id": load_id}
    (next_first,) = run(connection, f"{_FILE}.next_first", values).fetchone() or (None,)
    end = load_id + staging.loads_of(size_bytes)
    end = end if next_first is None else min(end, next_first)
    steps.begin(f"Make indexes of new rows of {feed.table}")
    run(
        connection,
        f"{_FILE}.attach",
        first_load=sql.Literal(load_id),
        end_load=sql.Literal(end),
        **parts,
    )
