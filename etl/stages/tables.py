"""Steps of a stage that are the same for any table, temporary ones among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import names, run, scalar
from etl.schema import layout

# Statistics are gathered again when more than this share of a table's rows is not known to them.
STALE_SHARE = 0.05


def analyze(connection: psycopg.Connection[Any], *table: str) -> None:
    """Gather statistics of a table, ``table`` or ``schema, table``."""
    run(connection, "tables.analyze", table=sql.Identifier(*table))


def analyze_columns(
    connection: psycopg.Connection[Any], table: str, columns: Iterable[str]
) -> None:
    """Gather those of the columns of a temporary table that it is joined and grouped by."""
    parts = {"table": sql.Identifier(table), "columns": names(columns)}
    run(connection, "tables.analyze_columns", **parts)


def are_stale(connection: psycopg.Connection[Any], table: str) -> bool:
    """Whether so much has changed that statistics are no longer near enough for the planner."""
    values = {"table": table, "share": STALE_SHARE}
    return bool(scalar(connection, "ledger/session.are_stale", values))


def renew_statistics(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> None:
    """Refresh what the planner knows of tables that a transaction changed and did not analyze.

    Stages analyze what their own steps read; what only readers plan with is left to here: past
    rows, states, and partitioned tables as a whole.
    """
    stale = {"schemas": list(schemas), "share": STALE_SHARE}
    found = run(connection, "ledger/session.stale_tables", stale).fetchall()
    for schema, table, is_partitioned, columns in found:
        run(
            connection,
            "ledger/session.renew_statistics",
            # A part has statistics of its own, and its stage has seen to them.
            only=sql.SQL("only" if is_partitioned else ""),
            table=sql.Identifier(schema, table),
            columns=names(columns),
        )


def rows_about(connection: psycopg.Connection[Any], schema: str, table: str) -> int:
    """How many rows a table that is divided by month has about, on whichever nodes they lie."""
    asked = {"schema": schema, "table": table}
    found = scalar(connection, "tables.rows_about", asked)
    if not found and layout.is_cluster(connection):
        found = scalar(connection, "tables.rows_about_on_nodes", asked)
    return int(found)


def drop(connection: psycopg.Connection[Any], *tables: str) -> None:
    """Make room for tables of these names, such as those of the next load of a transaction."""
    for table in tables:
        run(connection, "tables.drop", table=sql.Identifier(table))
