"""A server's messages in other languages: notices of COPY, lines of its log, refusals to connect.

The texts are as the server's catalogs have them; those of the notices follow the same languages,
also where they name the column before the line.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from etl.audit.server_log import Entry, Reader
from etl.db import trouble
from etl.db.connection import connect
from etl.errors import ServerError
from etl.stages.stage.skipped_rows import in_english, reading

# A notice of a value, and how it goes on for none, with line and column.
NOTICES = {
    "en": (
        'skipping row due to data type incompatibility at line {} for column "{}": "{}"',
        'skipping row due to data type incompatibility at line {} for column "{}": null input',
    ),
    "de": (
        "überspringe Zeile wegen Datentypinkompatibilität in Zeile {} für Spalte »{}«: »{}«",
        "überspringe Zeile wegen Datentypinkompatibilität in Zeile {} für Spalte »{}«: "
        "NULL-Eingabe",
    ),
    "fr": (
        "ligne ignorée à cause de l'incompatibilité du type de données à la ligne {} pour la "
        "colonne « {} » : « {} »",
        "ligne ignorée à cause de l'incompatibilité du type de données à la ligne {} pour la "
        "colonne « {} » : entrée NULL",
    ),
    "column first": ('列 "{1}"({0}行目)を読み飛ばし: "{2}"', '列 "{1}"({0}行目)を読み飛ばし: NULL'),
}
VALUES = ["x", "", "2025-13-01", 'a "b" «c» »d«', "line 7 for column", "first\nsecond", "日本..."]


@pytest.mark.parametrize("language", NOTICES)
def test_notice_is_read_as_the_server_has_shown_it(language: str) -> None:
    of_value, of_null = NOTICES[language]
    read = reading(
        of_value.format(4711, "probed_column", "odd-value"), of_null.format(4712, "probed_column")
    )
    for line, value in enumerate(VALUES, start=9):
        assert read(of_value.format(line, "dob", value)) == (line, "dob", value)
    assert read(of_null.format(70_000, "member_id")) == (70_000, "member_id", None)
    assert read("2 rows were skipped due to data type incompatibility") is None


def test_english_is_known_beforehand() -> None:
    of_value, of_null = NOTICES["en"]
    assert in_english()(of_value.format(3, "dob", "x")) == (3, "dob", "x")
    assert in_english()(of_null.format(4, "dob")) == (4, "dob", None)


CONTEXTS = {
    "en": "PL/pgSQL function {} line 9 at RAISE",
    "de": "PL/pgSQL-Funktion {} Zeile 9 bei RAISE",
    "fr": "fonction PL/pgSQL {}, ligne 9 à RAISE",
    "es": "función PL/pgSQL {} en la línea 9 en RAISE",
    "ja": "PL/pgSQL関数{}の9行目 - RAISE",
    "ru": "функция PL/pgSQL {}, строка 9, оператор RAISE",
    "ko": 'PL/pgSQL 함수 "{}" 의 9번째 RAISE',
    "zh_CN": "在RAISE的第9行的PL/pgSQL函数{}",
}
STATEMENTS = {
    "en": ("statement: {}", "execute <unnamed>: {}"),
    "de": ("Anweisung: {}", "Ausführen <unnamed>: {}"),
    "fr": ("instruction : {}", "exécute <unnamed>: {}"),
    "es": ("sentencia: {}", "ejecutar s1/p1: {}"),
    "ja": ("文: {}", "実行 <unnamed>: {}"),
    "ru": ("оператор: {}", "выполнение <unnamed>: {}"),
    "ko": ("명령 구문: {}", "쿼리실행 <unnamed>: {}"),
    "zh_CN": ("语句: {}", "执行 <unnamed>: {}"),
}


def entries(**said: Any) -> list[Entry]:
    line = {
        "timestamp": "2025-03-01 10:00:00.000 UTC",
        "user": "ann",
        "dbname": "aca",
        "session_id": "s",
        "line_num": 1,
        "error_severity": "LOG",
        **said,
    }
    return list(Reader("aca").entries([json.dumps(line).encode()]))


NOTED = "aca.noted " + json.dumps(
    {
        "relation": "warehouse.dim_member",
        "statement": "select 1",
        "statement_at": "2025-03-01T10:00:00+00:00",
    }
)


@pytest.mark.parametrize("language", CONTEXTS)
def test_look_is_one_in_every_language_and_an_imitation_in_none(language: str) -> None:
    context = CONTEXTS[language]
    more = "\nSQL statement ..."
    for text in (context.format("audit.noted(text)"), context.format("audit.noted(text)") + more):
        assert [e.kind for e in entries(message=NOTED, context=text)] == ["look"]
    for name in (
        "public.noted(text)",
        "xaudit.noted(text)",
        "audit.noted(text,text)",
        "audit.noted(integer)",
        '"audit.noted"(text)',
        '"audit.noted(text)"(text)',
        'public."audit.noted(text)"()',
        '"a b audit".noted(text)',
        "f(text) audit.noted(text)",
        'public."x\naudit.noted(text) RAISE"()',
        "inline_code_block",
    ):
        found = entries(message=NOTED, context=context.format(name))
        assert [e.kind for e in found] == ["imitation"], name
    assert [e.kind for e in entries(message=NOTED)] == ["imitation"]


@pytest.mark.parametrize("language", STATEMENTS)
def test_statement_is_one_in_every_language(language: str) -> None:
    text = "select first_name\nfrom members -- a: b"
    for form in STATEMENTS[language]:
        [entry] = entries(message=form.format(text), detail="$1 = '7'")
        assert (entry.kind, entry.statement, entry.parameters) == ("statement", text, "$1 = '7'")
        assert entries(message=form.format(text), context="PL/pgSQL ...") == []


def refuse(listener: socket.socket, answer: bytes) -> None:
    while True:
        client, _ = listener.accept()
        with client, suppress(OSError):
            client.recv(4096)
            client.sendall(answer)


@contextmanager
def refusing(state: str, text: str) -> Iterator[int]:
    """A server that takes no connection, and says so; its port.

    It is a process of its own: libpq does not let other threads run while it asks.
    """
    said = ((b"S", "FATAL"), (b"C", state), (b"M", text))
    fields = b"".join(key + value.encode() + b"\0" for key, value in said)
    answer = b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = multiprocessing.get_context("fork").Process(
            target=refuse, args=(listener, answer), daemon=True
        )
        server.start()
        yield listener.getsockname()[1]
        server.kill()
        server.join()


@pytest.mark.parametrize(
    ("state", "text", "is_transient"),
    [
        ("57P03", "das Datenbanksystem startet", True),
        ("57P03", "le système de bases de données se lance", True),
        ("28P01", "Passwort-Authentifizierung für Benutzer »ann« fehlgeschlagen", False),
    ],
)
def test_server_that_starts_is_waited_for_whatever_it_says(
    state: str, text: str, is_transient: bool
) -> None:
    with refusing(state, text) as port, pytest.raises(ServerError) as caught:
        connect(f"postgresql://ann@127.0.0.1:{port}/aca?sslmode=disable", "test")
    assert trouble.is_transient(caught.value) is is_transient
