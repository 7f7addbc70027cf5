"""Cubes: tables kept equal to their definitions, after a daily batch by what it changed.

``sql/cubes/<name>.sql`` says what a cube is: its ``definition``, a plain query, and its
``columns``, and what its refresh shares with it. The comment of the table ends with a mark of that
file, so that a changed definition is noticed and the cube made anew, and with the load that the
cube is made through. Two paths lead to the same rows:

- whole: the definition is run; a new cube is filled from it, of one that is there only the rows
  that differ are written;
- by what changed since the load that all cubes are made through: the tables of the past hold every
  row as it was then, so what the changes add and take is known to the cent. It costs what
  changed and not what there is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg
import xxhash
from psycopg import sql

from etl.db.statements import assign, differ, equal, names, read_file, run, scalar, statement
from etl.errors import SchemaError
from etl.render import claim_status
from etl.warehouse.tables import CUBES, DIMENSIONS, FACTS, LIVE, Build, Cube, Dimension, Fact

# Up to so many changes, or such a share of the claims, cost less to follow than to make all anew.
_FEW = 50_000
_FEW_OF_CLAIMS = 0.05

# What the cubes take of a fact, and what tells one row from another.
_TAKEN = {
    "claim": names(
        (
            *("claim_id", "service_date", "member_sk", "provider_sk", "plan_sk", "status"),
            *("claim_amount", "allowed_amount", "paid_amount", "load_id"),
        )
    ),
    "enrollment": names(
        ("enrollment_id", "plan_sk", "start_date", "end_date", "coverage_days", "load_id")
    ),
}

_DAILY = "claims_daily_member"
_METAL = "claims_by_plan_metal_month"
_HIGH_COST = "high_cost_member_tracking"
_SPECIALTY = "utilization_by_specialty"


@dataclass(frozen=True, slots=True)
class Made:
    """How the cubes were made: rows written of each, and whether by what had changed."""

    rows: dict[str, int]
    by_change: bool


@dataclass(frozen=True, slots=True)
class _Held:
    """A cube as it is held: as a table or a view (r, m), as which definition says, through what."""

    kind: str
    comment: str

    @property
    def through(self) -> int | None:
        """The load that it is made through, where that is known."""
        found = re.search(r" Made through load (\d+)\.$", self.comment)
        return int(found[1]) if found else None

    def is_as_defined(self, cube: Cube) -> bool:
        return self.kind == "r" and self.comment.startswith(_comment(cube))


def run_cubes(
    connection: psycopg.Connection[Any],
    build: Build = LIVE,
    *,
    whole: bool = False,
    on_cubes: Callable[[int], None] = lambda _: None,
) -> Made:
    """Make the cubes of a build, or bring them up to date; by what changed unless ``whole``.

    ``on_cubes`` is told of every few that are done. Runs in the caller's transaction, whose search
    path leads to the tables of the same build. Raises ``SchemaError`` if a changed cube cannot be
    replaced because other views read from it.
    """
    schemas = build.schemas
    held = {cube.name: _held(connection, cube, schemas.cubes) for cube in CUBES.values()}
    entries: tuple[Dimension | Fact, ...] = (*DIMENSIONS.values(), *FACTS.values())
    for entry in entries:
        index = f'"{schemas.warehouse}"."{entry.past}_known_to_load_id_idx"'
        run(connection, "cubes/changes.summarize", {"index": index})
    made_through = scalar(connection, "cubes/changes.made_through", build.values)
    since = None if whole else _since(held)
    if since is not None and _are_few(connection, since):
        made = Made(_follow(connection, schemas.cubes, since), by_change=True)
        on_cubes(len(made.rows))
    else:
        made = Made({}, by_change=False)
        for cube in CUBES.values():
            made.rows[cube.name] = run_cube(connection, cube, schemas.cubes)["rows"]
            on_cubes(1)
    for cube in CUBES.values():
        _describe(connection, cube, schemas.cubes, made_through)
    return made


def run_cube(connection: psycopg.Connection[Any], cube: Cube, schema: str) -> dict[str, int]:
    """Make one cube in ``schema``, or bring it to its definition whole; how many rows it wrote.

    What it is made through is not known afterwards. Transaction and errors as of ``run_cubes``.
    """
    held = _held(connection, cube, schema)
    if held is None:
        rows = _create(connection, cube, schema, cube.name)
    elif held.is_as_defined(cube):
        rows = _merge(connection, cube, schema, definition(cube))
        _describe(connection, cube, schema, None)
    else:
        rows = _replace(connection, cube, schema, held)
    run(connection, "cubes/build.analyze", cube=sql.Identifier(schema, cube.name))
    return {"rows": rows}


def definition(cube: Cube) -> sql.Composed:
    """The query that a cube is kept equal to."""
    return part_of(cube, "definition")


def part_of(cube: Cube, name: str) -> sql.Composed:
    """A statement of a cube's file, which may take in those that come before it."""
    parts: dict[str, sql.Composable] = {"state": claim_status.state()}
    for earlier in read_file(f"cubes/{cube.name}"):
        if earlier == name:
            break
        parts[earlier] = statement(f"cubes/{cube.name}.{earlier}", **parts)
    return statement(f"cubes/{cube.name}.{name}", **parts)


