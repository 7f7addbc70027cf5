"""Landing: files whose columns are not those of staging go through a table of their own.

Columns that the contract does not know are dropped on the way, and rows that it does not mean are
counted and left there. Values that the sender writes otherwise than the feed asks for, or that are
made of several, land as text; one set-based statement reads them as the contract declares, moves
the rows into staging and returns those that cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.column import IS_DELETED, Column
from etl.contracts.types import Type
from etl.contracts.value import Repeat
from etl.db.statements import names, rows_of, run, statement
from etl.inbox import readings
from etl.inbox.copy_stream import refuse_too_many
from etl.inbox.header import Header
from etl.inbox.readings import Direct
from etl.render import made_values, parsing
from etl.render.made_values import REPEATED

# So many characters of a value at fault are enough to see what is wrong with it.
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Landing:
    """What a file's fields are called where they land.

    ``fields``: a name for each, in the file's order: our column's where COPY can read it.
    ``read``: the columns that are made or read from text, each with its expression.
    ``direct``: what the stream does to values that COPY would not read, and which rows it filters;
    ``None`` where it passes on what the file has.
    """

    fields: list[str]
    read: dict[str, sql.Composable]
    is_needed: bool
    direct: Direct | None = None

    @property
    def filters(self) -> bool:
        """Whether rows that are not meant are filtered before they land."""
        return self.direct is not None and self.direct.filters


@dataclass(frozen=True, slots=True)
class Filtered:
    """Rows of one part of a file that its contract does not mean.

    ``part``: its number, 1 up. ``amounts``: US dollars by money column, in the feed's order.
    """

    part: int
    rows: int
    amounts: list[Decimal | None]


def plan(header: Header) -> Landing:
    """Where the fields of a file go."""
    found = readings.plan(header)
    if found is None:
        return plan_as_text(header)
    of_fields, conditions = found
    typed = {at: reading.column.name for at, reading in of_fields.items()}
    is_direct = conditions or not all(reading.is_own for reading in of_fields.values())
    direct = Direct([*of_fields.values()], conditions) if is_direct else None
    return _plan(header, typed, direct)


def plan_as_text(header: Header) -> Landing:
    """All fields as text: the way of every row that nothing but the contract's SQL can judge.

    Rows that are not meant may have anything in their fields, so that no value is typed before they
    are gone.
    """
    return _plan(header, {}, None)


def _plan(header: Header, typed: Mapping[int, str], direct: Direct | None) -> Landing:
    """A plan by which the fields at these positions are typed by COPY."""
    fields = [typed.get(at, f"field_{at}") for at in range(len(header.names))]
    others = [name for name in header.columns if name not in typed.values()]
    read = {name: _expression(name, header, fields) for name in others}
    is_needed = sorted(fields) != sorted(header.columns)
    return Landing(fields, read, is_needed, direct)


def _expression(name: str, header: Header, fields: Sequence[str]) -> sql.Composable:
    """A column as text that its type takes, if it is one at all."""
    contract, column = header.contract, header.contract.feed.column(name)
    if contract.repeat is not None and name in contract.repeat.names:
        return sql.Identifier(REPEATED, name)
    if at := header.fields(name):
        return parsing.read(column, contract.parsing, [sql.Identifier(fields[n]) for n in at])
    return made_values.text(contract.values[name], _source(header, fields, column))


def _source(header: Header, fields: Sequence[str], column: Column | None) -> made_values.Source:
    return made_values.Source(
        lambda field: [sql.Identifier(fields[at]) for at in header.positions(field)],
        header.of_file,
        column,
        header.contract.parsing,
    )


def raw_expressions(name: str, header: Header) -> list[sql.Composable]:
    """A column of ours as text of its type, each time that it is in a record of text fields."""
    fields = [f"field_{at}" for at in range(len(header.names))]
    contract, column = header.contract, header.contract.feed.column(name)
    if header.fields(name):
        return [parsing.text_if_valid(column, _expression(name, header, fields))]
    if contract.repeat is not None and name == contract.repeat.number:
        return [sql.Literal(str(number)) for number in range(1, contract.repeat.times + 1)]
    source = _source(header, fields, column)
    made = (made_values.text(value, source) for value in contract.values_of(name))
    return [parsing.text_if_valid(column, value) for value in made]


def raw_cents(name: str, header: Header) -> sql.Composable:
    """The cents of an amount that is made of a record of text fields, in all rows that it gives."""
    fields = [f"field_{at}" for at in range(len(header.names))]
    column = header.contract.feed.column(name)
    source = _source(header, fields, column)
    made = [made_values.text(value, source) for value in header.contract.values_of(name)]
    cents = [
        statement("render/parsing.cents", value=value, amount=parsing.if_valid(column, value))
        for value in made
    ]
    return sql.SQL(" + ").join(cents)


def create(connection: psycopg.Connection[Any], header: Header, landing: Landing) -> None:
    """Make the table: typed where COPY reads the value, text elsewhere."""
    columns = sql.SQL(", ").join(
        sql.Identifier(name)
        if name in header.columns
        else sql.SQL("null::text as {}").format(sql.Identifier(name))
        for name in landing.fields
    )
    table = sql.Identifier(header.contract.feed.table)
    run(connection, "stage/landing.create", table=table, columns=columns)


def count_filtered(
    connection: psycopg.Connection[Any],
    header: Header,
    landing: Landing,
    first_lines: Sequence[int],
) -> list[Filtered]:
    """Count the rows that the contract does not mean; ``first_lines``: of the file's parts."""
    if landing.filters or not header.contract.filters:
        return []
    sums = [
        sql.SQL("sum({})").format(_amount(name, header, landing))
        for name in header.contract.feed.money
    ]
    found = run(
        connection,
        "stage/landing.count_filtered",
        is_meant=_is_meant(header, landing),
        first_lines=sql.Literal(list(first_lines)),
        sums=sql.SQL(", ").join(sums),
    )
    return [Filtered(*row) for row in found]


