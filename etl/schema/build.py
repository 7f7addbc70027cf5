"""A full load's own schemas: made empty, filled apart, and put in the place of the live ones.

Renaming schemas takes no lock on a table, so an analyst's query never waits and never sees half
of a rebuild: it reads the old warehouse until the moment it reads the new one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from etl.access.roles import ROLES
from etl.contracts.types import DOMAINS
from etl.db.statements import run, scalar
from etl.schema import dependents, layout, repeatable
from etl.warehouse.tables import CUBES, LIVE, NEXT, RETIRED, Schemas

if TYPE_CHECKING:
    from sqlalchemy import MetaData


def drop(connection: psycopg.Connection[Any], schemas: Schemas) -> None:
    """Clear a build's schemas away."""
    for schema in reversed(layout.found(connection, schemas).names):
        run(connection, "rebuild/swap.drop_schema", schema=sql.Identifier(schema))


def create(connection: psycopg.Connection[Any], schemas: Schemas = NEXT.schemas) -> None:
    """Make a build's schemas with empty tables, as the contracts say, and what guards them."""
    schemas = layout.planned(connection, schemas)
    with connection.transaction():
        for schema in schemas.names:
            run(connection, "schema/migration.create_schema", schema=sql.Identifier(schema))
        connection.execute(_tables_made(schemas))
        if schemas.has_history:
            layout.place(connection, schemas, _tables(schemas))
        repeatable.ensure(connection, [repeatable.guards()], schemas)


@cache
def _tables(schemas: Schemas) -> MetaData:
    """The declared tables of a build, which take long to declare."""
    from etl.schema.warehouse_tables import tables_of_build

    return tables_of_build(schemas)


@cache
def _tables_made(schemas: Schemas) -> sql.SQL:
    """The hundreds of statements that make a build's tables, as one text: one round trip."""
    from sqlalchemy import create_mock_engine
    from sqlalchemy.sql.base import Executable

    made: list[Any] = []

    def keep(statement: Executable, *_: Any, **__: Any) -> None:
        made.append(statement)

    # Only with names for values is a percent sign in a text left as it is.
    server = create_mock_engine("postgresql+psycopg://", keep, paramstyle="named")
    _tables(schemas).create_all(server, checkfirst=False)
    texts = ";".join(str(statement.compile(dialect=server.dialect)) for statement in made)
    return sql.SQL(texts)


def finish(connection: psycopg.Connection[Any], schemas: Schemas = NEXT.schemas) -> None:
    """Put the views on a build's tables, once no load puts a table in another's place."""
    repeatable.ensure(connection, [repeatable.of_build()], schemas)


def made(schemas: Schemas) -> list[tuple[str, str]]:
    """Schema and name of every table, column, view, function and domain of a build."""
    tables = _tables(schemas).tables.values()
    objects = repeatable.in_layout((*repeatable.of_build(), *repeatable.on_cubes()), schemas)
    columns = ((table, column) for table in tables for column in table.columns)
    return [
        *((str(table.schema), table.name) for table in tables),
        *((str(table.schema), f"{table.name}.{column.name}") for table, column in columns),
        *((entry.place.in_build(schemas), entry.place.name) for entry in objects),
        *((schemas.cubes, name) for name in CUBES),
        *((schemas.staging, domain.name) for domain in DOMAINS),
    ]


def kept_builds(connection: psycopg.Connection[Any]) -> list[Schemas]:
    """The builds that were replaced and are still there, the oldest first."""
    numbers = run(connection, "rebuild/dependents.kept_builds")
    kept = [layout.found(connection, _kept_build(number)) for (number,) in numbers]
    is_retired = any(
        scalar(connection, "rebuild/swap.schema_exists", {"schema": schema})
        for schema in RETIRED.names
    )
    return [*kept, layout.found(connection, RETIRED)] if is_retired else kept


def _kept_build(number: int) -> Schemas:
    return Schemas.called(f"{{}}_kept_{number}")


def set_aside(connection: psycopg.Connection[Any]) -> None:
    """Keep what is left of the retired build under a number, so that the next can be retired."""
    numbers = [number for (number,) in run(connection, "rebuild/dependents.kept_builds")]
    kept = _kept_build(max(numbers, default=0) + 1)
    with connection.transaction():
        _rename_build(connection, RETIRED, kept)


def blockers(connection: psycopg.Connection[Any], schemas: Schemas = RETIRED) -> list[str]:
    """Objects outside a retired build that depend on it."""
    rows = run(connection, "rebuild/dependents.blockers", {"schemas": list(schemas.names)})
    return [name for (name,) in rows]


def views_of(connection: psycopg.Connection[Any], schemas: Schemas) -> list[dependents.View]:
    """The views on a retired build, with definitions that name the live one instead.

    In the caller's transaction, in which the retired build has the live names for a moment.
    """
    aside = Schemas.called("{}_aside")
    moves = ((LIVE.schemas, aside), (schemas, LIVE.schemas))
    for old, new in moves:
        _rename_build(connection, old, new)
    found = dependents.views(connection, LIVE.schemas)
    for old, new in reversed(moves):
        _rename_build(connection, new, old)
    return found


def swap(connection: psycopg.Connection[Any]) -> None:
    """Give the rebuild the live names; the caller's transaction makes it one moment.

    Grants on the live schemas, tables, views and functions carry over.
    """
    _rename_build(connection, LIVE.schemas, RETIRED)
    _rename_build(connection, NEXT.schemas, LIVE.schemas)
    for live_name, retired_name in zip(LIVE.schemas.names, RETIRED.names, strict=True):
        moved = {
            "from_schema": retired_name,
            "to_schema": live_name,
            "declared_roles": list(ROLES),
        }
        for kind in ("schema", "table", "function"):
            for (grant,) in run(connection, f"rebuild/swap.copy_{kind}_grants", moved).fetchall():
                connection.execute(grant)


def _rename_build(connection: psycopg.Connection[Any], old: Schemas, new: Schemas) -> None:
    """Give what there is of a build's schemas other names."""
    old = layout.found(connection, old)
    new = replace(new, has_history=old.has_history)
    for name, new_name in zip(old.names, new.names, strict=True):
        if scalar(connection, "rebuild/swap.schema_exists", {"schema": name}):
            run(
                connection,
                "rebuild/swap.rename_schema",
                schema=sql.Identifier(name),
                new_name=sql.Identifier(new_name),
            )
