"""Dimensions of a cluster: changed in schema ``history``, and published to every node from there.

On one server there is nothing to publish: loads change the tables that everybody reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from etl.db.connection import set_search_path
from etl.db.statements import Parts, equal, names, run, scalar
from etl.schema import layout
from etl.stages import tables
from etl.warehouse.places import LOCAL, PLACES
from etl.warehouse.tables import Schemas


@contextmanager
def at_versions(connection: psycopg.Connection[Any], schemas: Schemas) -> Iterator[Schemas]:
    """Let the name of a dimension mean the table that loads change; the build's schemas.

    In the caller's transaction.
    """
    found = layout.found(connection, schemas)
    if found.has_history:
        set_search_path(connection, [found.history, *schemas.path])
    yield found
    if found.has_history:
        set_search_path(connection, schemas.path)


def publish(connection: psycopg.Connection[Any], schemas: Schemas, table: str, sk: str) -> None:
    """Bring rows of a dimension that are new or changed to what is published, by surrogate key.

    Versions that went stay until ``withdraw``: facts point at them. Statistics are left to
    autovacuum: Citus gathers none of such a table in the transaction that changed it.
    """
    if not schemas.has_history:
        return
    kept = sql.Identifier(schemas.versions, table).as_string()
    columns = scalar(connection, "rebuild/bulk.columns", {"table": kept})
    parts = _parts(schemas, table, sk)
    parts |= {"columns": names(columns), "assign_columns": _excluded(columns)}
    run(connection, "dims/7_publish.bring", **parts)


def withdraw(connection: psycopg.Connection[Any], schemas: Schemas, table: str, sk: str) -> None:
    """Take versions that went from what is published; no fact points at them any more."""
    if not schemas.has_history:
        return
    parts = _parts(schemas, table, sk)
    gone = scalar(connection, "dims/7_publish.gone", **parts)
    if gone:
        run(connection, "dims/7_publish.withdraw", {"gone": gone}, **parts)


def analyze(connection: psycopg.Connection[Any], schemas: Schemas, table: str) -> None:
    """Gather statistics of a table of a build, unless that is left to autovacuum.

    Citus gathers none of a table on every node, or of one that refers to such a table, in the
    transaction that changed it.
    """
    if not layout.found(connection, schemas).has_history or PLACES[table] == LOCAL:
        tables.analyze(connection, table)


def _parts(schemas: Schemas, table: str, sk: str) -> dict[str, Parts]:
    return {
        "dim": sql.Identifier(schemas.versions, table),
        "published": sql.Identifier(schemas.warehouse, table),
        "sk": sql.Identifier(sk),
        "same_version": equal([sk], "p", "d"),
    }


def _excluded(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in columns
    )
