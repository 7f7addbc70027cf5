"""What a cube is: ``sql/cubes/<name>.sql``, its one source.

A file has a ``definition``, a plain query, and its ``columns``, each with what it means. That of a
cube that follows changes also has its ``follow``, or its ``touched_members`` where rows of members
are made again. What adds up such rows has ``sums``, of which its definition is made. Any other
statement is a part of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, LiteralString

import psycopg
import xxhash
from psycopg import sql

from etl.access.classification import described_columns
from etl.db.statements import (
    Values,
    assign,
    differ,
    each,
    equal,
    names,
    read_file,
    run,
    statement,
)
from etl.render import care, claim_measures, claim_status
from etl.stages import tables
from etl.stages.cubes import passes
from etl.warehouse.tables import CUBES, NEXT, TABLE, Cube

_ALL = sql.SQL("true")


def definition(cube: Cube, of_months: sql.Composable = _ALL) -> sql.Composed:
    """The query whose rows the cube contains, or those of them of some months of service."""
    return part(cube, "definition", of_months=of_months)


def queries(connection: psycopg.Connection[Any], cube: Cube) -> list[sql.Composed]:
    """Queries that have the rows of a cube between them, each of which fits into memory."""
    conditions = passes.conditions(connection, cube)
    return [definition(cube, of_months) for of_months in conditions] or [definition(cube)]


def definition_of_touched(cube: Cube) -> sql.Composed:
    """Those of these rows that are of the members in the cube's table ``touched``."""
    of_members = statement("cubes/build.of_touched_members", members=sql.Identifier(cube.touched))
    return part(cube, "definition", of_members)


def part(
    cube: Cube,
    name: str,
    of_members: sql.Composable = _ALL,
    of_months: sql.Composable = _ALL,
) -> sql.Composed:
    """A statement of the cube's file, which may take in those that come before it.

    ``of_members``, ``of_months``: restrict it to rows of these members, or of these months of
    service, where it says where to put that.
    """
    parts = {
        "state": claim_status.state(),
        "of_members": of_members,
        "of_months": of_months,
        # By this a definition knows which build it is run in.
        "calendar_of_rebuild": sql.Literal(f"{NEXT.schemas.warehouse}.dim_date"),
        **claim_measures.fragments(),
        **care.fragments(),
    }
    for earlier in read_file(f"cubes/{cube.name}"):
        if earlier == name:
            break
        parts[earlier] = statement(f"cubes/{cube.name}.{earlier}", **parts)
    return statement(f"cubes/{cube.name}.{name}", **parts)


def columns(cube: Cube) -> list[tuple[str, str]]:
    """The cube's columns in order, each with what it means."""
    return [(column, meaning) for column, _, meaning in described_columns(f"cubes/{cube.name}")]


def enforces_grain(cube: Cube) -> LiteralString:
    """The statement that enforces a cube's grain, as far as what it is in the database can."""
    return "cubes/build.add_key" if cube.kind is TABLE else "cubes/build.add_grain"


def definition_hash(cube: Cube) -> str:
    """Another one as soon as a cube has to be made again: kind, grain, query or descriptions."""
    texts = (
        enforces_grain(cube),
        *cube.grain,
        cube.comment,
        definition(cube).as_string(),
        *(text for column in columns(cube) for text in column),
    )
    return xxhash.xxh3_64_hexdigest("\n".join(texts).encode())


def merge(
    connection: psycopg.Connection[Any],
    cube: Cube,
    schema: str,
    query: sql.Composable,
    *further: sql.Composable,
) -> int:
    """Bring a table to the rows of queries, writing only what differs; rows written."""
    parts = _want(connection, cube, schema, query, *further)
    return _written(
        connection, cube, schema, run(connection, "cubes/build.merge", **parts).rowcount
    )