def _held(connection: psycopg.Connection[Any], cube: Cube, schema: str) -> _Held | None:
    found = run(connection, "cubes/build.held", {"schema": schema, "name": cube.name}).fetchone()
    return _Held(*found) if found else None


def _since(held: dict[str, _Held | None]) -> int | None:
    """The load that all cubes are made through as they are defined; none if they are not."""
    found = {
        cube.through if cube is not None and cube.is_as_defined(CUBES[name]) else None
        for name, cube in held.items()
    }
    return found.pop() if len(found) == 1 else None


def _are_few(connection: psycopg.Connection[Any], since: int) -> bool:
    """Whether little enough changed since that load for following it to be worth its while."""
    row = run(connection, "cubes/changes.size", {"through": since}).fetchone()
    changed, claims = row if row else (0, 0)
    return bool(changed <= max(_FEW, _FEW_OF_CLAIMS * claims))


def _create(connection: psycopg.Connection[Any], cube: Cube, schema: str, name: str) -> int:
    """Make a cube under a name; its rows."""
    table = sql.Identifier(schema, name)
    rows = run(connection, "cubes/build.create", cube=table, definition=definition(cube)).rowcount
    run(
        connection,
        "cubes/build.add_grain",
        index=sql.Identifier(f"{name}_grain_idx"),
        cube=table,
        grain=names(cube.grain),
    )
    run(connection, "cubes/build.comment_on_cube", cube=table, comment=sql.Literal(_comment(cube)))
    for column, description in _columns(connection, cube):
        run(
            connection,
            "cubes/build.comment_on_column",
            cube=table,
            column=sql.Identifier(column),
            comment=sql.Literal(description),
        )
    return rows


def _merge(
    connection: psycopg.Connection[Any], cube: Cube, schema: str, query: sql.Composable
) -> int:
    """Bring a cube to the rows of a query, writing only what differs; rows written."""
    columns = [column for column, _ in _columns(connection, cube)]
    others = [column for column in columns if column not in cube.grain]
    run(connection, "cubes/build.want", definition=query)
    run(connection, "cubes/build.analyze_wanted")
    written = run(
        connection,
        "cubes/build.merge",
        cube=sql.Identifier(schema, cube.name),
        same_grain=equal(cube.grain, "c", "w"),
        is_changed=differ(others, "c", "w"),
        assign=assign(others, "w"),
        columns=names(columns),
        values=names(columns, "w"),
    ).rowcount
    run(connection, "cubes/build.drop_wanted")
    return written


def _replace(connection: psycopg.Connection[Any], cube: Cube, schema: str, held: _Held) -> int:
    """Make the cube anew; who could read it still can. Readers wait from its drop to the commit."""
    grants = run(connection, "cubes/build.grants", {"schema": schema, "name": cube.name}).fetchall()
    rows = _create(connection, cube, schema, f"{cube.name}_next")
    old = sql.Identifier(schema, cube.name)
    try:
        run(connection, f"cubes/build.drop_{'table' if held.kind == 'r' else 'view'}", cube=old)
    except psycopg.errors.DependentObjectsStillExist as error:
        raise SchemaError(
            f"The definition of {schema}.{cube.name} has changed, and other views read from it.",
            "Drop those views, run make cubes, then create them again.",
        ) from error
    run(
        connection,
        "cubes/build.rename",
        cube=sql.Identifier(schema, f"{cube.name}_next"),
        name=sql.Identifier(cube.name),
    )
    run(
        connection,
        "cubes/build.rename_index",
        index=sql.Identifier(schema, f"{cube.name}_next_grain_idx"),
        name=sql.Identifier(f"{cube.name}_grain_idx"),
    )
    kept = {name for (name, _) in _columns(connection, cube)}
    for column, grant in grants:
        if column is None or column in kept:
            connection.execute(sql.SQL(cast(LiteralString, grant)))
    return rows


