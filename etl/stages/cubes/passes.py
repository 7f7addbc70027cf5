"""Passes: the rows of a cube, made of some months of service after the other.

Where the groups of a cube do not fit into the memory of a step, the server writes claims to disk
and reads them again. Claims of different months are in no group together, so such a cube is made in
passes that fit. How many claims each partition has is known from its statistics; where all of them
fit there is one pass, which is the definition as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import pairwise
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from etl.db.statements import run, scalar, statement
from etl.stages import tables
from etl.warehouse.tables import FACT_CLAIM, Cube


class Months(NamedTuple):
    """Months of service, from the first day up to the one after the last, and how many claims."""

    first_day: date
    next_day: date
    claims: int


def conditions(connection: psycopg.Connection[Any], cube: Cube) -> list[sql.Composed]:
    """What restricts a cube's definition to the months of each pass; none where one is enough."""
    if not cube.bytes_a_claim:
        return []
    most = scalar(connection, "cubes/passes.memory") // cube.bytes_a_claim
    parents = sql.Literal(FACT_CLAIM.table)
    there = (Months(*row) for row in run(connection, "cubes/passes.claims", parents=parents))
    borders = [months.first_day for months in together(there, most)][1:]
    if not borders:
        return []
    # Every day is of one of the passes, also one that no partition is known to have.
    ends = [sql.Literal("-infinity"), *map(sql.Literal, borders), sql.Literal("infinity")]
    return [
        statement("cubes/passes.of_months", first_day=first_day, next_day=next_day)
        for first_day, next_day in pairwise(ends)
    ]


def add(
    connection: psycopg.Connection[Any], made: sql.Composable, further: Iterable[sql.Composable]
) -> int:
    """Add the rows of further passes to a table that has those of the first; how many."""
    rows = 0
    for query in further:
        run(connection, "cubes/passes.make_pass", definition=query)
        rows += run(connection, "cubes/passes.add_pass", made=made).rowcount
        tables.drop(connection, "of_pass")
    return rows


def together(partitions: Iterable[Months], most: int) -> list[Months]:
    """Months put together while they have at most so many claims; a year with more is cut."""
    found: list[Months] = []
    for months in partitions:
        for part in _cut(months, most):
            if found and found[-1].claims + part.claims <= most:
                first = found.pop()
                part = Months(first.first_day, part.next_day, first.claims + part.claims)
            found.append(part)
    return found


def _cut(months: Months, most: int) -> Iterator[Months]:
    """Parts of as many months each, as if every month had as many claims."""
    first, after = _number(months.first_day), _number(months.next_day)
    parts = max(min(after - first, math.ceil(months.claims / max(most, 1))), 1)
    borders = [first + (after - first) * part // parts for part in range(parts + 1)]
    for begin, end in pairwise(borders):
        yield Months(_first_day(begin), _first_day(end), math.ceil(months.claims / parts))


def _number(month: date) -> int:
    return month.year * 12 + month.month - 1


def _first_day(number: int) -> date:
    return date(number // 12, number % 12 + 1, 1)
