"""A full load's own schemas: made empty, filled apart, and put in the place of the live ones.

Renaming schemas takes no lock on a table, so an analyst's query never waits and never sees half
of a rebuild: it reads the old warehouse until the moment it reads the new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, LiteralString, cast

import psycopg
from psycopg import sql

from etl.contracts.types import DOMAINS
from etl.db.statements import equal, names, run, scalar
from etl.schema import dependents
from etl.schema.migrations import engine
from etl.warehouse.tables import (
    CUBES,
    DIMENSIONS,
    FACTS,
    LIVE,
    NEXT,
    RETIRED,
    Dimension,
    Fact,
    Schemas,
    past_of,
)

if TYPE_CHECKING:
    from sqlalchemy import MetaData

# Functions by which a session asks for what was known: statement, name, argument, what it is for.
_KNOWN_FUNCTIONS = (
    ("latest_load", "latest_load", "timestamptz", "The load that was live last at an instant."),
    (
        "known_load",
        "known_load",
        "bigint",
        "The load of the live build that stands for what was known after a load.",
    ),
    (
        "known_load_at_time",
        "known_load",
        "timestamptz",
        "The load of the live build that stands for what was known at an instant.",
    ),
    (
        "as_known_at",
        "as_known_at",
        "bigint",
        "Puts the session at what was known after a load: schema as_known shows it.",
    ),
    (
        "as_known_at_time",
        "as_known_at",
        "timestamptz",
        "Puts the session at what was known at an instant: schema as_known shows it.",
    ),
    ("as_known_now", "as_known_now", "", "Puts the session back to the present."),
    ("as_known_point", "as_known_point", "", "The load that the session is put at."),
)


def drop(connection: psycopg.Connection[Any], schemas: Schemas) -> None:
    """Clear a build's schemas away."""
    for schema in reversed(schemas.build):
        run(connection, "rebuild/swap.drop_schema", schema=sql.Identifier(schema))


def create(connection: psycopg.Connection[Any], url: str, schemas: Schemas = NEXT) -> None:
    """Make a build's schemas with empty tables, as the contracts say, and all that goes along."""
    from etl.schema.warehouse_tables import rebuilt

    for schema in schemas.build:
        run(connection, "schema/guard.create_schema", schema=sql.Identifier(schema))
    tables = rebuilt(schemas)
    with engine(url).begin() as sqlalchemy_connection:
        tables.create_all(sqlalchemy_connection, checkfirst=False)
    _guard(connection, schemas.warehouse)
    _keep_past(connection, schemas.warehouse)


def finish(connection: psycopg.Connection[Any], schemas: Schemas = NEXT) -> None:
    """Put the views on a build's tables, once no load puts a table in another's place."""
    from etl.schema.warehouse_tables import rebuilt

    tables = rebuilt(schemas)
    _add_views(connection, schemas, tables)
    _add_known(connection, schemas, tables)


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
    for entry, _ in _kept():
        for event in ("updates", "deletes"):
            run(
                connection,
                f"schema/past.keep_{event}",
                trigger=sql.Identifier(f"{entry.table}_keep_{event}"),
                table=sql.Identifier(schema, entry.table),
                schema=sql.Identifier(schema),
            )


def _add_views(connection: psycopg.Connection[Any], schemas: Schemas, tables: MetaData) -> None:
    """Put the analysts' views beside the tables."""
    _add_dimension_views(connection, schemas.warehouse, schemas, tables)
    for fact in FACTS.values():
        if fact.states:
            _view(
                connection,
                "views.fact_history",
                (schemas.warehouse, f"{fact.table}_history"),
                f"Every state that a {fact.name} was told to be in, one row a {fact.name} and "
                "load in which it changed; as_of and batch_id order them.",
                key=sql.Identifier(fact.key),
                date=sql.Identifier(fact.date),
                fact=sql.Identifier(schemas.warehouse, fact.table),
                earlier_states=sql.Identifier(schemas.warehouse, fact.state),
                states=names(fact.states),
                states_told=names(fact.states, "told"),
            )


