"""The views and functions that people read a build by: as it is, and as it was known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from psycopg import sql

from etl.db.statements import equal, names, statement
from etl.schema.noted import as_reader, identifies_persons
from etl.schema.objects import (
    Columns,
    NotedRows,
    Place,
    Refusal,
    SchemaObject,
    TextPlace,
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
# Those whose rows say who a person is.
_OF_PERSONS = {d.table for d in DIMENSIONS.values() if identifies_persons(d)}


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
    """Why masked roles do not read a table as it was known on a cluster; none where they do."""
    if table in _VERSIONED or PLACES[table] == LOCAL:
        return None
    return Refusal(NOT_AS_KNOWN.format(table=table), Place("warehouse", table))


def as_known_rows(table: str) -> tuple[str, dict[str, sql.Composable | Place]]:
    """The statement for the rows of a table as they were known after a ``{load}``; its parts."""
    parts: dict[str, sql.Composable | Place] = {
        # A dimension where loads change it, next to its past.
        "table": Place("versions" if table in _VERSIONED else "warehouse", table),
        "known_load": Place("warehouse", "known_load"),
    }
    if key := KEYS[table]:
        parts |= {
            "past": Place("internal", past_of(table)),
            "same_key_later_kept": equal(key, "later", "kept"),
            "same_key_sooner_kept": equal(key, "sooner", "kept"),
            "same_key_kept_earlier": equal(key, "kept", "earlier"),
            "same_key_earlier_kept": equal(key, "earlier", "kept"),
            "key": names(key, "later"),
        }
    return "schema/as_known.kept" if key else "schema/as_known.grown", parts


def _texts_on_nodes(table: str) -> tuple[str, str]:
    """The statements for a function and a view that read a table which Citus manages."""
    if PLACES[table].is_managed:
        return "schema/as_known.kept_on_nodes", "schema/as_known.kept"
    if KEYS[table]:
        return "schema/as_known.both", "schema/as_known.both_from_point"
    return "schema/as_known.grown_on_nodes", "schema/as_known.grown_from_point"


def _in_text(part: sql.Composable | Place) -> sql.Composable | TextPlace:
    """A part of a function whose text names it."""
    return TextPlace(part) if isinstance(part, Place) else part


def _as_known(table: str) -> Iterator[SchemaObject]:
    """How a table is read as it was known."""
    function = Place("warehouse", f"{table}_as_known_at")
    rows, parts = as_known_rows(table)
    columns = Columns(Place("warehouse", table), "kept", key=KEYS[table] or ())
    is_local = PLACES[table] == LOCAL or table in _VERSIONED
    on_nodes, from_point = _texts_on_nodes(table)
    in_function = parts if is_local else {n: _in_text(part) for n, part in parts.items()}
    yield SchemaObject(
        "function",
        function,
        f"{rows}_function",
        {
            "function": function,
            "rows_of": Place("warehouse", table),
            "load": sql.SQL("$1"),
            "known": sql.Identifier("known_load_id"),
            **in_function,
        },
        {"table": table},
        columns_of=columns,
        on_cluster="" if is_local else f"{on_nodes}_function",
    )
    view = SchemaObject(
        "view",
        Place("as_known", table),
        "schema/as_known.view",
        {
            "function": function,
            "point": Place("warehouse", "as_known_point"),
            "load": Place("warehouse", "as_known_point", is_call=True),
            "known": statement("schema/as_known.known"),
            **parts,
        },
        {"table": table},
        columns_of=columns,
        # Citus joins no function to facts. It makes functions of views on a table that it manages
        # on every node that is added, and these read what only the coordinator has.
        on_cluster=rows if is_local else from_point,
    )
    # On a cluster it reads the tables itself, and a look at them is noted as that of the reader.
    yield as_reader(view) if table in _OF_PERSONS else view
