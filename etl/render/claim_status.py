"""What the status of a claim and the signs of its amounts mean for its money, as SQL."""

from __future__ import annotations

from functools import cache
from typing import cast

from psycopg import sql

from etl.contracts.column import OneOf
from etl.contracts.feeds import FEEDS
from etl.db.statements import statement


@cache
def state(row: str | None = None) -> sql.Composed:
    """The relation to join laterally: ``is_pending``, ``is_denied``, ``is_unknown`` and more.

    It reads the column ``status`` of the query around it, of the relation ``row`` where several
    have one. The words are those of the claims contract, so a word that is not declared there is
    unknown and never paid.
    """
    words = cast(OneOf, FEEDS["claims"].column("status").check).values
    return statement(
        "facts/status.state",
        status=sql.Identifier(*filter(None, [row, "status"])),
        known_words=sql.Literal([word.lower() for word in words]),
    )


def is_reversal(row: str) -> sql.Composed:
    """Whether a row of claims reverses the earlier states of its own claim id."""
    return statement("facts/status.is_reversal", row=sql.Identifier(row))


def reversals(*rows: str) -> dict[str, sql.Composable]:
    """Of each row, ``<row>_is_reversal`` and whether its file had the claim that it reverses."""
    in_file = "facts/status.is_reversed_in_file"
    parts: dict[str, sql.Composable] = {f"{row}_is_reversal": is_reversal(row) for row in rows}
    return parts | {f"{row}_in_file": statement(in_file, row=sql.Identifier(row)) for row in rows}
