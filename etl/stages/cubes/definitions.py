"""What a cube is: ``sql/cubes/<name>.sql``, its one source.

A file has a ``definition``, a plain query, and its ``columns``, each with what it means. That of a
cube that follows changes also has its ``follow``. Any other statement is a part of these.
"""

from __future__ import annotations

from typing import Any

import psycopg
import xxhash
from psycopg import sql

from etl.db.statements import assign, differ, equal, names, read_file, run, statement
from etl.render import claim_measures, claim_status
from etl.stages import tables
from etl.warehouse.tables import Cube


def definition(cube: Cube) -> sql.Composed:
    """The query whose rows the cube contains."""
    return part(cube, "definition")


def part(cube: Cube, name: str) -> sql.Composed:
    """A statement of the cube's file, which may take in those that come before it."""
    parts = {"state": claim_status.state(), **claim_measures.fragments()}
    for earlier in read_file(f"cubes/{cube.name}"):
        if earlier == name:
            break
        parts[earlier] = statement(f"cubes/{cube.name}.{earlier}", **parts)
    return statement(f"cubes/{cube.name}.{name}", **parts)


def columns(connection: psycopg.Connection[Any], cube: Cube) -> list[tuple[str, str]]:
    """The cube's columns in order, each with what it means."""
    return run(connection, f"cubes/{cube.name}.columns").fetchall()


def definition_hash(cube: Cube) -> str:
    """Another one as soon as a cube has to be made again: kind, grain, query or descriptions."""
    described = read_file(f"cubes/{cube.name}")["columns"]
    texts = (cube.kind, *cube.grain, cube.comment, definition(cube).as_string(), described)
    return xxhash.xxh3_64_hexdigest("\n".join(texts).encode())


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
