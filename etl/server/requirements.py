"""What the warehouse needs of a server that is not its own, asked for before anything is done."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import psycopg

from etl.db.connection import connect
from etl.db.statements import run, scalar
from etl.errors import ServerError

# Sessions that a run has at once when it has the most: the ledger's, the one that does the work,
# one that looks whom a run waits for, and in a run of every check three that read next to them.
# The one that fills diagnoses next to lines in a full load is gone before the checks.
CONNECTIONS = 6


def require_rights(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> None:
    """Raise ``ServerError`` with the grants that help unless the role may do what a run does.

    ``schemas``: those that a run makes, fills, renames and drops, whether they exist or not.
    """
    lacking = run(connection, "server/server.rights_lacking", {"schemas": list(schemas)}).fetchall()
    if lacking:
        role, database, *_ = lacking[0]
        what = "; ".join(lack for *_, lack, _ in lacking)
        raise ServerError(
            f"The role {role} lacks rights that a run needs in database {database}: {what}.",
            f"Let a superuser or the owner run: {' '.join(grant for *_, grant in lacking)}",
        )


def require_connections(url: str, ledger: psycopg.Connection[Any]) -> None:
    """Raise ``ServerError`` unless as many sessions can be had at once as a run needs.

    ``ledger``: the session that the run has already. A limit can be that of the role, the
    database, the server or a pooler before it, so the others are opened for a moment.
    """
    with ExitStack() as opened:
        for count in range(1, CONNECTIONS):
            try:
                opened.enter_context(connect(url, "aca-warehouse trial"))
            except ServerError as error:
                raise ServerError(
                    f"A run needs {CONNECTIONS} connections at once, and only {count} could be "
                    f"had: {error.message}",
                    f"Raise the limit or end other sessions ({_limits(ledger)}).",
                    sqlstate=error.sqlstate,
                ) from error


def _limits(connection: psycopg.Connection[Any]) -> str:
    """The limits that are known, each with what is in use."""
    limits = run(connection, "server/server.connection_limits").fetchall()
    return ", ".join(f"{used} of {most} in use for {what}" for what, most, used in limits)


def sees_other_sessions(connection: psycopg.Connection[Any]) -> bool:
    """Whether the role may see what sessions of other roles are doing."""
    return bool(scalar(connection, "server/server.sees_other_sessions"))
