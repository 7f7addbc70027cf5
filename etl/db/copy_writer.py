"""A writer for COPY that listens while it sends.

The server reports each row that it skips. While nobody reads its reports, it stops reading what
is sent; a client that only waits until it can send on then waits for ever.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, cast

import psycopg
from psycopg.copy import LibpqWriter
from psycopg.pq.abc import PGconn
from psycopg.waiting import Ready, Wait

# What psycopg's generators wait for, and get as an answer.
Waiting = Generator[Wait, Ready, Any]


class ListeningWriter(LibpqWriter):
    """Takes in what the server sends wherever it waits to send."""

    def __init__(self, cursor: psycopg.Cursor[Any]) -> None:
        super().__init__(cursor)
        self.connection = cast(Any, _Listening(cursor.connection))


class _Listening:
    """A connection as the writer needs it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def wait(self, sending: Waiting) -> Any:
        """Bring a generator of psycopg to its end."""
        return self._connection.wait(cast(Any, _listen(self._connection.pgconn, sending)))


def _listen(connection: PGconn, sending: Waiting) -> Waiting:
    """The same generator, which also reads while it waits to write."""
    try:
        wanted = next(sending)
        while True:
            if wanted is not Wait.W:
                ready = yield wanted
            else:
                ready = yield Wait.RW
                if ready & Ready.R:
                    connection.consume_input()
                if not ready & Ready.W:
                    continue
                ready = Ready.W
            wanted = sending.send(ready)
    except StopIteration as end:
        return end.value
