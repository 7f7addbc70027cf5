"""Landing: files whose columns are not those of staging go through a table of their own.

Columns that the contract does not know are dropped on the way. Values that the sender writes
otherwise than the feed asks for land as text, and one set-based statement reads them as the
contract declares, moves the rows into staging and returns those that cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.column import IS_DELETED, Column
from etl.contracts.types import Type
from etl.db.statements import names, rows_of, run
from etl.inbox.copy_stream import refuse_too_many
from etl.inbox.header import Header
from etl.render import parsing

# So many characters of a value at fault are enough to see what is wrong with it.
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Landing:
    """What a file's fields are called where they land.

    ``fields``: a name for each, in the file's order: our column's where COPY can read it.
    ``written``: columns that are read from text, each with its fields.
    """

    fields: list[str]
    written: dict[str, list[str]]
    is_needed: bool


def plan(header: Header) -> Landing:
    """Where the fields of a file go."""
    fields = [f"field_{at}" for at in range(len(header.targets))]
    written = {}
    for name in header.columns:
        at = header.fields(name)
        column = header.contract.feed.column(name)
        if len(at) == 1 and parsing.is_plain(column, header.contract.parsing):
            fields[at[0]] = name
        else:
            written[name] = [fields[position] for position in at]
    return Landing(fields, written, is_needed=fields != header.columns)


def create(connection: psycopg.Connection[Any], header: Header, landing: Landing) -> None:
    """Make the table: typed where COPY reads the value, text elsewhere."""
    columns = sql.SQL(", ").join(
        sql.Identifier(name)
        if name == target
        else sql.SQL("null::text as {}").format(sql.Identifier(name))
        for name, target in zip(landing.fields, header.targets, strict=True)
    )
    table = sql.Identifier(header.contract.feed.table)
    run(connection, "stage/landing.create", table=table, columns=columns)


def move(
    connection: psycopg.Connection[Any], header: Header, landing: Landing
) -> list[tuple[int, str, str | None]]:
    """Move the rows into staging and drop the table.

    Returns (line, column, beginning of its value) of those left out.
    """
    feed = header.contract.feed
    table, columns = sql.Identifier(feed.table), names(header.columns)
    left: list[tuple[Any, ...]] = []
    if landing.written:
        written = [feed.column(name) for name in landing.written]
        faults = sql.SQL(" ").join(_when(column, header) for column in written)
        with rows_of(
            connection,
            "stage/landing.move_read",
            table=table,
            columns=columns,
            values=sql.SQL(", ").join(_value(header, landing, name) for name in header.columns),
            first_fault=sql.SQL("case {} end").format(faults),
            shown=sql.SQL("case fault {} end").format(sql.SQL(" ").join(map(_shown, written))),
            typed=sql.SQL(", ").join(_typed(feed.column(c), landing) for c in header.columns),
        ) as rows:
            for row in rows:
                left.append(row)
                refuse_too_many(len(left), f"The file of {feed.name}")
    else:
        run(connection, "stage/landing.move", table=table, columns=columns)
    run(connection, "stage/landing.drop")
    return left


def _value(header: Header, landing: Landing, name: str) -> sql.Composable:
    if name not in landing.written:
        return sql.Identifier(name)
    fields = [sql.Identifier(field) for field in landing.written[name]]
    column = header.contract.feed.column(name)
    value = parsing.read(column, header.contract.parsing, fields)
    return sql.SQL("{} as {}").format(value, sql.Identifier(name))


def _when(column: Column, header: Header) -> sql.Composable:
    value = sql.Identifier(column.name)
    fault = parsing.fault(column, value)
    if column.type is Type.KEY_DATE and IS_DELETED.name in header.columns:
        fault = parsing.unless_marker(fault, value)
    return sql.SQL("when {} then {}").format(fault, sql.Literal(column.name))


def _shown(column: Column) -> sql.Composable:
    return sql.SQL("when {} then left({}, {})").format(
        sql.Literal(column.name), sql.Identifier(column.name), sql.Literal(_SHOWN)
    )


def _typed(column: Column, landing: Landing) -> sql.Composable:
    if column.name not in landing.written:
        return sql.Identifier(column.name)
    # The name of a type is no identifier: "integer" in quotes is none.
    kind = sql.SQL(column.staging)
    return sql.SQL("{}::{}").format(sql.Identifier(column.name), kind)