def _merge_rows_of(
    connection: psycopg.Connection[Any], cube: Cube, schema: str, members: sql.Identifier
) -> int:
    """The same for the rows of these members, without a look at those of others."""
    parts = _want(connection, cube, schema, definition_of_touched(cube)) | {"members": members}
    written = run(connection, "cubes/build.delete_gone", **parts).rowcount
    run(connection, "cubes/build.drop_unchanged", **parts)
    written += run(connection, "cubes/build.write", **parts).rowcount
    return _written(connection, cube, schema, written)


def _want(
    connection: psycopg.Connection[Any],
    cube: Cube,
    schema: str,
    query: sql.Composable,
    *further: sql.Composable,
) -> dict[str, sql.Composable]:
    """Table ``wanted`` with the rows of queries, and what compares the cube with it."""
    all_columns = [column for column, _ in columns(cube)]
    others = [column for column in all_columns if column not in cube.grain]
    run(connection, "cubes/build.want", definition=query)
    passes.add(connection, sql.Identifier("pg_temp", "wanted"), further)
    tables.analyze_columns(connection, "wanted", cube.grain)
    return {
        "cube": sql.Identifier(schema, cube.name),
        "same_grain": equal(cube.grain, "c", "w"),
        "is_changed": differ(others, "c", "w"),
        "assign": assign(others, "w"),
        "columns": names(all_columns),
        "values": names(all_columns, "w"),
    }


def _written(connection: psycopg.Connection[Any], cube: Cube, schema: str, written: int) -> int:
    tables.drop(connection, "wanted")
    if written and tables.are_stale(connection, f"{schema}.{cube.name}"):
        tables.analyze(connection, schema, cube.name)
    return written


def merge_touched(
    connection: psycopg.Connection[Any], cube: Cube, schema: str, since: int
) -> dict[str, int]:
    """Make the rows of those members again of whom something changed since a load.

    Rows written, of the cube and of those that add up its rows.
    """
    touched = part(cube, "touched_members")
    return _merge_members(connection, cube, schema, {"since": since}, touched)


def merge_named(
    connection: psycopg.Connection[Any], cube: Cube, schema: str, members: Iterable[str]
) -> None:
    """Make the rows of these members again, and what adds them up."""
    named = statement("cubes/build.named_members")
    _merge_members(connection, cube, schema, {"named": list(members)}, named)
    tables.drop(connection, cube.touched)


def _merge_members(
    connection: psycopg.Connection[Any],
    cube: Cube,
    schema: str,
    values: Values,
    touched: sql.Composable,
) -> dict[str, int]:
    members = sql.Identifier(cube.touched)
    sums = [other for other in CUBES.values() if other.sums_of == cube.name]
    rows = dict.fromkeys([cube.name, *(other.name for other in sums)], 0)
    if not run(connection, "cubes/build.touch", values, touched=touched, members=members).rowcount:
        return rows
    tables.analyze(connection, cube.touched)
    of_members = statement("cubes/build.of_touched_members", members=members)
    for other in sums:
        before = sql.Identifier(other.before)
        run(connection, "cubes/build.before", before=before, sums=part(other, "sums", of_members))
    rows[cube.name] = _merge_rows_of(connection, cube, schema, members)
    for other in sums:
        if rows[cube.name]:
            query = _added_up(connection, other, schema, of_members)
            rows[other.name] = merge(connection, other, schema, query)
        tables.drop(connection, other.before)
    return rows


def _added_up(
    connection: psycopg.Connection[Any], cube: Cube, schema: str, of_members: sql.Composable
) -> sql.Composed:
    """The rows of a cube of sums, from its own and what touched members add and take away."""
    now = part(cube, "sums", of_members)
    summed = run(connection, "access/masked.no_rows", rows=now).description or ()
    columns_summed = [column.name for column in summed]
    measures = [column for column in columns_summed if column not in cube.grain]
    sums = statement(
        "cubes/build.added_up",
        grain=names(cube.grain),
        signed_sums=each("sum(sign * {0}) as {0}", measures),
        columns=names(columns_summed),
        cube=sql.Identifier(schema, cube.name),
        now=now,
        before=sql.Identifier(cube.before),
    )
    return statement(f"cubes/{cube.name}.definition", sums=sums)
