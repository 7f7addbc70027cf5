"""The layout of a build's tables: all on one server, or over the nodes of a cluster.

On a cluster every table is put where ``etl/warehouse/places.py`` says, and loads change dimensions
in schema ``history``, from which they are published. A build keeps the layout that it was made in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from etl.db.connection import set_config, with_settings
from etl.db.statements import run, scalar
from etl.errors import ServerError
from etl.server.topology import is_cluster
from etl.warehouse.places import PLACES
from etl.warehouse.tables import GUARD_OF_HISTORY, LIVE, Schemas

if TYPE_CHECKING:
    from sqlalchemy import MetaData

# How sessions of a run change what lies on several nodes.
_SESSION = {
    # What is spread refers to what is on every node: several sessions at once would not see that.
    "citus.multi_shard_modify_mode": "sequential",
    # What keeps past rows, whoever writes, is a trigger on what is spread.
    "citus.enable_unsafe_triggers": "on",
    # That trigger is fired on workers, which learn by it for which load rows change.
    "citus.propagate_set_commands": "local",
}


def settle(connection: psycopg.Connection[Any], url: str) -> str:
    """Prepare a session of a run for the layout of its database; the URL for others of the run."""
    if not is_cluster(connection):
        return url
    for name, value in _SESSION.items():
        set_config(connection, name, value, is_local=False)
    return with_settings(url, _SESSION)


def name_load(connection: psycopg.Connection[Any], load_id: int) -> None:
    """Say for the transaction, on every node, which load changes rows and which was known before.

    The search path leads to the ledger.
    """
    last_known = scalar(connection, "ledger/session.last_known", {"load_id": load_id})
    for setting, number in (("load_id", load_id), ("last_known_load_id", last_known)):
        parts = {"setting": sql.Identifier("aca", setting), "load_id": sql.Literal(str(number))}
        run(connection, "ledger/session.name_load", **parts)


def name_next_load(connection: psycopg.Connection[Any]) -> None:
    """Say the same where no load is at work: rows change for the next one, as those by hand do."""
    name_load(connection, scalar(connection, "ledger/session.next_load"))


def planned(connection: psycopg.Connection[Any], schemas: Schemas) -> Schemas:
    """A build's schemas in the layout in which it is to be made in this database."""
    return replace(schemas, has_history=is_cluster(connection))


def found(connection: psycopg.Connection[Any], schemas: Schemas) -> Schemas:
    """A build's schemas in the layout that it has.

    A schema of the name that somebody else made is none of the build's: dimensions of ours have a
    guard.
    """
    if schemas.has_history:
        return schemas
    asked = {"schema": schemas.history, **GUARD_OF_HISTORY}
    return replace(schemas, has_history=scalar(connection, "schema/layout.has_history", asked))


def refuse_migration(connection: psycopg.Connection[Any]) -> None:
    """Raise ``ServerError`` where the live build lies over nodes, on which none was tried."""
    if found(connection, LIVE.schemas).has_history:
        raise ServerError(
            "The warehouse lies over the nodes of a cluster and is of an earlier version; no "
            "migration was tried on one yet.",
            "Use the version that made it; or make a new one from the inbox: make cluster-down "
            "CONFIRM=yes, make cluster-up, make full-load. Nothing was changed.",
        )


def spread(connection: psycopg.Connection[Any], table: str, other: str) -> None:
    """Spread a table over the workers, by the column and with the rows of another of the build.

    In the caller's transaction, whose search path leads to both.
    """
    values = {"table": table, "column": PLACES[other].column, "other": other}
    run(connection, "schema/layout.spread", values)


def place(connection: psycopg.Connection[Any], schemas: Schemas, metadata: MetaData) -> None:
    """Put the empty tables of a build where they are to lie on the nodes.

    In the caller's transaction, in which they were made.
    """
    for name, value in _SESSION.items():
        set_config(connection, name, value)
    # Each after those that it refers to.
    tables = {
        table.name: sql.Identifier(str(table.schema), table.name).as_string()
        for table in metadata.sorted_tables
        if table.schema != schemas.history
    }
    for name, table in tables.items():
        if PLACES[name].on == "every node":
            run(connection, "schema/layout.put_on_every_node", {"table": table})
    spread = [name for name in tables if PLACES[name].on == "workers"]
    # Where rows of one value lie is decided by the table that has them first.
    for name in sorted(spread, key=lambda name: PLACES[name].colocated_with is not None):
        other = PLACES[name].colocated_with
        values = {
            "table": tables[name],
            "column": PLACES[name].column,
            "other": tables[other] if other else "none",
        }
        run(connection, "schema/layout.spread", values)
