"""What COPY says of each row that it skips, in whichever language the server speaks.

PostgreSQL has line, column and value in the text of a notice and in no field of it. A server that
may not speak English is asked first: it skips two rows whose line, column and value are known, and
what it says of them is how it says it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg

from etl.db.statements import run, scalar, statement
from etl.errors import ServerError

_LINE, _NULL_LINE, _COLUMN, _VALUE = 4711, 4712, "probed_column", "odd-value"
_ENGLISH = "skipping row due to data type incompatibility at line"
_SPEAKS_ENGLISH = re.compile(r"(C|POSIX|en)\b|en_", re.IGNORECASE)


class Skipped(NamedTuple):
    """A row that COPY skipped: its line, the column at fault, the beginning of its value."""

    line: int
    column: str
    value: str | None


Read = Callable[[str], Skipped | None]


def reader(connection: psycopg.Connection[Any]) -> Read:
    """What reads the notices of a server; none where a notice is about something else.

    Raises ``ServerError`` where the server's notices cannot be understood.
    """
    language = scalar(connection, "stage/skipped_rows.language")
    if _SPEAKS_ENGLISH.match(language):
        return in_english()
    said = _probe(connection)
    of_value = [text for text in said if _VALUE in text]
    of_null = [text for text in said if str(_NULL_LINE) in text]
    if len(of_value) != 1 or len(of_null) != 1:
        raise ServerError(
            f"The server's messages about rows that cannot be read, in its language ({language}), "
            "are not understood.",
            "Let a superuser run: alter system set lc_messages = 'C'; select pg_reload_conf(). "
            "Nothing was loaded.",
        )
    return reading(of_value[0], of_null[0])


def in_english() -> Read:
    """What reads English notices."""
    start = f'{_ENGLISH} {{}} for column "{_COLUMN}": '
    return reading(f'{start.format(_LINE)}"{_VALUE}"', f"{start.format(_NULL_LINE)}null input")


def reading(of_value: str, of_null: str) -> Read:
    """What reads notices like these two: of a value that is not of its type, and of none."""
    patterns = (_like(of_value, _LINE), _like(of_null, _NULL_LINE))

    def read(text: str) -> Skipped | None:
        for pattern in patterns:
            if found := pattern.fullmatch(text):
                parts = found.groupdict()
                return Skipped(int(parts["line"]), parts["column"], parts.get("value"))
        return None

    return read


def _like(text: str, line: int) -> re.Pattern[str]:
    pattern = re.escape(text)
    for known, any_other in (
        (str(line), r"(?P<line>\d+)"),
        (_COLUMN, r"(?P<column>[a-z][a-z0-9_]*)"),
        (re.escape(_VALUE), "(?P<value>.*)"),
    ):
        pattern = pattern.replace(known, any_other)
    return re.compile(pattern, re.DOTALL)


def _probe(connection: psycopg.Connection[Any]) -> list[str]:
    """What the server says where it skips the two rows; nothing is left of them."""
    said: list[str] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        said.append(diagnostic.message_primary or "")

    connection.add_notice_handler(note)
    try:
        with connection.transaction(force_rollback=True):
            run(connection, "stage/skipped_rows.filled")
            run(connection, "stage/skipped_rows.table")
            with connection.cursor().copy(statement("stage/skipped_rows.copy_in")) as copy:
                copy.write("1\n" * (_LINE - 1) + f"{_VALUE}\n\n")
    finally:
        connection.remove_notice_handler(note)
    return said
