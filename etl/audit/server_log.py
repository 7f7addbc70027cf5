"""Lines of the server's log, as JSON (``log_destination = jsonlog``), to entries of the audit.

A line is believed for what nobody can write who only has a login:

- A look is a line that ``audit.noted`` raised. The context of a line names the function that
  raised it, schema and all, and nobody but the owner can make a function of that name. The same
  text raised by anything else is an imitation, and is kept as that.
- A statement and a line of pgaudit are written by the server itself, without a context. Whatever a
  login raises has one.
- Person, address, session and its line are fields that the server fills in.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from etl.errors import UsageError

_NOTED = "aca.noted "
# "PL/pgSQL function audit.noted(text) line 9 at RAISE" in the server's language, and no other name:
# that of another function has a schema, arguments or quotes of its own.
_OTHERS = r'[^"().\n]*'
_BY_NOTED = re.compile(
    rf'(?=.*RAISE){_OTHERS}(?<![A-Za-z0-9_$])"?audit\.noted\(text\)"?{_OTHERS}(\n|$)'
)
# "statement: ..." and "execute <name>: ..." in the languages that PostgreSQL speaks.
_SENT = (
    *("statement", "Anweisung", "instruction", "sentencia", "istruzione", "sats", "文", "语句"),
    *("оператор", "명령 구문", "ოპერატორი"),
)
_EXECUTED = (
    *(
        "execute",
        "Ausführen",
        "exécute",
        "ejecutar",
        "esecuzione di",
        "kör",
        "実行",
        "取り出し実行",
    ),
    *("执行", "执行FETCH操作", "выполнение", "выборка из", "виконувати", "виконати витягнення з"),
    *("쿼리실행", "자료뽑기", "გაშვება"),
)
_STATEMENT = re.compile(
    rf"({'|'.join(_SENT)}|({'|'.join(_EXECUTED)}) [^:]*?)\s?: (?P<text>.*)", re.DOTALL
)
_PGAUDIT = "AUDIT: "
# What every line says.
_ALWAYS = {"timestamp", "session_id", "line_num", "error_severity"}
# What of pgaudit's classes reads or changes rows.
_READS = ("READ", "WRITE")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a line of the log says; fields as the columns of ``audit.look``."""

    kind: str
    source: str
    looked_at: datetime
    person: str | None
    client_address: str | None
    application_name: str | None
    database_name: str
    session_id: str
    session_line: int
    transaction_id: str | None
    relation_name: str | None = None
    statement: str | None = None
    parameters: str | None = None
    statement_at: datetime | None = None


@dataclass(slots=True)
class Reader:
    """Reads lines of one database's sessions, and counts those that are no JSON."""

    database: str
    readable: int = 0
    unreadable: int = 0
    # The parameters of the statement that a session sent last, which its looks are part of.
    _parameters: dict[str, str | None] = field(default_factory=dict)

    def entries(self, lines: Iterable[bytes]) -> Iterator[Entry]:
        """What lines say of looks, in their order."""
        for line in lines:
            said = self._said(line)
            if said is None or said.get("dbname") != self.database:
                continue
            if entry := self._entry(said):
                yield entry

    def _said(self, line: bytes) -> dict[str, Any] | None:
        # No text of the server has a NUL, and no column takes one.
        text = line.decode(errors="replace").replace("\\u0000", "")
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict) or not said.keys() >= _ALWAYS:
            self.unreadable += bool(text.strip())
            return None
        self.readable += 1
        return said

    def _entry(self, said: dict[str, Any]) -> Entry | None:
        message, context = said.get("message") or "", said.get("context")
        if message.startswith(_NOTED):
            if context and _BY_NOTED.match(context):
                return self._look(said, message)
            return replace(_basic(said, "imitation", "noted"), statement=message)
        if message.startswith(_PGAUDIT):
            return _of_pgaudit(said, message) if context is None else _imitation(said)
        if context is None and (found := _STATEMENT.fullmatch(message)):
            self._parameters[said["session_id"]] = said.get("detail")
            basic = _basic(said, "statement", "log_statement")
            return replace(basic, statement=found["text"], parameters=said.get("detail"))
        return None

    def _look(self, said: dict[str, Any], message: str) -> Entry:
        noted = json.loads(message.removeprefix(_NOTED))
        return replace(
            _basic(said, "look", "noted"),
            relation_name=noted["relation"],
            statement=noted["statement"],
            statement_at=datetime.fromisoformat(noted["statement_at"]),
            parameters=self._parameters.get(said["session_id"]),
        )


def _basic(said: dict[str, Any], kind: str, source: str) -> Entry:
    """What the server says of every line."""
    return Entry(
        kind=kind,
        source=source,
        looked_at=_instant(said["timestamp"]),
        person=said.get("user"),
        client_address=said.get("remote_host"),
        application_name=said.get("application_name"),
        database_name=said["dbname"],
        session_id=said["session_id"],
        session_line=said["line_num"],
        transaction_id=said.get("vxid"),
    )


def _instant(text: str) -> datetime:
    """The time of a line; of the names of zones only that of UTC means one thing."""
    try:
        return datetime.fromisoformat(text.replace(" UTC", "+00:00").replace(" GMT", "+00:00"))
    except ValueError:
        raise UsageError(
            f"The log has times such as {text}, whose zone can mean several.",
            "Set log_timezone = UTC on the server.",
        ) from None


def _imitation(said: dict[str, Any]) -> Entry:
    return replace(_basic(said, "imitation", "pgaudit"), statement=said["message"])


def _of_pgaudit(said: dict[str, Any], message: str) -> Entry | None:
    """A line of pgaudit: type, statement, substatement, class, command, object, name, text, values.

    Without a relation it says nothing of what was read.
    """
    csv.field_size_limit(max(csv.field_size_limit(), len(message)))
    parts = next(csv.reader([message.removeprefix(_PGAUDIT)], strict=False), [])
    if len(parts) < 8 or parts[3] not in _READS or not parts[6]:
        return None
    parameters = parts[8] if len(parts) > 8 and not parts[8].startswith("<") else None
    return replace(
        _basic(said, "look", "pgaudit"),
        relation_name=parts[6],
        statement=parts[7],
        parameters=parameters,
    )
