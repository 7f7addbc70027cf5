"""Why a server takes no connection, whatever language it speaks.

libpq passes on no SQLSTATE where no connection comes about, and psycopg has only its words. libpq
can say the SQLSTATE in place of the words (``PQsetErrorVerbosity``, PostgreSQL 18, section 32.11),
which has to be asked for after a connection has been begun and before it fails. psycopg does not
wrap that function, and gives the pointer with which it can be called.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import re
import select
import sys
import time

import psycopg
from psycopg import pq

_SECONDS = 5.0
# PQERRORS_SQLSTATE of libpq-fe.h: severity and SQLSTATE alone.
_SQLSTATE_ONLY = 3
# The severity before it is in the server's language.
_STATE = re.compile(r":\s+([0-9A-Z]{5})\s*$", re.MULTILINE)


def state_of_refusal(address: str) -> str | None:
    """The SQLSTATE with which the server of an address refuses a connection just now.

    ``None`` where it refuses none, or says nothing within seconds. Of several servers the last.
    """
    connection = pq.PGconn.connect_start(address.encode())
    try:
        _say_states_only(connection)
        _wait(connection)
        states = _STATE.findall(connection.error_message.decode("utf-8", "replace"))
    # Also where this libpq cannot be asked so: then only the words are known.
    except (OSError, ValueError, AttributeError, psycopg.Error):
        return None
    finally:
        connection.finish()
    return states[-1] if states else None


def _say_states_only(connection: pq.abc.PGconn) -> None:
    # A library's own symbols and those of the libraries that it needs are found by its name.
    library = ctypes.CDLL(_library())
    library.PQsetErrorVerbosity.argtypes = [ctypes.c_void_p, ctypes.c_int]
    pointer = connection.pgconn_ptr  # type: ignore[attr-defined]  # not in its protocol
    library.PQsetErrorVerbosity(pointer, _SQLSTATE_ONLY)


def _library() -> str | None:
    """Where libpq is: below psycopg's own module, or, for its pure Python, where that finds it."""
    if pq.__impl__ == "python":
        return ctypes.util.find_library("pq")
    return sys.modules[pq.PGconn.__module__].__file__


def _wait(connection: pq.abc.PGconn) -> None:
    """Go on with a connection until it has failed or come about."""
    deadline = time.monotonic() + _SECONDS
    while connection.status != pq.ConnStatus.BAD and time.monotonic() < deadline:
        state = connection.connect_poll()
        if state in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
            return
        socket = [connection.socket]
        is_reading = state == pq.PollingStatus.READING
        select.select(
            socket if is_reading else [],
            [] if is_reading else socket,
            [],
            max(deadline - time.monotonic(), 0),
        )