def _columns(connection: psycopg.Connection[Any], cube: Cube) -> list[tuple[str, str]]:
    """The cube's columns in order, each with what it means."""
    return run(connection, f"cubes/{cube.name}.columns").fetchall()


def _follow(connection: psycopg.Connection[Any], schema: str, since: int) -> dict[str, int]:
    """Bring all cubes up to what changed since that load; rows written by cube."""
    _find_changes(connection, since)
    run(connection, "cubes/refresh.months_before")
    month_before = scalar(connection, "cubes/refresh.last_month")
    run(connection, "cubes/refresh.no_moved_days")
    rows = {_DAILY: run(connection, "cubes/refresh.claims_daily_member").rowcount}
    # The member-months of the second are those of the first.
    for name in (_METAL, _SPECIALTY):
        query = statement(f"cubes/refresh.{name}")
        rows[name] = _merge(connection, CUBES[name], schema, query)
    months = {
        "month_before": month_before,
        "month_now": scalar(connection, "cubes/refresh.last_month"),
    }
    run(connection, "cubes/refresh.find_concerned", months)
    run(connection, "cubes/changes.analyze", table=sql.Identifier("concerned"))
    high_cost = {part: part_of(CUBES[_HIGH_COST], part) for part in ("threshold", "windows")}
    run(connection, "cubes/refresh.track_concerned", months, **high_cost)
    gone = run(connection, "cubes/refresh.drop_untracked", months).rowcount
    rows[_HIGH_COST] = gone + run(connection, f"cubes/refresh.{_HIGH_COST}").rowcount
    return rows


def _find_changes(connection: psycopg.Connection[Any], since: int) -> None:
    """Find what changed since a load: tables ``movement`` and ``coverage_movement``."""
    through = {"through": since}
    taken = {**_TAKEN, "state": claim_status.state()}

    def find(name: str, *tables: str) -> int:
        found = run(connection, f"cubes/changes.{name}", through, **taken).rowcount
        for table in tables:
            run(connection, "cubes/changes.analyze", table=sql.Identifier(table))
        return found

    find("followed")
    find("plans_were", "plan_was")
    find("providers_were", "provider_was")
    find("members_were", "member_was")
    find("claims_were", "claim_was")
    find("claims_are", "claim_is")
    find("claims_are_elsewhere")
    if find("providers_renamed"):
        find("claims_of_providers", "claim_was", "claim_is")
    plans_renamed = find("plans_renamed")
    if plans_renamed:
        find("claims_of_plans", "claim_was", "claim_is")
    find("movement", "movement")
    find("enrollments_were", "enrollment_was")
    find("enrollments_are", "enrollment_is")
    if plans_renamed:
        find("enrollments_same")
    find("enrollments_told_again")
    find("coverage_movement")
    find("standing_claims", "standing_claims")


def _describe(
    connection: psycopg.Connection[Any], cube: Cube, schema: str, through: int | None
) -> None:
    """Say in the catalog what the cube is and through which load it is made."""
    said = _comment(cube) + ("" if through is None else f" Made through load {through}.")
    table = sql.Identifier(schema, cube.name)
    run(connection, "cubes/build.comment_on_cube", cube=table, comment=sql.Literal(said))


def _comment(cube: Cube) -> str:
    """The catalog comment of the cube but for the load; it changes when the definition does."""
    file = read_file(f"cubes/{cube.name}")
    texts = (*file.values(), claim_status.state().as_string())
    mark = xxhash.xxh3_64_hexdigest("".join(texts).encode())
    return f"{cube.description} One row a {' and '.join(cube.grain)}. Definition {mark}."
