"""A full load's own schemas: made empty, filled apart, and put in the place of the live ones.

Renaming schemas takes no lock on a table, so an analyst's query never waits and never sees half
of a rebuild: it reads the old warehouse until the moment it reads the new one.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from etl.db.schema import engine
from etl.db.statements import run, scalar
from etl.errors import UsageError
from etl.render.metadata import rebuilt
from etl.warehouse import DIMENSIONS, LIVE, NEXT, Schemas

RETIRED = Schemas("staging_retired", "warehouse_retired", "cubes_retired")


def drop(connection: psycopg.Connection[Any], schemas: Schemas) -> None:
    """Clear a build's schemas away."""
    for schema in reversed(schemas.build):
        run(connection, "rebuild/swap.drop_schema", schema=sql.Identifier(schema))


def create(connection: psycopg.Connection[Any], url: str, schemas: Schemas = NEXT) -> None:
    """Make a build's schemas with empty tables, as the contracts say, and their guards."""
    for schema in schemas.build:
        run(connection, "schema/guard.create_schema", schema=sql.Identifier(schema))
    with engine(url).begin() as sqlalchemy_connection:
        rebuilt(schemas).create_all(sqlalchemy_connection, checkfirst=False)
    guard(connection, schemas.warehouse)


def guard(connection: psycopg.Connection[Any], schema: str) -> None:
    """Put the guard against overlapping versions on every slowly changing dimension."""
    run(connection, "schema/guard.create_function", schema=sql.Identifier(schema))
    for dimension in DIMENSIONS.values():
        for event in ("inserts", "updates"):
            run(
                connection,
                f"schema/guard.guard_{event}",
                trigger=sql.Identifier(f"{dimension.table}_guard_{event}"),
                table=sql.Identifier(schema, dimension.table),
                schema=sql.Identifier(schema),
                arguments=sql.SQL(", ").join(
                    sql.Literal(name) for name in (dimension.sk, *dimension.key)
                ),
            )


def clear_retired(connection: psycopg.Connection[Any]) -> None:
    """Drop what an earlier swap left behind; ``UsageError`` while somebody's object needs it."""
    blocked = blockers(connection)
    if blocked:
        raise UsageError(
            f"{', '.join(blocked[:3])} still reads from the warehouse before last.",
            "Drop and create it again, so that it reads from the live schemas; then run again.",
        )
    drop(connection, RETIRED)


def blockers(connection: psycopg.Connection[Any]) -> list[str]:
    """Objects outside a retired build that read from it."""
    rows = run(connection, "rebuild/swap.blockers", {"schemas": list(RETIRED.build)})
    return [name for (name,) in rows]


def swap(connection: psycopg.Connection[Any]) -> None:
    """Let the rebuild take the live place; the caller's transaction makes it one moment.

    Grants on the live schemas and tables carry over, and views that analysts built on them read
    from the new ones afterwards.
    """
    live = {"schemas": list(LIVE.build)}
    views = run(connection, "rebuild/swap.dependent_views", live).fetchall()
    for live_name, next_name, retired_name in zip(
        LIVE.build, NEXT.build, RETIRED.build, strict=True
    ):
        if scalar(connection, "rebuild/swap.schema_exists", {"schema": live_name}):
            _rename(connection, live_name, retired_name)
        _rename(connection, next_name, live_name)
        names = {"from_schema": retired_name, "to_schema": live_name}
        for kind in ("schema", "table"):
            for (grant,) in run(connection, f"rebuild/swap.copy_{kind}_grants", names).fetchall():
                connection.execute(grant)
    for schema, view, definition, options in views:
        run(
            connection,
            "rebuild/swap.replace_view",
            view=sql.Identifier(schema, view),
            definition=sql.SQL(definition.rstrip().removesuffix(";")),
            options=sql.SQL(f"with ({options})" if options else ""),
        )


def _rename(connection: psycopg.Connection[Any], name: str, new_name: str) -> None:
    run(
        connection,
        "rebuild/swap.rename_schema",
        schema=sql.Identifier(name),
        new_name=sql.Identifier(new_name),
    )
