"""A cube that is a table, brought to the rows of a query."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import assign, differ, equal, names, run
from etl.stages import tables
from etl.stages.cubes.definitions import columns
from etl.warehouse.tables import Cube


def merge(
    connection: psycopg.Connection[Any], cube: Cube, schema: str, query: sql.Composable
) -> int:
    """Bring a table to the rows of a query, writing only what differs; rows written."""
    all_columns = [column for column, _ in columns(connection, cube)]
    others = [column for column in all_columns if column not in cube.grain]
    run(connection, "cubes/build.want", definition=query)
    tables.analyze(connection, "wanted")
    written = run(
        connection,
        "cubes/build.merge",
        cube=sql.Identifier(schema, cube.name),
        same_grain=equal(cube.grain, "c", "w"),
        is_changed=differ(others, "c", "w"),
        assign=assign(others, "w"),
        columns=names(all_columns),
        values=names(all_columns, "w"),
    ).rowcount
    tables.drop(connection, "wanted")
    tables.analyze(connection, schema, cube.name)
    return written