def _add_dimension_views(
    connection: psycopg.Connection[Any], schema: str, schemas: Schemas, tables: MetaData
) -> None:
    """Put the views that every dimension has into a schema, on that schema's dimensions."""
    for dimension in DIMENSIONS.values():
        dim = sql.Identifier(schema, dimension.table)
        _view(
            connection,
            "views.current",
            (schema, f"{dimension.table}_current"),
            f"Current versions of {dimension.table}, one row a {dimension.name}.",
            dim=dim,
        )
        columns = _columns(tables, schemas, dimension.table)
        _view(
            connection,
            "views.as_is",
            (schema, f"{dimension.table}_as_is"),
            f"For every {dimension.sk}, the current row of its {dimension.name}, or the last one.",
            dim=dim,
            sk=sql.Identifier(dimension.sk),
            latest_sk=sql.Identifier(f"latest_{dimension.sk}"),
            columns_of_latest=names((c for c in columns if c != dimension.sk), "latest"),
            key_version_latest=equal(dimension.key, "version", "latest"),
            key_later_latest=equal(dimension.key, "later", "latest"),
        )


def _view(
    connection: psycopg.Connection[Any],
    kind: str,
    name: tuple[str, str],
    comment: str,
    **parts: sql.Composable,
) -> None:
    """Make a view and say in the catalog what it is for."""
    view = sql.Identifier(*name)
    run(connection, f"schema/{kind}", view=view, **parts)
    run(connection, "schema/views.describe", view=view, comment=sql.Literal(comment))


def _columns(tables: MetaData, schemas: Schemas, table: str) -> list[str]:
    return tables.tables[f"{schemas.warehouse}.{table}"].columns.keys()


def _add_known(connection: psycopg.Connection[Any], schemas: Schemas, tables: MetaData) -> None:
    """Let every table be read as it was known after a load: functions, and views on them.

    The functions are bound to the objects that they name and follow them when the schemas are
    renamed; bodies that are text name the ledger alone, which no rebuild replaces.
    """
    for kind, function, argument, comment in _KNOWN_FUNCTIONS:
        run(connection, f"schema/known.{kind}", schema=sql.Identifier(schemas.warehouse))
        _describe(connection, sql.Identifier(schemas.warehouse, function), argument, comment)
    kept = {entry.table: key for entry, key in _kept()}
    known_load = sql.Identifier(schemas.warehouse, "known_load")
    for table in ("dim_date", "dim_geography", *kept):
        function = sql.Identifier(schemas.warehouse, f"{table}_as_known_at")
        run(
            connection,
            "schema/known.kept" if table in kept else "schema/known.grown",
            function=function,
            table=sql.Identifier(schemas.warehouse, table),
            past=sql.Identifier(schemas.warehouse, past_of(table)),
            key=sql.Identifier(kept.get(table, "")),
            columns_of_held=names(_columns(tables, schemas, table), "held"),
            # Asked once a query, not once a row.
            known=sql.SQL("(select {}($1))").format(known_load),
        )
        _describe(connection, function, "bigint", f"{table} as it was known after a load.")
        _view(
            connection,
            "known.view",
            (schemas.as_known, table),
            f"{table} as it was known at the point that as_known_at() set; without one as it is.",
            function=function,
            point=sql.Identifier(schemas.warehouse, "as_known_point"),
        )
    _add_dimension_views(connection, schemas.as_known, schemas, tables)


def _describe(
    connection: psycopg.Connection[Any], function: sql.Identifier, argument: str, comment: str
) -> None:
    run(
        connection,
        "schema/known.describe",
        function=sql.SQL("{}({})").format(function, sql.SQL(cast(LiteralString, argument))),
        comment=sql.Literal(comment),
    )


def _kept() -> Iterator[tuple[Dimension | Fact, str]]:
    """The tables whose rows are kept as they were, each with the key of a row."""
    yield from ((dimension, dimension.sk) for dimension in DIMENSIONS.values())
    yield from ((fact, fact.key) for fact in FACTS.values())


