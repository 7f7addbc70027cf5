"""Rights that hold on the nodes of a cluster alone: on what is published of persons.

Citus asks nodes in the name of who asks the coordinator. Whoever may see persons therefore needs a
right there on what the views of schema ``mart`` read, and has none on the coordinator, where a
statement of a person would read it without a note. That is safe only where nobody can have a node
run a text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from etl.access.roles import READ, ROLES
from etl.db.connection import set_config
from etl.db.statements import run, scalar, statement
from etl.server import own_texts
from etl.warehouse.tables import DIM_MEMBER, LIVE, Schemas


def apply(connection: psycopg.Connection[Any], schemas: Schemas, roles: list[str]) -> None:
    """Bring the rights of our roles on nodes to the declaration; ``roles``: those that there are.

    For a build that lies over nodes.
    """
    relation = sql.Identifier(schemas.warehouse, DIM_MEMBER.table)
    part = scalar(connection, "access/node_rights.part", {"relation": relation.as_string()})
    asked = {"roles": roles, "part": part}
    there = {name: sql.Literal(value) for name, value in asked.items()}
    granted = own_texts.on_workers(connection, statement("access/node_rights.granted", **there))
    wanted = set(_readers(roles)) if own_texts.are_closed(connection) else set()
    found = [set(names.split()) for names in granted]
    if all(names == wanted for names in found):
        return
    with connection.transaction():
        if too_much := set().union(*found) - wanted:
            run(connection, "access/node_rights.take", relation=relation, roles=_named(too_much))
        if wanted:
            run(connection, "access/node_rights.grant", relation=relation, roles=_named(wanted))
            # The coordinator is a node as well, and has a part of the table.
            here = sql.SQL(", ").join([relation, sql.SQL(cast(LiteralString, part))])
            set_config(connection, "citus.enable_ddl_propagation", "off")
            run(connection, "access/node_rights.take", relation=here, roles=_named(wanted))
            set_config(connection, "citus.enable_ddl_propagation", "on")


def _named(roles: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, sorted(roles)))


def _readers(roles: list[str]) -> list[str]:
    """The roles that may see who a person is, where it is noted."""
    place = (LIVE.schemas.warehouse, DIM_MEMBER.table)
    return [role for role in roles if ROLES[role].right(*place) is READ]
