"""Connections to the warehouse's database, with the session settings that every one of them has."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from etl.errors import ServerError

# How every session of ours calls itself, with what it does behind it.
PREFIX = "aca-warehouse"
# After so long at a lock that somebody else holds a run gives up (``etl.waiting`` tells whom).
LOCK_WAIT_SECONDS = 15 * 60

# Values are read the same on every machine: instants without an offset are UTC, and a date such
# as 01/02/2025, which could mean two days, is refused rather than guessed at.
_SESSION = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "iso_8601",
    # A backend whose client was killed in the middle of a statement gives up within a second,
    # so that the next run finds no transaction of a dead one in its way.
    "client_connection_check_interval": "500ms",
    # Compiling a statement takes longer than it saves, most of all where catalogs are asked.
    "jit": "off",
}


def connect(url: str, application: str, *, autocommit: bool = True) -> psycopg.Connection[Any]:
    """Open a connection named ``application``; ``ServerError`` where there is none to be had."""
    settings = {**_SESSION, "lock_timeout": f"{LOCK_WAIT_SECONDS}s"}
    options = " ".join(
        f"-c {key}={value.replace(' ', chr(92) + ' ')}" for key, value in settings.items()
    )
    try:
        return psycopg.connect(
            url,
            autocommit=autocommit,
            application_name=application,
            options=options,
            connect_timeout=15,
        )
    except psycopg.OperationalError as error:
        # The first line says what happened, the rest guesses why.
        reason = str(error).strip().splitlines()[0]
        raise ServerError(
            f"The database cannot be reached: {reason}",
            "See that the server runs (make status) and that DATABASE_URL is right.",
        ) from error


def set_search_path(connection: psycopg.Connection[Any], schemas: list[str]) -> None:
    """Resolve unqualified table names in these schemas until the transaction ends."""
    connection.execute(
        sql.SQL("set local search_path = {}").format(
            sql.SQL(", ").join(sql.Identifier(schema) for schema in schemas)
        )
    )
