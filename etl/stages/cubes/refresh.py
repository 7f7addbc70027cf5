"""The stage ``cubes``: each cube contains the rows of its definition.

A cube is one of two kinds, as its entry says (``etl/warehouse/tables.py``):

- a materialized view, refreshed concurrently, and only where a table that it reads has changed;
- a table that follows what changed, where running the definition each day would cost too much
  (``follow.py``). Where too much changed for that, its definition is run and merged.

``ledger.cube_refresh`` has the load that each cube is made through, and a hash of the definition
that it was made by. A cube that is defined otherwise now, and each that reads from it, is made in a
schema apart and replaces the old one in the stage's transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from etl.access.roles import ROLES
from etl.db import steps
from etl.db.connection import set_search_path
from etl.db.statements import names, run
from etl.errors import SchemaError
from etl.schema import grants, repeatable
from etl.schema.objects import describe_columns
from etl.stages import tables
from etl.stages.cubes import changes, follow, passes
from etl.stages.cubes.definitions import (
    columns,
    definition_hash,
    enforces_grain,
    merge,
    queries,
)
from etl.warehouse.tables import CUBES, LIVE, NEXT, TABLE, VIEW, Build, Cube, Schemas

# Where cubes are made that replace others; it never outlives a transaction.
_MAKING = "cubes_in_the_making"
_KINDS = {"r": TABLE, "m": VIEW}


@dataclass(frozen=True, slots=True)
class Refresh:
    """What the stage did: rows written of each cube that was made or brought up to date.

    ``by_change``: whether the cubes that follow changes did, and were not made whole.
    """

    rows: dict[str, int]
    by_change: bool


@dataclass(frozen=True, slots=True)
class _Existing:
    """A cube that is there: its kind, the definition and the load it is made by and through."""

    kind: LiteralString
    definition_hash: str | None
    load_id: int | None


def run_cubes(
    connection: psycopg.Connection[Any],
    build: Build = LIVE,
    *,
    whole: bool = False,
    on_cubes: Callable[[int], None] = lambda _: None,
) -> Refresh:
    """Make the cubes of a build, or bring them up to date; all of their rows if ``whole``.

    ``on_cubes`` is given how many more are done. Runs in the caller's transaction, whose search
    path leads to the tables of the same build. Raises ``SchemaError`` if a changed cube cannot be
    replaced because other views read from it.
    """
    schemas = build.schemas
    existing = _existing(connection, schemas.cubes)
    sources = _sources(connection, schemas.cubes)
    changed = _changed(existing, sources)
    made_through = changes.made_through(connection, build)
    since = None if whole else _made_through_by_all(existing)
    read = set().union(*sources.values())
    unchanged = set() if since is None else changes.unchanged_tables(connection, read, since)
    rows: dict[str, int] = {}
    by_change = False
    if since is not None and not any(cube.is_followed for cube in changed):
        by_change = changes.are_few(connection, schemas.warehouse, since)
        if by_change:
            rows = follow.follow(connection, schemas.cubes, since)
    with _made_apart(connection, schemas, changed, existing):
        for cube in CUBES.values():
            with steps.within(cube.name):
                if cube in changed:
                    rows[cube.name] = _create(connection, cube, _MAKING)
                elif cube.is_followed and not by_change:
                    wanted = queries(connection, cube)
                    rows[cube.name] = merge(connection, cube, schemas.cubes, *wanted)
                elif not cube.is_followed and (since is None or sources[cube.name] - unchanged):
                    rows[cube.name] = _refresh(connection, schemas.cubes, cube)
            if cube not in changed and not rows.get(cube.name):
                unchanged.add(cube.name)
            on_cubes(1)
    _record(connection, schemas.cubes, made_through)
    return Refresh(rows, by_change)


def go_live(connection: psycopg.Connection[Any]) -> None:
    """Let what is noted of a rebuild's cubes be that of the live ones, whose place they take."""
    old, new = LIVE.schemas.cubes, NEXT.schemas.cubes
    run(connection, "cubes/build.forget", {"schema": old})
    run(connection, "cubes/build.move", {"from_schema": new, "to_schema": old})


def _record(connection: psycopg.Connection[Any], schema: str, made_through: int | None) -> None:
    """Note of each cube by which definition and through which load it is made."""
    for cube in CUBES.values():
        noted = {
            "schema": schema,
            "cube": cube.name,
            "definition_hash": definition_hash(cube),
            "load_id": made_through,
        }
        run(connection, "cubes/build.record", noted)


def _existing(connection: psycopg.Connection[Any], schema: str) -> dict[str, _Existing]:
    found = run(connection, "cubes/build.existing", {"schema": schema})
    return {
        name: _Existing(_KINDS[kind], definition_hash, load_id)
        for name, kind, definition_hash, load_id in found
    }


