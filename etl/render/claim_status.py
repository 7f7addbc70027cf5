"""What the status of a claim means for its money, as SQL for whoever counts claims."""

from __future__ import annotations

from typing import cast

from psycopg import sql

from etl.contracts.column import OneOf
from etl.contracts.feeds import FEEDS
from etl.db.statements import statement


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
