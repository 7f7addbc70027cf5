"""The views and functions that people read a build by: as it is, and as it was known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from psycopg import sql

from etl.db.statements import equal, names
from etl.schema.noted import as_reader, identifies_persons
from etl.schema.objects import (
    Columns,
    NotedRows,
    Parts,
    Place,
    Refusal,
    SchemaObject,
    functions_of,
)
from etl.warehouse.code_sets import GROWING
from etl.warehouse.details import DETAILS
from etl.warehouse.places import LOCAL, NOT_AS_KNOWN, PLACES
from etl.warehouse.tables import DIMENSIONS, FACTS, Dimension, Fact, past_of

# The tables that are read as they were known, each with the key of a row; none of one that only
# grows.
KEYS: dict[str, tuple[str, ...] | None] = {
    **dict.fromkeys(GROWING),
    **{dimension.table: (dimension.sk,) for dimension in DIMENSIONS.values()},
    **{fact.table: (fact.key,) for fact in FACTS.values()},
    **{detail.table: detail.key for detail in DETAILS},
}
# Those that loads of a cluster change in schema history, on its coordinator.
_VERSIONED = {dimension.table for dimension in DIMENSIONS.values()} | {
    lookup.table for dimension in DIMENSIONS.values() for lookup in dimension.lookups
}


def readers() -> Iterator[SchemaObject]:
    """Views on a build's tables as they are, and as they were known after a load."""
    for dimension in DIMENSIONS.values():
        yield from _dimension_views("warehouse", dimension)
    for fact in FACTS.values():
        if fact.states:
            yield fact_history(fact)
    yield from functions_of("schema/known", "warehouse")
    for table in KEYS:
        yield from _as_known(table)
    for dimension in DIMENSIONS.values():
        yield from _dimension_views("as_known", dimension)


def readers_of_cluster() -> Iterator[SchemaObject]:
    """What readers who are noted find on a cluster under the names of what joins published rows."""
    for dimension in filter(identifies_persons, DIMENSIONS.values()):
        view = as_reader(at_versions(as_is("warehouse", dimension)))
        place = Place("versions", view.place.name)
        yield replace(view, place=place, is_of_cluster=True)


def _dimension_views(schema: str, dimension: Dimension) -> Iterator[SchemaObject]:
    """The views on a dimension; where it identifies persons, reading them is noted."""
    for view in dimension_views(schema, dimension):
        if not identifies_persons(dimension):
            yield view
        elif view.statement == "schema/views.as_is" and schema == "warehouse":
            # On a cluster facts are joined to it, by who may read what is published.
            yield as_reader(replace(view, on_cluster="schema/views.as_is_published"))
        else:
            yield as_reader(at_versions(view))


def at_versions(view: SchemaObject) -> SchemaObject:
    """A view that reads dimensions which say who a person is where looks at them are noted.

    On a cluster that is where loads change them, on one server the same table.
    """
    kept = {
        Place("warehouse", dimension.table): NotedRows(dimension.table)
        for dimension in DIMENSIONS.values()
        if identifies_persons(dimension)
    }
    parts = {
        name: kept.get(part, part) if isinstance(part, Place) else part
        for name, part in view.parts.items()
    }
    return replace(view, parts=parts)


def fact_history(fact: Fact) -> SchemaObject:
    """The view of every state that a fact was in."""
    return SchemaObject(
        "view",
        Place("warehouse", f"{fact.table}_history"),
        "schema/views.fact_history",
        {
            "key": sql.Identifier(fact.key),
            "date": sql.Identifier(fact.date),
            "fact": Place("warehouse", fact.table),
            "earlier_states": Place("internal", fact.state),
            "past": Place("internal", fact.past),
            "states": names(fact.states),
            "states_of_state": names(fact.states, "state"),
        },
        {"fact": fact.name},
    )


def dimension_views(schema: str, dimension: Dimension) -> Iterator[SchemaObject]:
    """The views that every dimension has, on the dimension of this schema."""
    yield SchemaObject(
        "view",
        Place(schema, f"{dimension.table}_current"),
        "schema/views.current",
        {"dim": Place(schema, dimension.table)},
        {"dim": dimension.table, "thing": dimension.name},
    )
    yield as_is(schema, dimension)


def as_is(schema: str, dimension: Dimension) -> SchemaObject:
    """The view of each version as its key is now, on the dimension of this schema."""
    return SchemaObject(
        "view",
        Place(schema, f"{dimension.table}_as_is"),
        "schema/views.as_is",
        {
            "dim": Place(schema, dimension.table),
            "kept": Place("versions", dimension.table),
            "sk": sql.Identifier(dimension.sk),
            "latest_sk": sql.Identifier(f"latest_{dimension.sk}"),
            "key_version_latest": equal(dimension.key, "version", "latest"),
            "key_later_latest": equal(dimension.key, "later", "latest"),
        },
        {"sk": dimension.sk, "thing": dimension.name},
        columns_of=Columns(Place(schema, dimension.table), "latest", (dimension.sk,)),
    )


def has_versions(table: str) -> bool:
    """Whether loads of a cluster change a table in schema ``history``, on its coordinator."""
    return table in _VERSIONED


def refusal_as_known(table: str) -> Refusal | None:
    """Why a table is not read as it was known on a cluster; none where it is."""
    if table in _VERSIONED or PLACES[table].on == LOCAL.on:
        return None
    return Refusal(NOT_AS_KNOWN.format(table=table), Place("warehouse", table))


def as_known_rows(table: str) -> tuple[str, Parts]:
    """The statement for the rows of a table as they were known after a ``{load}``; its parts."""
    parts: dict[str, sql.Composable | Place] = {
        # Next to its past; Citus refuses functions over tables that lie on several nodes.
        "table": Place("versions" if table in _VERSIONED else "warehouse", table),
        "known_load": Place("warehouse", "known_load"),
    }
    if key := KEYS[table]:
        parts |= {
            "past": Place("internal", past_of(table)),
            "same_key_later_kept": equal(key, "later", "kept"),
            "same_key_sooner_kept": equal(key, "sooner", "kept"),
        }
    return "schema/as_known.kept" if key else "schema/as_known.grown", parts


def _as_known(table: str) -> Iterator[SchemaObject]:
    """How a table is read as it was known."""
    function = Place("warehouse", f"{table}_as_known_at")
    rows, parts = as_known_rows(table)
    refusal = refusal_as_known(table)
    yield SchemaObject(
        "function",
        function,
        f"{rows}_function",
        {
            "function": function,
            "load": sql.SQL("$1"),
            "why": sql.Literal(NOT_AS_KNOWN.format(table=table)),
            **parts,
        },
        {"table": table},
        columns_of=Columns(Place("warehouse", table), "kept"),
        on_cluster="schema/as_known.refused_function" if refusal else "",
    )
    yield SchemaObject(
        "view",
        Place("as_known", table),
        "schema/as_known.view",
        {
            "function": function,
            "point": Place("warehouse", "as_known_point"),
            "load": Place("warehouse", "as_known_point", is_call=True),
            **parts,
        },
        {"table": table},
        columns_of=Columns(Place("warehouse", table), "kept"),
        # Citus makes functions of views on a table that it manages on every node that is added, and
        # this one reads what only the coordinator has.
        on_cluster=rows if PLACES[table].is_managed else "",
        refusal=refusal,
    )
