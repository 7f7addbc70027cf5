"""Fixtures that give tests a real PostgreSQL: one server a session, one database a test.

The server is the project's own embedded one in a folder of its own, so that no test can touch a
warehouse. A migrated template database is made once; each test's database is a copy of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from etl.config import ROOT, Settings
from etl.db import server
from etl.db.connection import connect
from etl.db.schema import migrate

TEMPLATE = "aca_template"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server_settings() -> Iterator[Settings]:
    """Settings of the session's own server, which is stopped at the end."""
    data = ROOT / "data" / "test"
    settings = Settings(database_url="", inbox=data / "inbox", data=data, reject_share=0.05)
    server.ensure_running(settings)
    yield settings
    server.stop(settings)


@pytest.fixture(scope="session")
def admin_url(server_settings: Settings) -> str:
    """URL of the session's server."""
    return server.ensure_running(server_settings)


def url_of(admin_url: str, database: str) -> str:
    """The same server's URL for another database."""
    return f"{admin_url.rsplit('/', 1)[0]}/{database}"


@pytest.fixture(scope="session")
def template(admin_url: str) -> str:
    """A migrated database that tests are copied from."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        for name in connection.execute(
            "select datname from pg_database where datname ~ '^(test_|aca_template)'"
        ).fetchall():
            drop(connection, name[0])
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(TEMPLATE)))
    migrate(url_of(admin_url, TEMPLATE))
    return TEMPLATE


def drop(connection: psycopg.Connection[Any], database: str) -> None:
    """Drop a database, whoever is connected to it."""
    connection.execute(
        sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database))
    )


@pytest.fixture
def empty_url(admin_url: str) -> Iterator[str]:
    """URL of an empty database."""
    yield from fresh_database(admin_url, "template0")


@pytest.fixture
def database_url(admin_url: str, template: str) -> Iterator[str]:
    """URL of a fresh database with the migrated schema."""
    yield from fresh_database(admin_url, template)


def fresh_database(admin_url: str, template: str) -> Iterator[str]:
    """URL of a database copied from a template, dropped after use."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        yield url_of(admin_url, name)
        drop(connection, name)


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """An autocommit connection to a fresh database with the migrated schema."""
    with connect(database_url, "test") as connection:
        yield connection


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """An empty inbox."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder
