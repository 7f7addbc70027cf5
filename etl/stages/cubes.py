"""Cubes: materialized views over the facts, made once and refreshed under their readers' eyes.

``sql/cubes/<name>.sql`` says what a cube is: its ``definition``, a plain query, and its
``columns``. The comment of the view ends with a mark of that text, so that a changed definition
is noticed and the cube made anew.
"""

from __future__ import annotations

from typing import Any, LiteralString, cast

import psycopg
import xxhash
from psycopg import sql

from etl.db.statements import names, read_file, run, scalar, statement
from etl.errors import SchemaError
from etl.warehouse import Cube


def run_cube(connection: psycopg.Connection[Any], cube: Cube, schema: str) -> dict[str, int]:
    """Make the cube in ``schema``, or refresh it if it is there as defined; its count of rows.

    Runs in the caller's transaction, whose search path leads to the facts of the same build.
    Raises ``SchemaError`` if a changed cube cannot be replaced because other views read from it.
    """
    held = scalar(connection, "cubes/build.held_comment", {"schema": schema, "name": cube.name})
    view = sql.Identifier(schema, cube.name)
    if held is None:
        _create(connection, cube, schema)
    elif held == _comment(cube):
        run(connection, "cubes/build.refresh", cube=view)
    else:
        _replace(connection, cube, schema)
    run(connection, "cubes/build.analyze", cube=view)
    return {"rows": scalar(connection, "cubes/build.count", cube=view)}


def _create(connection: psycopg.Connection[Any], cube: Cube, schema: str) -> None:
    view = sql.Identifier(schema, cube.name)
    definition = statement(f"cubes/{cube.name}.definition")
    run(connection, "cubes/build.create", cube=view, definition=definition)
    run(
        connection,
        "cubes/build.add_grain",
        index=sql.Identifier(f"{cube.name}_grain_idx"),
        cube=view,
        grain=names(cube.grain),
    )
    run(connection, "cubes/build.comment_on_cube", cube=view, comment=sql.Literal(_comment(cube)))
    for column, description in run(connection, f"cubes/{cube.name}.columns").fetchall():
        run(
            connection,
            "cubes/build.comment_on_column",
            cube=view,
            column=sql.Identifier(column),
            comment=sql.Literal(description),
        )


def _replace(connection: psycopg.Connection[Any], cube: Cube, schema: str) -> None:
    """Make the cube anew; who could read it still can. Readers wait until the commit."""
    grants = run(connection, "cubes/build.grants", {"schema": schema, "name": cube.name}).fetchall()
    view = sql.Identifier(schema, cube.name)
    try:
        run(connection, "cubes/build.drop", cube=view)
    except psycopg.errors.DependentObjectsStillExist as error:
        raise SchemaError(
            f"The definition of {schema}.{cube.name} has changed, and other views read from it.",
            "Drop those views, run make cubes, then create them again.",
        ) from error
    _create(connection, cube, schema)
    kept = {name for (name, _) in run(connection, f"cubes/{cube.name}.columns")}
    for column, grant in grants:
        if column is None or column in kept:
            connection.execute(sql.SQL(cast(LiteralString, grant)))


def _comment(cube: Cube) -> str:
    """The catalog comment of the view; it changes when the definition does."""
    file = read_file(f"cubes/{cube.name}")
    mark = xxhash.xxh3_64_hexdigest((file["definition"] + file["columns"]).encode())
    return f"{cube.description} One row a {' and '.join(cube.grain)}. Definition {mark}."
