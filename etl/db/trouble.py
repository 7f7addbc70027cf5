"""What the server, the disk or another session did to a run, in one sentence each.

Distinguished by SQLSTATE (PostgreSQL 18, appendix A) and by errno; never by the server's words,
which can contain values of rows.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

import psycopg

from etl.errors import AcaError, ServerError

# What passes by itself, by SQLSTATE or its class: the connection is lost or refused; the server
# stops, crashed or starts; a deadlock or a serialization failure; a lock was waited for too long;
# all connections are taken.
TRANSIENT = ("08", "40", "53300", "55P03", "57P01", "57P02", "57P03")
# Of connections that were lost, or did not come about (SQLSTATE).
LOST, REFUSED = "08006", "08001"
# libpq passes no SQLSTATE on where no connection comes about, so that its words have to do. They
# are English everywhere; those of the server are in its own language, and where that is not
# English the server is asked once more (etl/db/refusal.py).
_STATE_OF_WORDS = {
    "Is the server running": REFUSED,
    "timeout expired": REFUSED,
    "Connection reset": LOST,
    "closed the connection unexpectedly": LOST,
    "the database system is": "57P03",
    "terminating connection": "57P01",
    "too many": "53300",
    "remaining connection slots": "53300",
}
_NO_CONNECTION = (
    "connection failed",
    "connection is bad",
    "connection timeout",
    "failed to resolve",
)

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
    "53300": ServerError(
        "All connections of the server are taken.",
        f"{_AGAIN}End other sessions or raise max_connections, then run again.",
    ),
    "40": ServerError(
        "Another transaction changed what a statement of the run had read.",
        f"{_AGAIN}Run again.",
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
    "42501": ServerError(
        "The role of the run lost a right while it was at work, or row security was forced on it.",
        f"{_AGAIN}Run again, which names the right that is lacking.",
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
    "25P03": ServerError(
        "The run did nothing within a transaction for longer than IDLE_MINUTES, and the server "
        "ended its session.",
        f"{_AGAIN}See that the inbox can be read and that nobody is asked, then run again.",
    ),
    "08": _LOST,
}
_DISK = (errno.ENOSPC, errno.EDQUOT)


def state_of(error: BaseException | None) -> str | None:
    """The SQLSTATE of an error or of what it came of; of a lost connection one of class 08.

    ``None`` where no server and no connection is at fault.
    """
    if isinstance(error, AcaError):
        return error.sqlstate
    for cause in _causes(error, also_hidden=False) if error else ():
        if isinstance(cause, AcaError):
            return cause.sqlstate
        if isinstance(cause, psycopg.Error):
            return cause.sqlstate or _state_of_silent(cause)
    return None


def is_transient(error: BaseException) -> bool:
    """Whether what happened passes by itself, so that the same may go well a little later."""
    state = state_of(error) if isinstance(error, Exception) else None
    return state is not None and (state in TRANSIENT or state[:2] in TRANSIENT)


def _state_of_silent(error: psycopg.Error) -> str | None:
    """The SQLSTATE of what libpq reports without one."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return None
    # Of several addresses the last one counts; the others are listed after it.
    said = str(error).partition("Multiple connection attempts failed")[0]
    if not said.startswith(_NO_CONNECTION):
        return LOST
    return next((state for words, state in _STATE_OF_WORDS.items() if words in said), None)


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


def shown(error: BaseException | None) -> BaseException | None:
    """What a person is shown of an error: the sentence for it if there is one."""
    return error and (explain(error) or error)


def _causes(error: BaseException, *, also_hidden: bool = True) -> Iterator[BaseException]:
    """An error and what it came of; other libraries wrap the driver's as ``orig``.

    ``also_hidden``: also what was hidden on purpose (``raise ... from None``).
    """
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        found = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        is_hidden = found.__suppress_context__ and not also_hidden
        context = None if is_hidden else found.__context__
        more = (getattr(found, "orig", None), found.__cause__, context)
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
