"""Temporary tables of a stage, which last from one statement of a load to a later one."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import run


def analyze(connection: psycopg.Connection[Any], table: str) -> None:
    """Gather the statistics that the joins with it need."""
    run(connection, "temporary.analyze", name=sql.Identifier(table))


def drop(connection: psycopg.Connection[Any], *tables: str) -> None:
    """Make room for the next load of the same transaction."""
    for table in tables:
        run(connection, "temporary.drop", name=sql.Identifier(table))
