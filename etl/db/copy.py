"""Streaming rows out of the server."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import statement


def copy_out(
    connection: psycopg.Connection[Any], query: sql.Composable
) -> AbstractContextManager[psycopg.Copy]:
    """A query's rows in PostgreSQL's binary form, one message a row, header and trailer apart."""
    whole = statement("copy.out", query=sql.SQL("({})").format(query))
    return connection.cursor().copy(whole)
