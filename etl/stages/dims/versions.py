"""Versions: the rows of a slowly changing dimension, whoever makes them."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import names, run, scalar, statement
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


def insert(
    connection: psycopg.Connection[Any],
    dimension: Dimension,
    given: sql.Composed,
    values: dict[str, Any],
) -> int:
    """Add the versions that a query gives; how many.

    ``values``: at least the ``load_id`` and ``hash_version`` of the versions.
    """
    feed_columns = (c.name for c in dimension.feed.columns)
    looked_up = (lookup.column for lookup in dimension.lookups)
    return run(
        connection,
        "dims/version.insert",
        values,
        dim=sql.Identifier(dimension.table),
        table_columns=names((dimension.sk, *feed_columns, *looked_up, *_OWN)),
        versions=complete(dimension, given),
    ).rowcount


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
    own = ("validity_start_ts", "validity_end_ts", "current_flag")
    run(
        connection,
        "dims/version.analyze",
        dim=sql.Identifier(dimension.table),
        looked_up=names((dimension.sk, *dimension.key, *looked_up, *own)),
    )
