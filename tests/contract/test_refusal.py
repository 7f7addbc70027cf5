"""Connections that a server refuses, in any language: known by their SQLSTATE."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from etl.db import connection, trouble
from etl.db.refusal import state_of_refusal
from etl.errors import ServerError

# What a client asks before it begins (PostgreSQL 18, message formats: SSLRequest, GSSENCRequest).
_ENCRYPTIONS = (80877103, 80877104)


@contextmanager
def refusing(severity: str, state: str, words: str) -> Iterator[str]:
    """The address of a server that takes no connection and says why, as the protocol has it."""
    fields = (b"S" + severity.encode(), b"VFATAL", b"C" + state.encode(), b"M" + words.encode())
    body = b"\0".join(fields) + b"\0\0"
    answer = b"E" + struct.pack("!i", len(body) + 4) + body

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                while struct.unpack("!ii", client.recv(8, socket.MSG_WAITALL))[1] in _ENCRYPTIONS:
                    client.sendall(b"N")
                client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"host=127.0.0.1 port={listener.getsockname()[1]} user=a dbname=b"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("severity", "state", "words"),
    [
        ("FATAL", "53300", "tut mir leid, schon zu viele Verbindungen"),
        ("FATAL", "53300", "désolé, trop de clients sont déjà connectés"),
        ("FATALE", "57P03", "il sistema di database si sta avviando"),
        ("ВАЖНО", "57P01", "закрытие подключения по команде администратора"),
        ("FATAL", "28P01", "Passwort-Authentifizierung für Benutzer »a« fehlgeschlagen"),
    ],
)
def test_a_refusal_in_another_language_is_known_by_its_state(
    severity: str, state: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "FULL_SECONDS", 0)
    with refusing(severity, state, words) as address, pytest.raises(ServerError) as caught:
        connection.connect(address, "test")
    assert trouble.state_of(caught.value) == state
    assert trouble.is_transient(caught.value) is (state != "28P01")


def test_a_server_without_room_for_a_role_is_known_by_its_state(
    database: psycopg.Connection[object],
) -> None:
    limited = sql.Identifier("refused by its limit")
    database.execute(
        sql.SQL("create role {} login password 'secret' connection limit 0").format(limited)
    )
    try:
        address = make_conninfo(database.info.dsn, user="refused by its limit", password="secret")
        assert state_of_refusal(address) == "53300"
    finally:
        database.execute(sql.SQL("drop role {}").format(limited))


def test_where_nobody_listens_or_all_is_well_there_is_no_state(
    database: psycopg.Connection[object],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert state_of_refusal(f"host=127.0.0.1 port={port}") is None
    assert state_of_refusal("not an address") is None
