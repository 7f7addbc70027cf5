"""Versions without values: the unknown row, and versions inferred for keys that only facts name."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import statement
from etl.render import hashing
from etl.stages.dims import fragments, versions
from etl.warehouse.tables import DIMENSIONS, Dimension


def ensure_unknown(connection: psycopg.Connection[Any]) -> None:
    """Give every slowly changing dimension its row -1, for facts that name no key."""
    for dimension in DIMENSIONS.values():
        # No feed can bring an empty key or a year below 1900, so nothing meets this row.
        keys = sql.SQL(", ").join(
            sql.SQL("''::text as {}" if _is_text(dimension, key) else "-1 as {}").format(
                sql.Identifier(key)
            )
            for key in dimension.key
        )
        _insert(connection, dimension, "unknown_version", {"load_id": 0}, unknown_key=keys)


def infer(connection: psycopg.Connection[Any], dimension: Dimension, load_id: int) -> int:
    """Give every key of the temporary table ``unknown_key`` an inferred version; how many."""
    values = {"load_id": load_id, "last_sk": versions.last_sk(connection, dimension)}
    return _insert(connection, dimension, "inferred_versions", values)


def _insert(
    connection: psycopg.Connection[Any],
    dimension: Dimension,
    name: str,
    values: dict[str, Any],
    **parts: sql.Composable,
) -> int:
    """Add the versions of the keys that a query of ``sql/dims/version.sql`` gives; how many."""
    of_dimension = fragments.of_dimension(dimension)
    given = statement(
        "dims/version.without_values",
        **of_dimension,
        keys_given=statement(f"dims/version.{name}", **of_dimension, **parts),
        hash_of_nothing=hashing.of_nothing(dimension),
        values_missing=sql.SQL(", ").join(
            sql.SQL("null::{} as {}").format(sql.SQL(c.type.stored), sql.Identifier(c.name))
            for c in dimension.attributes
        ),
    )
    return versions.insert(
        connection, dimension, given, values | {"hash_version": dimension.hash_version}
    )


def _is_text(dimension: Dimension, column: str) -> bool:
    return dimension.feed.column(column).type.stored == "text"
