"""Raw values: what a contract makes of the text of rows that are not in staging.

Rejected rows are kept as text. Whose row it is, which key it names and what its amounts are is made
by the same expressions that make these of rows that are loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.column import Identifier
from etl.db.statements import run, statement
from etl.inbox import csv_records
from etl.inbox.copy_stream import fault_of
from etl.inbox.header import Header
from etl.render.made_values import MARKS
from etl.stages import tables
from etl.stages.stage import landing

_TABLE = "raw_record"


def values_of(
    connection: psycopg.Connection[Any],
    head: Header,
    columns: Sequence[str],
    records: Iterable[str | None],
) -> list[list[list[str]]]:
    """Of each record, by column, the texts that its contract makes of it and that its type takes.

    One for most columns, several where they repeat; none of a record whose fields cannot be
    distinguished.
    """
    made = [
        sql.SQL("array[{}]::text[]").format(
            sql.SQL(", ").join(landing.raw_expressions(column, head))
        )
        for column in columns
    ]
    found: list[list[list[str]]] = []
    for values in _made(connection, head, made, records):
        by_column = [[]] * len(columns) if values is None else values
        found.append([[t for t in texts if t and t not in MARKS] for texts in by_column])
    return found


def amounts_of(
    connection: psycopg.Connection[Any],
    head: Header,
    columns: Sequence[str],
    records: Iterable[str | None],
) -> list[list[int | None]]:
    """Of each record the cents of amounts that its contract makes; ``None`` where they are none."""
    made = [landing.raw_cents(column, head) for column in columns]
    found = _made(connection, head, made, records)
    return [[None] * len(columns) if values is None else values for values in found]


def _made(
    connection: psycopg.Connection[Any],
    head: Header,
    made: Sequence[sql.Composable],
    records: Iterable[str | None],
) -> list[list[Any] | None]:
    """What expressions make of each record, ``None`` where its fields cannot be distinguished."""
    given = [_fields(record, head) for record in records]
    if not any(given):
        return [None] * len(given)
    names = [sql.Identifier(f"field_{at}") for at in range(len(head.names))]
    run(
        connection,
        "stage/raw_values.create",
        fields=sql.SQL(", ").join(sql.SQL("{} text").format(name) for name in names),
    )
    with connection.cursor().copy(statement("stage/raw_values.fill")) as copy:
        for number, fields in enumerate(given):
            if fields is not None:
                copy.write_row([number, *fields])
    found: list[list[Any] | None] = [None] * len(given)
    for number, *values in run(
        connection, "stage/raw_values.make", values=sql.SQL(", ").join(made)
    ):
        found[number] = values
    tables.drop(connection, _TABLE)
    return found


def made_numbers(
    connection: psycopg.Connection[Any], head: Header | None, records: Sequence[str | None]
) -> list[list[str]]:
    """Of each record the numbers of members that its contract makes of it, and that no field is."""
    if head is None:
        return [[] for _ in records]
    members = [
        column.name
        for column in head.contract.feed.staged
        if column.identifier is Identifier.MEMBER_NUMBER
        and column.name in head.columns
        and not head.fields(column.name)
    ]
    if not members:
        return [[] for _ in records]
    found = values_of(connection, head, members, records)
    return [[number for numbers in made for number in numbers] for made in found]


def _fields(record: str | None, head: Header) -> list[str | None] | None:
    """The fields of a record as they land; ``None`` where they cannot be distinguished."""
    if record is None:
        return None
    raw = record.encode()
    if fault_of(raw, len(head.names)) is not None:
        return None
    values = csv_records.values_of(csv_records.trimmed(raw))
    return [value.decode() or None for value in values]
