"""The dictionary of a database: its catalog, what is declared of it, and numbers of its rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg

from etl.access.roles import REFUSED, ROLES
from etl.db.connection import set_search_path
from etl.db.statements import run
from etl.dictionary import describe
from etl.dictionary.examples import example
from etl.dictionary.graph import Graph
from etl.dictionary.model import KINDS, Column, Dictionary, Join, Relation
from etl.dictionary.profile import profiles
from etl.dictionary.trace import Node
from etl.dictionary.views import graph_of
from etl.schema.warehouse_tables import all_tables
from etl.warehouse.tables import KEPT, LIVE

# The schemas in the order in which people look at them.
SCHEMAS = (
    *("mart", "cubes", "warehouse", "staging", "as_known"),
    *("limited", "limited_as_known", "scoped", "safe_harbor"),
    *KEPT,
)
# Whose rows are counted: what people read as it is. Masked schemas show the same rows.
PROFILED = ("mart", "cubes", "warehouse", "staging")
# Is called before each relation, with how many there are in all.
OnRelation = Callable[[str, int], None]


def read(
    connection: psycopg.Connection[Any], on_relation: OnRelation = lambda name, total: None
) -> Dictionary:
    """The dictionary of a warehouse, all of one state of it."""
    asked = {"schemas": list(SCHEMAS)}
    set_search_path(connection, ["pg_catalog"])
    found = run(connection, "dictionary/catalog.relations", asked).fetchall()
    functions = dict(run(connection, "dictionary/catalog.functions", asked).fetchall())
    set_search_path(connection, LIVE.schemas.path)
    latest = run(connection, "dictionary/catalog.latest_load").fetchone()
    graph = graph_of(
        all_tables(),
        [(schema, name, columns, query) for schema, name, _, _, query, columns, *_ in found],
        functions,
    )
    keys, joins = _keys(connection, asked), _joins(connection, asked)
    relations = []
    for row in found:
        relation = _relation(row, graph, keys, joins)
        on_relation(relation.full_name, len(found))
        relations.append(_profiled(connection, relation))
    load, batch, as_of = latest or (None, None, None)
    said = f"load {load}, batch {batch}" if load is not None else "nothing is loaded"
    relations = _views_as_tables(relations, graph)
    return Dictionary(tuple(relations), graph, said, as_of, datetime.now(UTC))


def _keys(
    connection: psycopg.Connection[Any], asked: Mapping[str, Any]
) -> dict[str, list[tuple[bool, tuple[str, ...]]]]:
    keys: dict[str, list[tuple[bool, tuple[str, ...]]]] = defaultdict(list)
    for schema, name, is_primary, columns in run(
        connection, "dictionary/catalog.keys", dict(asked)
    ):
        keys[f"{schema}.{name}"].append((is_primary, tuple(columns)))
    return keys


def _joins(connection: psycopg.Connection[Any], asked: Mapping[str, Any]) -> dict[str, list[Join]]:
    joins: dict[str, list[Join]] = defaultdict(list)
    for schema, name, columns, target_schema, target, target_columns in run(
        connection, "dictionary/catalog.joins", dict(asked)
    ):
        join = Join(tuple(columns), f"{target_schema}.{target}", tuple(target_columns))
        joins[f"{schema}.{name}"].append(join)
    return joins


def _relation(
    row: Sequence[Any],
    graph: Graph,
    keys: Mapping[str, list[tuple[bool, tuple[str, ...]]]],
    joins: Mapping[str, list[Join]],
) -> Relation:
    schema, name, kind, meaning, _, names, types, meanings, mandatory = row
    full_name = f"{schema}.{name}"
    shows = describe.shown_relation(schema, name, graph.columns)
    columns = tuple(
        _column(graph, full_name, shows, *one)
        for one in zip(names, types, mandatory, meanings, strict=True)
    )
    found = keys.get(full_name, [])
    rights = {role.short: role.right(schema, name) for role in ROLES.values()}
    return Relation(
        schema,
        name,
        KINDS[kind],
        meaning,
        columns,
        primary_key=next((key for is_primary, key in found if is_primary), ()),
        unique=tuple(key for is_primary, key in found if not is_primary),
        joins=tuple(joins.get(full_name, ())),
        readers={role: right.value for role, right in rights.items() if right is not REFUSED},
        example=example(schema, name, names),
        shows=shows,
    )


def _column(
    graph: Graph, relation: str, shows: str, name: str, kind: str, mandatory: bool, meaning: str
) -> Column:
    of = shows or relation
    contract = describe.contract_column(graph, Node(of, name))
    identifier = describe.identifier(of, name)
    check = str(contract.check) if contract is not None and contract.check is not None else ""
    return Column(
        name,
        kind.removeprefix("staging."),
        mandatory,
        meaning,
        identifier=identifier.value if identifier is not None else "none",
        personal=contract.pii.value if contract is not None else "none",
        unit=describe.unit(name, contract),
        allowed=check,
        shown=describe.treatments(of, name),
    )


def _profiled(connection: psycopg.Connection[Any], relation: Relation) -> Relation:
    """The relation with numbers of its rows; one that a cluster does not read says why instead."""
    if relation.schema not in PROFILED:
        return relation
    try:
        with connection.transaction():
            rows, found = profiles(connection, relation.schema, relation.name, relation.columns)
    except psycopg.errors.FeatureNotSupported as error:
        why = error.diag.message_primary or "Citus refuses to read it."
        return replace(relation, meaning=f"{relation.meaning} {why}")
    columns = zip(relation.columns, found, strict=True)
    return replace(
        relation,
        rows=rows,
        columns=tuple(replace(column, profile=profile) for column, profile in columns),
    )


def _views_as_tables(relations: Sequence[Relation], graph: Graph) -> list[Relation]:
    """The relations, large views with the different values of the columns that they show.

    The planner has no statistics of a view. A column that one other column of the same name is the
    value of has about as many different values as that one.
    """
    known = {
        Node(relation.full_name, column.name): column.profile.distinct
        for relation in relations
        for column in relation.columns
        if column.profile is not None and column.profile.distinct is not None
    }

    def shown(node: Node) -> int | None:
        seen = set()
        while node not in known:
            seen.add(node)
            sources = {edge.source for edge in graph.edges(node)}
            same = [s for s in sources - seen if s is not None and s.column == node.column]
            if len(sources) != 1 or not same:
                return None
            node = same[0]
        return known[node]

    def estimated(relation: Relation, column: Column) -> Column:
        profile = column.profile
        if profile is None or not profile.is_about or profile.distinct is not None:
            return column
        distinct = shown(Node(relation.full_name, column.name))
        return replace(column, profile=replace(profile, distinct=distinct))

    return [
        replace(relation, columns=tuple(estimated(relation, column) for column in relation.columns))
        for relation in relations
    ]
