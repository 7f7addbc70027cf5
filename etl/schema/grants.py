"""What roles may read is brought to the declaration: granted, and taken back where it is not.

The same for the live schemas and for a rebuild before it goes live, and never copied from what is
live. Rights of roles that are not ours are left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from etl.access.classification import DIRECT, UnclassifiedError, identifier_of
from etl.access.roles import READ, REFUSED, ROLES, Right
from etl.access.treatments import Standard, treatment_of
from etl.contracts.column import Identifier
from etl.db.statements import names, run, scalar
from etl.schema import layout, node_rights
from etl.warehouse.tables import KEPT, LIVE, Schemas


class Relation(NamedTuple):
    """A relation by its name in the live build, with its columns."""

    schema: str
    name: str
    columns: tuple[str, ...]


class Grant(NamedTuple):
    """What a role may do; without a relation with a schema, without a column with all of them."""

    role: str
    schema: str
    relation: str | None
    column: str | None
    privilege: str


def make_roles(connection: psycopg.Connection[Any]) -> list[str]:
    """Make the roles that are missing, as far as we may; those that there are."""
    values = {"roles": list(ROLES)}
    found = [name for (name,) in run(connection, "access/grants.roles", values)]
    if len(found) < len(ROLES):
        for role in ROLES:
            run(connection, "access/grants.make_role", role=sql.Identifier(role))
        found = [name for (name,) in run(connection, "access/grants.roles", values)]
    return found


def apply(connection: psycopg.Connection[Any], schemas: Schemas = LIVE.schemas) -> None:
    """Bring the rights of our roles on a build and on what is kept to the declaration.

    In the caller's transaction, or each statement by itself.
    """
    schemas = layout.found(connection, schemas)
    roles = make_roles(connection)
    relations = tuple(_relations(connection, schemas))
    wanted = {grant for role in roles for grant in _wanted(role, relations)}
    live = _live_names(schemas)
    asked = {"schemas": [*live], "roles": roles}
    granted = {
        Grant(role, live[schema], relation, column, privilege)
        for role, schema, relation, column, privilege in run(
            connection, "access/grants.granted", asked
        ).fetchall()
    }
    places = {live_name: name for name, live_name in live.items()}
    too_much = granted - wanted
    _revoke(connection, too_much, places)
    # What is taken of a relation or schema is taken whole, so what stays is granted again.
    emptied = {grant[:3] for grant in too_much}
    left = {grant for grant in granted if grant[:3] not in emptied}
    _grant(connection, wanted - left, places)
    if schemas.has_history:
        node_rights.apply(connection, schemas, roles)
    _note(connection, relations)


def give_path(connection: psycopg.Connection[Any]) -> None:
    """Let our own role find dimensions, facts and cubes without a schema, as analysts do.

    What a person has set for the role stays.
    """
    if scalar(connection, "access/logins.lacks_path"):
        run(
            connection,
            "access/logins.search_path",
            login=sql.Identifier(connection.info.user),
            database=sql.Identifier(connection.info.dbname),
            path=names(LIVE.schemas.readers_path),
        )


def _live_names(schemas: Schemas) -> dict[str, str]:
    """The schemas of a build and those that are kept, each with what it is called live."""
    live = replace(LIVE.schemas, has_history=schemas.has_history)
    return dict(zip((*schemas.names, *KEPT), (*live.names, *KEPT), strict=True))


def _relations(connection: psycopg.Connection[Any], schemas: Schemas) -> Iterator[Relation]:
    live = _live_names(schemas)
    for schema, name, columns in run(
        connection, "access/grants.relations", {"schemas": list(live)}
    ):
        yield Relation(live[schema], name, tuple(columns))


# The live build and one that takes its place have the same relations, and so mostly have two runs.
@lru_cache(maxsize=2 * len(ROLES))
def _wanted(role: str, relations: tuple[Relation, ...]) -> frozenset[Grant]:
    """What a role is to be granted."""
    return frozenset(_grants_of(role, relations))


def _grants_of(role: str, relations: tuple[Relation, ...]) -> Iterator[Grant]:
    schemas = set()
    noted = _noted_in_history(relations)
    for relation in relations:
        right = _right(role, relation, noted)
        if right is REFUSED:
            continue
        schemas.add(relation.schema)
        visible = relation.columns if right is READ else _unmasked(relation)
        if len(visible) == len(relation.columns):
            yield Grant(role, relation.schema, relation.name, None, "select")
        else:
            for column in visible:
                yield Grant(role, relation.schema, relation.name, column, "select")
    # Its as_of() speaks of no person, and documented reports of every role ask for it.
    schemas |= {relation.schema for relation in relations} & {LIVE.schemas.mart}
    for schema in schemas:
        yield Grant(role, schema, None, None, "usage")


def _noted_in_history(relations: tuple[Relation, ...]) -> frozenset[str]:
    """Dimensions of a cluster that say who a person is: looks are noted where loads change them."""
    return frozenset(
        relation.name
        for relation in relations
        if relation.schema == LIVE.schemas.history
        and any(_identifier(*relation[:2], column) in DIRECT for column in relation.columns)
    )


def _right(role: str, relation: Relation, noted: Set[str]) -> Right:
    """What a role may see of a relation; of a dimension in ``noted`` nothing of what is published.

    Citus allows no policy there that would note who reads it.
    """
    if relation.name in noted and relation.schema == LIVE.schemas.warehouse:
        return REFUSED
    if relation.schema == LIVE.schemas.history:
        return ROLES[role].right(LIVE.schemas.warehouse, relation.name)
    return ROLES[role].right(relation.schema, relation.name)


def _unmasked(relation: Relation) -> Sequence[str]:
    """The columns that say nothing of a person; of a masked view all."""
    if relation.schema in LIVE.schemas.masked:
        return relation.columns
    return [
        column
        for column in relation.columns
        if _identifier(relation.schema, relation.name, column) is Identifier.NONE
    ]


def _identifier(schema: str, relation: str, column: str) -> Identifier | None:
    try:
        return identifier_of(schema, relation, column)
    except UnclassifiedError:
        return None


def _revoke(
    connection: psycopg.Connection[Any], grants: set[Grant], places: dict[str, str]
) -> None:
    for role, schema, relation, column, _ in sorted(grants, key=str):
        to = sql.Identifier(role)
        if relation is None:
            place = sql.Identifier(places[schema])
            run(connection, "access/grants.revoke_schema", schema=place, role=to)
            continue
        place = sql.Identifier(places[schema], relation)
        if column is None:
            run(connection, "access/grants.revoke_relation", relation=place, role=to)
        else:
            run(
                connection,
                "access/grants.revoke_columns",
                column=sql.Identifier(column),
                relation=place,
                role=to,
            )


def _grant(connection: psycopg.Connection[Any], grants: set[Grant], places: dict[str, str]) -> None:
    """Few statements: the relations of a role in one, its schemas in one."""
    whole: dict[str, list[sql.Composable]] = defaultdict(list)
    schemas: dict[str, list[sql.Composable]] = defaultdict(list)
    columns: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for role, schema, relation, column, _ in sorted(grants, key=str):
        if relation is None:
            schemas[role].append(sql.Identifier(places[schema]))
        elif column is None:
            whole[role].append(sql.Identifier(places[schema], relation))
        else:
            columns[role, schema, relation].append(column)
    comma = sql.SQL(", ")
    for role, found in schemas.items():
        parts = {"schemas": comma.join(found), "role": sql.Identifier(role)}
        run(connection, "access/grants.grant_schemas", **parts)
    for role, found in whole.items():
        parts = {"relations": comma.join(found), "role": sql.Identifier(role)}
        run(connection, "access/grants.grant_relations", **parts)
    for (role, schema, relation), listed in columns.items():
        run(
            connection,
            "access/grants.grant_columns",
            columns=names(listed),
            relation=sql.Identifier(places[schema], relation),
            role=sql.Identifier(role),
        )


def _note(connection: psycopg.Connection[Any], relations: tuple[Relation, ...]) -> None:
    """Let SQL see what is declared: ``access.declared_right`` and ``access.classification``."""
    rights, classes = _declared(relations)
    _bring(connection, "rights", rights, ("roles", "schemas", "relations", "rights"))
    fields = ("schemas", "relations", "columns", "identifiers", "limited", "safe_harbor")
    _bring(connection, "classes", classes, fields)


@lru_cache(maxsize=2)
def _declared(
    relations: tuple[Relation, ...],
) -> tuple[frozenset[tuple[str, ...]], frozenset[tuple[str, ...]]]:
    """What each role may see of each relation, and what is declared of each column."""
    noted = _noted_in_history(relations)
    rights = [
        (role, relation.schema, relation.name, _right(role, relation, noted).value)
        for role in ROLES
        for relation in relations
    ]
    return frozenset(rights), frozenset(_classes(relations))


def _bring(
    connection: psycopg.Connection[Any],
    what: str,
    rows: Set[tuple[str, ...]],
    fields: Sequence[str],
) -> None:
    """Bring what is noted to these rows."""
    noted = set(run(connection, f"access/grants.{what}_noted").fetchall())
    for change, changed in (("forget", noted - rows), ("note", rows - noted)):
        if changed:
            values = dict(zip(fields, map(list, zip(*sorted(changed), strict=True)), strict=True))
            run(connection, f"access/grants.{change}_{what}", values)


def _classes(relations: tuple[Relation, ...]) -> Iterator[tuple[str, ...]]:
    """Each column with its identifier and what each standard makes of it."""
    said = {
        identifier: (identifier.value, *(treatment_of(identifier, s).value for s in Standard))
        for identifier in Identifier
    }
    unclassified = ("unclassified", *("withhold" for _ in Standard))
    for relation in relations:
        if relation.schema in LIVE.schemas.masked:
            continue
        for column in relation.columns:
            identifier = _identifier(relation.schema, relation.name, column)
            shown = said[identifier] if identifier else unclassified
            yield (relation.schema, relation.name, column, *shown)
