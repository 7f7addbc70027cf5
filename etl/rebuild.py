"""A full load's own schemas: made empty, filled apart, and put in the place of the live ones.

Renaming schemas takes no lock on a table, so an analyst's query never waits and never sees half
of a rebuild: it reads the old warehouse until the moment it reads the new one.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import MetaData

from etl.db.schema import engine
from etl.db.statements import equal, names, run, scalar
from etl.errors import UsageError
from etl.render.metadata import rebuilt
from etl.warehouse import DIMENSIONS, FACTS, LIVE, NEXT, Schemas

RETIRED = Schemas("staging_retired", "warehouse_retired", "cubes_retired", "as_known_retired")


def drop(connection: psycopg.Connection[Any], schemas: Schemas) -> None:
    """Clear a build's schemas away."""
    for schema in reversed(schemas.build):
        run(connection, "rebuild/swap.drop_schema", schema=sql.Identifier(schema))


def create(connection: psycopg.Connection[Any], url: str, schemas: Schemas = NEXT) -> None:
    """Make a build's schemas with empty tables, as the contracts say, and all that goes along."""
    for schema in schemas.build:
        run(connection, "schema/guard.create_schema", schema=sql.Identifier(schema))
    tables = rebuilt(schemas)
    with engine(url).begin() as sqlalchemy_connection:
        tables.create_all(sqlalchemy_connection, checkfirst=False)
    _guard(connection, schemas.warehouse)
    _keep_past(connection, schemas.warehouse)
    _add_views(connection, schemas.warehouse, tables)


def _guard(connection: psycopg.Connection[Any], schema: str) -> None:
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


def _keep_past(connection: psycopg.Connection[Any], schema: str) -> None:
    """Keep the rows of dimensions and facts as they were before they change."""
    run(connection, "schema/past.create_function", schema=sql.Identifier(schema))
    for entry in (*DIMENSIONS.values(), *FACTS.values()):
        for event in ("updates", "deletes"):
            run(
                connection,
                f"schema/past.keep_{event}",
                trigger=sql.Identifier(f"{entry.table}_keep_{event}"),
                table=sql.Identifier(schema, entry.table),
                schema=sql.Identifier(schema),
            )


def _add_views(connection: psycopg.Connection[Any], schema: str, tables: MetaData) -> None:
    """Put the analysts' views beside the tables."""

    def add(kind: str, name: str, comment: str, **parts: sql.Composable) -> None:
        view = sql.Identifier(schema, name)
        run(connection, f"schema/views.{kind}", view=view, **parts)
        run(connection, "schema/views.describe", view=view, comment=sql.Literal(comment))

    for dimension in DIMENSIONS.values():
        dim = sql.Identifier(schema, dimension.table)
        add(
            "current",
            f"{dimension.table}_current",
            f"Current versions of {dimension.table}, one row a {dimension.name}.",
            dim=dim,
        )
        columns = tables.tables[f"{schema}.{dimension.table}"].columns.keys()
        add(
            "as_is",
            f"{dimension.table}_as_is",
            f"For every {dimension.sk}, the current row of its {dimension.name}, or the last one.",
            dim=dim,
            sk=sql.Identifier(dimension.sk),
            latest_sk=sql.Identifier(f"latest_{dimension.sk}"),
            columns_of_latest=names((c for c in columns if c != dimension.sk), "latest"),
            key_version_latest=equal(dimension.key, "version", "latest"),
            key_later_latest=equal(dimension.key, "later", "latest"),
        )
    for fact in FACTS.values():
        if fact.states:
            add(
                "fact_history",
                f"{fact.table}_history",
                f"Every state that a {fact.name} was told to be in, one row a {fact.name} and "
                "load in which it changed; as_of orders them.",
                key=sql.Identifier(fact.key),
                date=sql.Identifier(fact.date),
                fact=sql.Identifier(schema, fact.table),
                state=sql.Identifier(schema, fact.state),
                states=names(fact.states),
                states_told=names(fact.states, "told"),
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
        moved = {"from_schema": retired_name, "to_schema": live_name}
        for kind in ("schema", "table"):
            for (grant,) in run(connection, f"rebuild/swap.copy_{kind}_grants", moved).fetchall():
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
