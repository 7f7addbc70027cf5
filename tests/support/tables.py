"""Tables that are drawn in a test: names on top, a row a line, bars between the columns.

    member_id | last_name | state
    A         | Ames      | TX
    B         |           | FL

A cell without a value is not there: ``write_batch`` fills it, and of a query it is null or empty.
"""

from __future__ import annotations

from datetime import datetime, time
from typing import Any

import psycopg

Drawn = list[dict[str, str]]


def draw(table: str) -> Drawn:
    """The rows of a drawn table, every value as text."""
    lines = [line for line in table.splitlines() if line.strip()]
    names, *rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    return [{name: cell for name, cell in zip(names, row, strict=True) if cell} for row in rows]


def drawn(connection: psycopg.Connection[Any], query: str) -> Drawn:
    """What a query answers, as it would be drawn; instants at midnight are days."""
    cursor = connection.execute(query)
    names = [column.name for column in cursor.description or ()]
    return [
        {name: _cell(value) for name, value in zip(names, row, strict=True) if _cell(value)}
        for row in cursor
    ]


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return str(value.date() if value.time() == time() else value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
