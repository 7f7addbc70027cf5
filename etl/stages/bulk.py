"""Bulk: a table of a build that nobody reads yet, and very many rows that come to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from etl.db import steps
from etl.db.statements import run, scalar
from etl.stages import tables

# From so many rows, or bytes of a file, on it pays to make keys and indexes afterwards.
ROWS = 10_000
BYTES = 4 << 20


@contextmanager
def without_indexes(connection: psycopg.Connection[Any], table: str) -> Iterator[None]:
    """Do without keys, indexes and foreign keys, and make them again afterwards.

    Takes a lock that keeps readers out until the transaction ends.
    """
    parts = run(connection, "rebuild/bulk.parts", {"table": table}).fetchall()
    for drop, _ in parts:
        connection.execute(drop)
    yield
    steps.begin(f"Make keys and indexes of {table} again")
    for _, make in reversed(parts):
        connection.execute(make)


def replace(connection: psycopg.Connection[Any], table: str, made: str) -> None:
    """Put a table that was made of a query in the place of one with the same columns.

    It becomes all that the other was: rules, defaults, triggers, keys, indexes, foreign keys and
    descriptions. No view may read from the other yet.
    """
    declared = run(connection, "rebuild/bulk.declared", {"table": table}).fetchall()
    parts = run(connection, "rebuild/bulk.parts", {"table": table}).fetchall()
    for drop, _ in parts:
        connection.execute(drop)
    tables.drop(connection, table)
    run(connection, "rebuild/bulk.rename", made=sql.Identifier(made), table=sql.Identifier(table))
    steps.begin(f"Make keys and indexes of {table}")
    for make in (*(make for (make,) in declared), *(make for _, make in reversed(parts))):
        connection.execute(make)


def empty_if_no_rows(connection: psycopg.Connection[Any], table: str) -> bool:
    """Truncate a table without rows: COPY in this transaction can then freeze its rows."""
    is_empty = scalar(
        connection, "rebuild/bulk.is_empty", {"table": table}, emptied=sql.Identifier(table)
    )
    if is_empty:
        run(connection, "rebuild/bulk.empty", emptied=sql.Identifier(table))
    return is_empty


def is_worth(connection: psycopg.Connection[Any], table: str, size_bytes: int) -> bool:
    """Whether a file of this size brings most rows of the table, and enough bytes."""
    held = scalar(connection, "rebuild/bulk.size", {"table": table})
    return size_bytes > max(held, BYTES)
