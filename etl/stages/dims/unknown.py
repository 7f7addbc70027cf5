"""The unknown row of each slowly changing dimension, for facts that name no key."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from etl.render import hashing
from etl.stages.dims import versions
from etl.warehouse.tables import DIMENSIONS, Dimension


def ensure_rows(connection: psycopg.Connection[Any]) -> None:
    """Give every slowly changing dimension its row -1."""
    for dimension in DIMENSIONS.values():
        versions.insert(
            connection,
            dimension,
            "dims/version.unknown_version",
            {"load_id": 0, "hash_version": dimension.hash_version},
            columns_of_unknown=sql.SQL(", ").join(
                _of_unknown(dimension, c.name) for c in dimension.feed.columns
            ),
            hash_of_nothing=hashing.of_nothing(dimension),
        )


def _of_unknown(dimension: Dimension, column: str) -> sql.Composed:
    """A column of the row -1: no feed can bring an empty key or a year below 1900."""
    stored = dimension.feed.column(column).type.stored
    value: str | int | None = None
    if column in dimension.key:
        value = "" if stored == "text" else -1
    return sql.SQL("{}::{} as {}").format(
        sql.Literal(value), sql.SQL(stored), sql.Identifier(column)
    )
