"""Databases of the tests' server: copied, dropped, and written to without its guards."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from etl.db.connection import connect
from etl.warehouse.tables import LIVE

_numbers = itertools.count(1)
_used: list[str] = []


def url_of(admin_url: str, database: str) -> str:
    """The same server's URL for another database."""
    return f"{admin_url.rsplit('/', 1)[0]}/{database}"


def copy(connection: psycopg.Connection[Any], template: str, database: str) -> None:
    """Make a database as a copy of another."""
    connection.execute(
        sql.SQL("create database {} template {} strategy file_copy").format(
            sql.Identifier(database), sql.Identifier(template)
        )
    )


def drop(connection: psycopg.Connection[Any], database: str) -> None:
    """Drop a database even while sessions are connected to it."""
    connection.execute(
        sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database))
    )


@contextmanager
def fresh_database(admin_url: str, template: str) -> Iterator[str]:
    """URL of a database copied from a template, dropped when the next one is made.

    The sessions of a test take a moment to end; dropped at once, it would be waited for.
    """
    name = f"test_{next(_numbers)}"
    with psycopg.connect(admin_url, autocommit=True) as connection:
        while _used:
            drop(connection, _used.pop())
        copy(connection, template, name)
    try:
        yield url_of(admin_url, name)
    finally:
        _used.append(name)


def unguarded(url: str) -> psycopg.Connection[Any]:
    """A connection to the live tables without foreign keys and triggers."""
    connection = connect(url, "test")
    connection.execute("set session_replication_role = replica")
    path = sql.SQL(", ").join(map(sql.Identifier, LIVE.schemas.path))
    connection.execute(sql.SQL("set search_path = {}").format(path))
    return connection