def made(schemas: Schemas) -> list[tuple[str, str]]:
    """Schema and name of every table, column, view, function and domain of a build."""
    from etl.schema.warehouse_tables import rebuilt

    of_dimensions = [
        f"{d.table}_{view}" for d in DIMENSIONS.values() for view in ("current", "as_is")
    ]
    shown = ["dim_date", "dim_geography", *(entry.table for entry, _ in _kept())]
    in_warehouse = {
        *of_dimensions,
        *(f"{fact.table}_history" for fact in FACTS.values() if fact.states),
        *(name for _, name, _, _ in _KNOWN_FUNCTIONS),
        *(f"{table}_as_known_at" for table in shown),
        "refuse_overlapping_versions",
        "keep_past",
    }
    tables = rebuilt(schemas).tables.values()
    columns = ((table, column) for table in tables for column in table.columns)
    return [
        *((str(table.schema), table.name) for table in tables),
        *((str(table.schema), f"{table.name}.{column.name}") for table, column in columns),
        *((schemas.warehouse, name) for name in in_warehouse),
        *((schemas.as_known, name) for name in (*shown, *of_dimensions)),
        *((schemas.cubes, name) for name in CUBES),
        *((schemas.staging, domain.name) for domain in DOMAINS),
    ]


def kept_builds(connection: psycopg.Connection[Any]) -> list[Schemas]:
    """The builds that were replaced and are still there, the oldest first."""
    numbers = run(connection, "rebuild/dependents.kept_builds")
    kept = [_kept_build(number) for (number,) in numbers]
    is_retired = any(
        scalar(connection, "rebuild/swap.schema_exists", {"schema": schema})
        for schema in RETIRED.build
    )
    return [*kept, RETIRED] if is_retired else kept


def _kept_build(number: int) -> Schemas:
    return Schemas(*(f"{schema}_kept_{number}" for schema in LIVE.build))


def set_aside(connection: psycopg.Connection[Any]) -> None:
    """Keep what is left of the retired build under a number, so that the next can be retired."""
    numbers = [number for (number,) in run(connection, "rebuild/dependents.kept_builds")]
    kept = _kept_build(max(numbers, default=0) + 1)
    with connection.transaction():
        _rename_build(connection, RETIRED, kept)


def blockers(connection: psycopg.Connection[Any], schemas: Schemas = RETIRED) -> list[str]:
    """Objects outside a retired build that depend on it."""
    rows = run(connection, "rebuild/swap.blockers", {"schemas": list(schemas.build)})
    return [name for (name,) in rows]


def views_of(connection: psycopg.Connection[Any], schemas: Schemas) -> list[dependents.View]:
    """The views on a retired build, with definitions that name the live one instead.

    In the caller's transaction, in which the retired build bears the live names for a moment.
    """
    aside = Schemas(*(f"{schema}_aside" for schema in LIVE.build))
    moves = ((LIVE, aside), (schemas, LIVE))
    for old, new in moves:
        _rename_build(connection, old, new)
    found = dependents.views(connection, LIVE)
    for old, new in reversed(moves):
        _rename_build(connection, new, old)
    return found


def swap(connection: psycopg.Connection[Any]) -> None:
    """Let the rebuild bear the live names; the caller's transaction makes it one moment.

    Grants on the live schemas, tables, views and functions carry over.
    """
    _rename_build(connection, LIVE, RETIRED)
    _rename_build(connection, NEXT, LIVE)
    for live_name, retired_name in zip(LIVE.build, RETIRED.build, strict=True):
        moved = {"from_schema": retired_name, "to_schema": live_name}
        for kind in ("schema", "table", "function"):
            for (grant,) in run(connection, f"rebuild/swap.copy_{kind}_grants", moved).fetchall():
                connection.execute(grant)


def _rename_build(connection: psycopg.Connection[Any], old: Schemas, new: Schemas) -> None:
    """Give what there is of a build's schemas other names."""
    for name, new_name in zip(old.build, new.build, strict=True):
        if scalar(connection, "rebuild/swap.schema_exists", {"schema": name}):
            run(
                connection,
                "rebuild/swap.rename_schema",
                schema=sql.Identifier(name),
                new_name=sql.Identifier(new_name),
            )
