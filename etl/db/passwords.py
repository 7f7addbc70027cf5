"""Passwords of logins, which reach the server only as what it keeps of them.

The text of a statement is seen by others: in ``pg_stat_activity``, in the server's log where
statements are logged, in ``pg_stat_statements``. So a password is hashed here, and the statement
has the SCRAM verifier, from which the password cannot be computed.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import run


def scram_verifier(connection: psycopg.Connection[Any], login: str, password: str) -> str:
    """What the server keeps instead of a password, in the form of RFC 5803.

    For ``create role ... password`` and ``alter role ... password``, which take it as it is.
    """
    made = connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
    return made.decode()


def set_password(connection: psycopg.Connection[Any], login: str, password: str) -> None:
    """Give a login that is there a password; no statement and no log contains it."""
    run(
        connection,
        "db/passwords.set_password",
        login=sql.Identifier(login),
        verifier=sql.Literal(scram_verifier(connection, login, password)),
    )
