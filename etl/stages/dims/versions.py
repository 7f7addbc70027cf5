"""Versions: the rows of a slowly changing dimension, whoever makes them.

Versions without values are the unknown row, and those inferred for keys that only facts name.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import names, run, scalar, statement
from etl.render import hashing
from etl.stages.dims import fragments
from etl.warehouse.tables import Dimension

# What a version has besides the surrogate key, the columns of its feed and those that it looks up.
_OWN = (
    *("validity_start_ts", "validity_end_ts", "current_flag", "attr_hash", "hash_version"),
    *("is_inferred", "load_id", "created_at", "known_from_ts"),
)


def complete(dimension: Dimension, given: sql.Composed) -> sql.Composed:
    """The query of all columns of versions of which ``given`` has keys, values and validity."""
    return statement("dims/version.complete", **fragments.of_dimension(dimension), given=given)


def insertion(dimension: Dimension, given: sql.Composed) -> sql.Composed:
    """The statement that adds the versions that a query gives."""
    feed_columns = (c.name for c in dimension.feed.columns)
    looked_up = (lookup.column for lookup in dimension.lookups)
    return statement(
        "dims/version.insert",
        dim=sql.Identifier(dimension.table),
        table_columns=names((dimension.sk, *feed_columns, *looked_up, *_OWN)),
        versions=complete(dimension, given),
    )


def insert(
    connection: psycopg.Connection[Any],
    dimension: Dimension,
    given: sql.Composed,
    values: dict[str, Any],
) -> int:
    """Add the versions that a query gives; how many.

    ``values``: at least the ``load_id`` and ``hash_version`` of the versions.
    """
    return connection.execute(insertion(dimension, given), values).rowcount


def last_sk(connection: psycopg.Connection[Any], dimension: Dimension) -> int:
    """The highest surrogate key ever given; one that was removed is not given again."""
    return int(
        scalar(
            connection,
            "dims/version.last_sk",
            dim=sql.Identifier(dimension.table),
            past=sql.Identifier(dimension.past),
            sk=sql.Identifier(dimension.sk),
        )
    )


def analyze(connection: psycopg.Connection[Any], dimension: Dimension) -> None:
    """Renew the planner's statistics of the columns by which versions are found."""
    looked_up = (lookup.column for lookup in dimension.lookups)
    own = ("validity_start_ts", "validity_end_ts", "current_flag", "load_id")
    run(
        connection,
        "dims/version.analyze",
        dim=sql.Identifier(dimension.table),
        looked_up=names((dimension.sk, *dimension.key, *looked_up, *own)),
    )


def ensure_unknown(connection: psycopg.Connection[Any], dimension: Dimension) -> int:
    """Give a slowly changing dimension its row -1, for facts that name no key; how many it got."""
    # No feed can bring an empty key or a year below 1900, so nothing meets this row.
    keys = sql.SQL(", ").join(
        sql.SQL("''::text as {}" if _is_text(dimension, key) else "-1 as {}").format(
            sql.Identifier(key)
        )
        for key in dimension.key
    )
    values = {"load_id": 0}
    return _insert_empty(connection, dimension, "unknown_version", values, unknown_key=keys)


def infer(connection: psycopg.Connection[Any], dimension: Dimension, load_id: int) -> None:
    """Give every key of the temporary table ``unknown_key`` an inferred version."""
    values = {"load_id": load_id, "last_sk": last_sk(connection, dimension)}
    _insert_empty(connection, dimension, "inferred_versions", values)


def _insert_empty(
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
    values = values | {"hash_version": dimension.hash_version}
    return insert(connection, dimension, given, values)


def _is_text(dimension: Dimension, column: str) -> bool:
    return dimension.feed.column(column).type.stored == "text"


def rehash(connection: psycopg.Connection[Any], dimension: Dimension) -> int:
    """Hash every version again if the definition of the hash has changed; how many.

    No version is made: what was loaded is the same, only its hash is another.
    """
    parts = fragments.of_dimension(dimension)
    made_by = scalar(connection, "dims/version.hash_version", **parts)
    if made_by in (None, dimension.hash_version):
        return 0
    values = {"hash_version": dimension.hash_version}
    return run(connection, "dims/version.rehash", values, **parts).rowcount