def _made_through_by_all(existing: dict[str, _Existing]) -> int | None:
    """The load that all cubes are made through that are there; none where it differs."""
    loads = {cube.load_id for name, cube in existing.items() if name in CUBES}
    return loads.pop() if len(loads) == 1 else None


def _sources(connection: psycopg.Connection[Any], schema: str) -> dict[str, set[str]]:
    """The tables and cubes that each view among the cubes reads."""
    sources: dict[str, set[str]] = defaultdict(set)
    for cube, source in run(connection, "cubes/build.sources", {"schema": schema}):
        sources[cube].add(source)
    return sources


def _changed(existing: dict[str, _Existing], sources: dict[str, set[str]]) -> list[Cube]:
    """The cubes that are missing or defined otherwise now, and those that read from them."""
    changed: list[Cube] = []
    for cube in CUBES.values():
        made_by = existing[cube.name].definition_hash if cube.name in existing else None
        reads_changed = sources[cube.name] & {other.name for other in changed}
        if made_by != definition_hash(cube) or reads_changed:
            changed.append(cube)
    return changed


@contextmanager
def _made_apart(
    connection: psycopg.Connection[Any],
    schemas: Schemas,
    changed: list[Cube],
    existing: dict[str, _Existing],
) -> Iterator[None]:
    """A schema in which changed cubes are made, and found before the old ones, which they replace.

    Who could read a cube still can. Readers wait from the drop of an old cube to the commit.
    """
    if not changed:
        yield
        return
    making = sql.Identifier(_MAKING)
    run(connection, "schema/migration.create_schema", schema=making)
    set_search_path(connection, [_MAKING, *schemas.path])
    yield
    set_search_path(connection, schemas.path)
    copied = {
        "from_schema": schemas.cubes,
        "to_schema": _MAKING,
        "declared_roles": list(ROLES),
    }
    for (grant,) in run(connection, "rebuild/swap.copy_table_grants", copied).fetchall():
        connection.execute(sql.SQL(cast(LiteralString, grant)))
    replaced = [(cube, existing[cube.name]) for cube in changed if cube.name in existing]
    with repeatable.cubes_replaced(connection, schemas):
        _drop(connection, schemas.cubes, reversed(replaced))
        for cube in changed:
            run(
                connection,
                "cubes/build.put_in_place",
                table_or_view=sql.SQL(cube.kind),
                cube=sql.Identifier(_MAKING, cube.name),
                schema=sql.Identifier(schemas.cubes),
            )
    grants.apply(connection, schemas)
    set_search_path(connection, schemas.path)
    run(connection, "schema/migration.drop_schema", schema=making)


def _create(connection: psycopg.Connection[Any], cube: Cube, schema: str) -> int:
    """Make a cube in a schema; its rows."""
    table = sql.Identifier(schema, cube.name)
    kind = sql.SQL(cube.kind)
    query, *further = queries(connection, cube)
    rows = run(
        connection, "cubes/build.create", table_or_view=kind, cube=table, definition=query
    ).rowcount
    rows += passes.add(connection, table, further)
    run(
        connection,
        enforces_grain(cube),
        index=sql.Identifier(cube.grain_index),
        cube=table,
        grain=names(cube.grain),
    )
    run(
        connection,
        "cubes/build.comment_on_cube",
        table_or_view=kind,
        cube=table,
        comment=sql.Literal(cube.comment),
    )
    connection.execute(describe_columns(table, dict(columns(cube))))
    tables.analyze(connection, schema, cube.name)
    return rows


def _drop(
    connection: psycopg.Connection[Any], schema: str, old: Iterable[tuple[Cube, _Existing]]
) -> None:
    """Drop cubes that others replace, each before the one that it reads from."""
    for cube, existing in old:
        try:
            run(
                connection,
                "cubes/build.drop",
                table_or_view=sql.SQL(existing.kind),
                cube=sql.Identifier(schema, cube.name),
            )
        except psycopg.errors.DependentObjectsStillExist as error:
            raise SchemaError(
                f"The definition of {schema}.{cube.name} has changed, and other views read it.",
                "Drop those views, run make cubes, then create them again.",
            ) from error


def _refresh(connection: psycopg.Connection[Any], schema: str, cube: Cube) -> int:
    """Refresh a view without keeping its readers waiting; rows written."""
    view = sql.Identifier(schema, cube.name)
    before = _rows_written(connection, view)
    run(connection, "cubes/build.refresh", cube=view)
    tables.analyze(connection, schema, cube.name)
    after = _rows_written(connection, view)
    return max(now - then for now, then in zip(after, before, strict=True))


def _rows_written(connection: psycopg.Connection[Any], cube: sql.Identifier) -> tuple[int, int]:
    asked = {"cube": cube.as_string(connection)}
    inserted, deleted = run(connection, "cubes/build.rows_written", asked).fetchone() or (0, 0)
    return inserted, deleted
