"""What the server, the disk or another session did to a run, in one sentence each.

Distinguished by SQLSTATE (PostgreSQL 18, appendix A) and by errno; never by the server's words,
which can contain values of rows.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

import psycopg

from etl.errors import AcaError, ServerError

_AGAIN = "Nothing is lost: the current stage was rolled back. "
_LOST = ServerError(
    "The server went away while the run was at work: it was stopped, restarted or killed, or "
    "somebody ended the run's session.",
    f"{_AGAIN}Run again when it is back; make status shows whether it runs, and an embedded "
    "server is started by the next command.",
)
_DATABASE_FULL = ServerError(
    "The disk of the database is full.",
    f"{_AGAIN}Free some space, then run again.",
)
# By SQLSTATE, or by its class where all of it means the same.
_BY_STATE = {
    "53100": _DATABASE_FULL,
    "53200": ServerError(
        "The server has not enough memory for a statement of the run.",
        f"{_AGAIN}Stop other programs or give the machine more memory, then run again.",
    ),
    "53400": ServerError(
        "A limit of the server stopped a statement of the run, such as temp_file_limit.",
        f"{_AGAIN}Raise the limit for the role of the run, then run again.",
    ),
    "40P01": ServerError(
        "The run and another session waited for locks of each other, and PostgreSQL ended the run.",
        f"{_AGAIN}Run again when the other session is done; the server's log names it.",
    ),
    "55P03": ServerError(
        "The run waited too long for another session's lock on a table.",
        f"{_AGAIN}End that session's transaction, then run again; "
        "docs/runbooks/a-run-was-killed.md shows how to find it.",
    ),
    "57014": ServerError(
        "A statement of the run was canceled, by a person or by a statement_timeout.",
        f"{_AGAIN}Run again; set no statement_timeout for the role of the run.",
    ),
    "25006": ServerError(
        "The database can only be read.",
        f"{_AGAIN}Name a primary in DATABASE_URL and see that default_transaction_read_only is "
        "off.",
    ),
    "58030": ServerError(
        "The server could not read or write its files.",
        f"{_AGAIN}See the server's log and the disk's health before you run again.",
    ),
    "57P01": _LOST,
    "57P02": _LOST,
    "57P03": _LOST,
    "57P05": _LOST,
    "25P03": _LOST,
    "08": _LOST,
}
_DISK = (errno.ENOSPC, errno.EDQUOT)


def explain(error: BaseException) -> AcaError | None:
    """The sentence for an error that a server, a disk or another session caused; else None."""
    if isinstance(error, AcaError):
        return None
    for cause in _causes(error):
        if isinstance(cause, psycopg.Error):
            found = _of_server(cause)
        elif isinstance(cause, OSError) and cause.errno in _DISK:
            found = _of_disk(cause)
        else:
            found = None
        if found is not None:
            return found
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came of; other libraries wrap the driver's as ``orig``."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        found = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        more = (getattr(found, "orig", None), found.__cause__, found.__context__)
        waiting += [e for e in more if isinstance(e, BaseException)]


def _of_server(error: psycopg.Error) -> AcaError | None:
    state = error.sqlstate
    if state is None:
        # Without a state libpq itself speaks: the connection broke, or was closed before.
        is_broken = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return _LOST if is_broken else None
    return _BY_STATE.get(state) or _BY_STATE.get(state[:2])


def _of_disk(error: OSError) -> AcaError:
    where = f"of {error.filename} " if error.filename else ""
    return ServerError(
        f"The disk {where}is full.",
        "Nothing that was committed is lost. Free some space, then run again.",
    )