def _is_meant(header: Header, landing: Landing) -> sql.Composable:
    """Whether a row is one of those that the contract means."""
    contract = header.contract
    source = _source(header, landing.fields, None)
    where = () if landing.filters else contract.where
    conditions = [made_values.is_meant(condition, source) for condition in where]
    if contract.repeat is not None:
        conditions.append(made_values.gives_any(contract.repeat, source))
    return sql.SQL(" and ").join(conditions) if conditions else sql.SQL("true")


def _amount(name: str, header: Header, landing: Landing) -> sql.Composable:
    """An amount of a row that is not meant, nothing where it cannot be read."""
    repeat, column = header.contract.repeat, header.contract.feed.column(name)
    if repeat is not None and name in repeat.names:
        source = _source(header, landing.fields, column)
        several = (made_values.text(value, source) for value in dict(repeat.columns)[name])
        return statement(
            "stage/landing.sum_of",
            value_rows=sql.SQL(", ").join(
                sql.SQL("({})").format(parsing.if_valid(column, value)) for value in several
            ),
        )
    if name not in landing.read:
        return sql.SQL("null::numeric")
    return parsing.if_valid(column, landing.read[name])


def move(
    connection: psycopg.Connection[Any], header: Header, landing: Landing, into: str
) -> Iterator[tuple[int, str, str | None]]:
    """Move the rows into staging, the table ``into``, and drop the table.

    Yields (line, column, beginning of its value) of those left out.
    """
    feed, repeat = header.contract.feed, header.contract.repeat
    table, columns = sql.Identifier(into), names(header.columns)
    if landing.read:
        read = [feed.column(name) for name in landing.read]
        faults = sql.SQL(" ").join(_when(column, header) for column in read)
        with rows_of(
            connection,
            "stage/landing.move_read",
            table=table,
            columns=columns,
            values=sql.SQL(", ").join(_value(landing, name) for name in header.columns),
            repeated=_repeated(repeat, header, landing) if repeat else sql.SQL(""),
            first_fault=sql.SQL("case {} end").format(faults),
            shown=sql.SQL("case fault {} end").format(sql.SQL(" ").join(map(_shown, read))),
            is_meant=_is_meant(header, landing),
            typed=sql.SQL(", ").join(_typed(feed.column(c), landing) for c in header.columns),
        ) as rows:
            for number, row in enumerate(rows, 1):
                refuse_too_many(number, f"The file of {feed.name}")
                yield row
    else:
        run(
            connection, "stage/landing.move", table=table, columns=columns, is_meant=sql.SQL("true")
        )
    run(connection, "stage/landing.drop")


def _repeated(repeat: Repeat, header: Header, landing: Landing) -> sql.Composable:
    """The rows that one row of the file gives: those with a value in the first of the columns."""
    feed = header.contract.feed
    columns = [(feed.column(name), values) for name, values in repeat.columns]
    rows = []
    for at in range(repeat.times):
        number = [sql.Literal(str(at + 1))] if repeat.number else []
        made = [
            made_values.text(values[at], _source(header, landing.fields, column))
            for column, values in columns
        ]
        rows.append(sql.SQL("({})").format(sql.SQL(", ").join([*number, *made])))
    return made_values.repeated(rows, repeat)


def _value(landing: Landing, name: str) -> sql.Composable:
    if name not in landing.read:
        return sql.Identifier(name)
    return sql.SQL("{} as {}").format(landing.read[name], sql.Identifier(name))


def _when(column: Column, header: Header) -> sql.Composable:
    value = sql.Identifier(column.name)
    fault = parsing.fault(column, value)
    if column.type is Type.KEY_DATE and IS_DELETED.name in header.columns:
        fault = parsing.unless_marker(fault, value)
    if any(map(made_values.may_be_marked, header.contract.values_of(column.name))):
        fault = sql.SQL("{} or {}").format(fault, made_values.is_marked(value))
    return sql.SQL("when {} then {}").format(fault, sql.Literal(column.name))


def _shown(column: Column) -> sql.Composable:
    return sql.SQL("when {} then left({}, {})").format(
        sql.Literal(column.name), sql.Identifier(column.name), sql.Literal(_SHOWN)
    )


def _typed(column: Column, landing: Landing) -> sql.Composable:
    if column.name not in landing.read:
        return sql.Identifier(column.name)
    # The name of a type is no identifier: "integer" in quotes is none.
    kind = sql.SQL(column.staging)
    return sql.SQL("{}::{}").format(sql.Identifier(column.name), kind)
