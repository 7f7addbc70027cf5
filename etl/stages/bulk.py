"""Bulk: a table of a build that nobody reads yet, without its indexes while very many rows come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from etl.db.statements import run, scalar

# From so many rows, or bytes of a file, on it pays to make keys and indexes afterwards.
ROWS = 10_000
_BYTES = 4 << 20


@contextmanager
def without_indexes(connection: psycopg.Connection[Any], table: str) -> Iterator[None]:
    """Do without keys, indexes and foreign keys, and make them again afterwards.

    Takes a lock that keeps readers out until the transaction ends.
    """
    parts = run(connection, "rebuild/bulk.parts", {"table": table}).fetchall()
    for drop, _ in parts:
        connection.execute(drop)
    yield
    for _, make in reversed(parts):
        connection.execute(make)


def is_worth(connection: psycopg.Connection[Any], table: str, size_bytes: int) -> bool:
    """Whether a file of this size brings most of what the table will hold, and enough of it."""
    held = scalar(connection, "rebuild/bulk.size", {"table": table})
    return size_bytes > max(held, _BYTES)
