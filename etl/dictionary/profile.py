"""Numbers of a relation's columns: rows with a value, different values, and the range of some.

No value of a person is shown: a range only of numbers, days and instants, and of these only where
the de-identified standard keeps the value, or, of a day of a person, its year.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from etl.access.treatments import Treatment
from etl.db.statements import run, scalar, statement
from etl.dictionary.model import Column, Profile

# Above so many rows different values are not counted but estimated by the planner's statistics:
# each column would be sorted for itself.
MOST_COUNTED = 500_000
_DAYS = ("date", "timestamp", "calendar_date", "key_date", "open_date")
_NUMBERS = (
    *("integer", "bigint", "smallint", "numeric", "double precision"),
    *("money_usd", "finite_number", "key_number", "ratio"),
)


def profiles(
    connection: psycopg.Connection[Any], schema: str, name: str, columns: Sequence[Column]
) -> tuple[int, list[Profile]]:
    """How many rows a relation has, and the profile of each column."""
    relation = sql.Identifier(schema, name)
    plan = scalar(connection, "dictionary/catalog.expected", relation=relation)[0]["Plan"]
    counts = plan["Plan Rows"] <= MOST_COUNTED
    measures = sql.SQL(",\n").join(_measures(column, counts=counts) for column in columns)
    (row,) = run(
        connection, "dictionary/catalog.profile", relation=relation, measures=measures
    ).fetchall()
    rows, values = row[0], row[1:]
    estimates = {} if counts else _estimates(connection, schema, name, rows)
    found = []
    for at, column in enumerate(columns):
        filled, distinct, low, high = values[at * 4 : at * 4 + 4]
        estimate = estimates.get(column.name)
        found.append(Profile(filled, distinct if counts else estimate, not counts, low, high))
    return rows, found


def _estimates(
    connection: psycopg.Connection[Any], schema: str, name: str, rows: int
) -> dict[str, int]:
    values = {"schema": schema, "name": name, "rows": rows}
    return dict(run(connection, "dictionary/catalog.estimated_distinct", values).fetchall())


def _measures(column: Column, *, counts: bool) -> sql.Composed:
    name = sql.Identifier(column.name)
    shown = _shown(column, name)
    return sql.SQL(", ").join(
        (
            statement("dictionary/catalog.fill", column=name),
            statement("dictionary/catalog.distinct", column=name) if counts else sql.SQL("null"),
            statement("dictionary/catalog.range", shown=shown)
            if shown is not None
            else sql.SQL("null, null"),
        )
    )


def _shown(column: Column, name: sql.Composable) -> sql.Composable | None:
    """What of a column may be shown as a range; nothing of text, or of what identifies."""
    treatment = column.shown.get("safe_harbor", Treatment.WITHHOLD.value)
    is_day = column.type.startswith(_DAYS)
    if treatment == Treatment.KEEP.value and (is_day or column.type.startswith(_NUMBERS)):
        return name
    if treatment == Treatment.YEAR.value and is_day:
        return statement("dictionary/catalog.year", column=name)
    return None
