"""The columns that every count of claims has, as SQL for whoever sums or compares them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import LiteralString

from psycopg import sql

from etl.db.statements import each, names, statement
from etl.render import claim_status
from etl.warehouse.tables import Cube

# How many claims of each state, and their money in US dollars.
MEASURES: tuple[LiteralString, ...] = (
    "claims",
    "pending_claims",
    "denied_claims",
    "unknown_status_claims",
    "billed_usd",
    "pending_billed_usd",
    "unknown_status_billed_usd",
    "allowed_usd",
    "paid_usd",
)


@cache
def fragments() -> Mapping[str, sql.Composable]:
    """Parts of a statement: ``measures``, their ``sums``, and ``zeros`` to compare them with.

    ``summed_measures`` are the sums under the names of the measures, ``signed_sums`` count each row
    with its column ``sign``, and ``changes`` are the measures of a row ``m``. In a merge of changes
    ``m`` into a cube ``c``, ``added`` sets the measures and ``written`` is what that came to.
    """
    return {
        "measures": names(MEASURES),
        "changes": names(MEASURES, "m"),
        "sums": each("sum({})", MEASURES),
        "summed_measures": each("sum({0}) as {0}", MEASURES),
        "signed_sums": each("sum(sign * {})", MEASURES),
        "added": each("{0} = c.{0} + m.{0}", MEASURES),
        "written": each("coalesce(new.{0}, 0) - coalesce(old.{0}, 0) as {0}", MEASURES),
        "zeros": sql.SQL(", ").join([sql.Literal(0)] * len(MEASURES)),
    }


def summed(keys: tuple[str, ...], claims: sql.Composable) -> sql.Composed:
    """The measures by ``keys`` of a query of claims (``sql/cubes/measures.sql``)."""
    return statement(
        "cubes/measures.summed", keys=names(keys), claims=claims, state=claim_status.state()
    )


def days_of(cubes: Iterable[Cube]) -> sql.Composed:
    """The measures of cubes that count all claims, by cube and the day or month it has."""
    return sql.SQL(" union all ").join(
        statement(
            "cubes/measures.by_day",
            name=sql.Literal(cube.name),
            cube=sql.Identifier(cube.name),
            claims_by=sql.Identifier(cube.claims_by),
            **fragments(),
        )
        for cube in cubes
        if cube.claims_by
    )
