"""Named SQL statements, read from ``sql/``.

A file contains statements, each under a header line ``-- name: its_name`` and one or more comment
lines that say what it does and its grain. ``{braces}`` are identifiers or fragments composed by
``psycopg.sql``, and ``{folder/file.name}`` is another statement, put in with the same parts;
``%(names)s`` are values bound by the driver. Text is never formatted into SQL.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from itertools import takewhile
from pathlib import Path
from string import Formatter
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from etl.db import steps

FOLDER = Path(__file__).resolve().parent.parent.parent / "sql"
# So many rows of a result are in memory where it comes row by row.
_ROWS_AT_ONCE = 1_000
_HEADER = re.compile(r"^-- name: ([a-z][a-z0-9_]*)\s*$", re.MULTILINE)
# Fields of a header, which etl/quality/checks/header.py reads; they are not part of the statement.
_FIELD = re.compile(r"^--:.*\n", re.MULTILINE)
_STATEMENT = re.compile(r"\{(\w+/\w+\.\w+)\}")
_LEADING_COMMENT = re.compile(r"((?:--[^\n]*\n)*)(.*)", re.DOTALL)

Parts = sql.Composable
Values = dict[str, Any]


@cache
def read_file(name: str) -> dict[str, str]:
    """The statements of ``sql/<name>.sql`` by name, in the file's order."""
    text = (FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    pieces = _HEADER.split(_FIELD.sub("", text))[1:]
    names = pieces[0::2]
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"sql/{name}.sql: every statement needs a name of its own")
    return {
        name: body.strip().removesuffix(";") for name, body in zip(names, pieces[1::2], strict=True)
    }


def statement(name: str, /, **parts: Parts) -> sql.Composed:
    """The statement ``folder/file.statement`` with its identifiers and fragments put in."""
    file, _, key = name.rpartition(".")
    try:
        text = read_file(file)[key]
    except KeyError:
        raise KeyError(f"sql/{file}.sql has no statement {key}") from None
    return composed(text, **parts)


def composed(text: LiteralString, /, **parts: Parts) -> sql.Composed:
    """A text of ``sql/`` with identifiers, fragments and the statements that it names put in."""
    found: list[Parts] = []
    for before, name in _pieces(text):
        found.append(before)
        if name is not None:
            is_statement = "/" in name and name not in parts
            found.append(statement(name, **parts) if is_statement else parts[name])
    return sql.Composed(found)


@cache
def _pieces(text: LiteralString) -> tuple[tuple[sql.SQL, str | None], ...]:
    """A text cut at its braces: what comes before each, and the name in it; at the end none."""
    parsed = Formatter().parse(text)
    return tuple((sql.SQL(before), name) for before, name, _, _ in parsed)


def named_in(text: str) -> list[str]:
    """The statements that a text names in braces."""
    return _STATEMENT.findall(text)


def described(name: str) -> tuple[str, str]:
    """What the header of a statement says, up to an empty line of it, and the statement's text."""
    file, _, key = name.rpartition(".")
    found = _LEADING_COMMENT.fullmatch(read_file(file)[key])
    assert found is not None  # the expression takes any text
    header, text = found.groups()
    lines = (line.removeprefix("--").strip() for line in header.splitlines())
    return " ".join(takewhile(bool, lines)), text


@cache
def purpose(name: str) -> str:
    """What a statement does: the first sentence of its header."""
    return described(name)[0].partition(". ")[0].removesuffix(".")


def begin_step(name: str) -> None:
    """Let whoever watches the run know that this statement begins."""
    if steps.is_listened_to():
        steps.begin(purpose(name))


def run(
    connection: psycopg.Connection[Any],
    name: str,
    values: Values | None = None,
    /,
    **parts: Parts,
) -> psycopg.Cursor[Any]:
    """Execute a named statement; the cursor has its rows and row count."""
    begin_step(name)
    return connection.execute(statement(name, **parts), values)


def run_together(connection: psycopg.Connection[Any], statements: Iterable[Parts]) -> None:
    """Execute statements without values in one round trip, all of them or none."""
    connection.execute(sql.SQL(";\n").join(statements))


@contextmanager
def rows_of(
    connection: psycopg.Connection[Any],
    name: str,
    values: Values | None = None,
    /,
    **parts: Parts,
) -> Iterator[Iterator[tuple[Any, ...]]]:
    """The rows of a named statement as they come, so that they need not fit into memory.

    Whoever stops before the last row ends the statement with the block.
    """
    with connection.cursor() as cursor:
        stream = cursor.stream(statement(name, **parts), values, size=_ROWS_AT_ONCE)
        # Declared as an iterator, it is a generator: closed, it ends the statement.
        with closing(cast(Generator[tuple[Any, ...]], stream)) as rows:
            yield rows


def scalar(
    connection: psycopg.Connection[Any],
    name: str,
    values: Values | None = None,
    /,
    **parts: Parts,
) -> Any:
    """The first column of the first row, or ``None`` if there is no row."""
    row = run(connection, name, values, **parts).fetchone()
    return None if row is None else row[0]


def insert(
    connection: psycopg.Connection[Any],
    table: str,
    rows: Sequence[Values],
    key: str | None = None,
) -> None:
    """Add rows, which all name the same columns; one whose ``key`` is there is changed instead."""
    if not rows:
        return
    parts = {
        "table": sql.Identifier(table),
        "columns": names(rows[0]),
        "values": sql.SQL(", ").join(map(sql.Placeholder, rows[0])),
    }
    if key is None:
        query = statement("db/rows.insert", **parts)
    else:
        parts |= {"key": sql.Identifier(key), "excluded": names(rows[0], "excluded")}
        query = statement("db/rows.insert_or_change", **parts)
    with connection.cursor() as cursor:
        cursor.executemany(query, rows)


def names(columns: Any, prefix: str | None = None) -> sql.Composed:
    """A comma-separated list of column names, each with ``prefix.`` where one is given."""
    return sql.SQL(", ").join(
        sql.Identifier(prefix, column) if prefix else sql.Identifier(column) for column in columns
    )


def each(pattern: LiteralString, columns: Iterable[str]) -> sql.Composed:
    """A comma-separated list: the pattern with each column in its braces."""
    return sql.SQL(", ").join(sql.SQL(pattern).format(sql.Identifier(c)) for c in columns)


def texts(columns: Any, prefix: str) -> sql.Composed:
    """A comma-separated list of the columns of ``prefix`` as text."""
    return sql.SQL(", ").join(
        sql.SQL("{}::text").format(sql.Identifier(prefix, column)) for column in columns
    )


def equal(columns: Any, left: str, right: str) -> sql.Composed:
    """``left.c = right.c`` for each column, joined by AND."""
    return sql.SQL(" and ").join(
        sql.SQL("{} = {}").format(sql.Identifier(left, c), sql.Identifier(right, c))
        for c in columns
    )


def differ(columns: Any, left: str, right: str) -> sql.Composable:
    """Whether any of the columns differs between the two, NULL being a value of its own."""
    if not columns:
        return sql.SQL("false")
    return sql.SQL("({}) is distinct from ({})").format(
        sql.SQL("row({})").format(names(columns, left)),
        sql.SQL("row({})").format(names(columns, right)),
    )


def assign(columns: Any, source: str) -> sql.Composed:
    """``c = source.c`` for each column, for the SET list of an UPDATE."""
    return sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(c), sql.Identifier(source, c)) for c in columns
    )
