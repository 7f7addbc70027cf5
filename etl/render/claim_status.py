"""What the status of a claim means for its money, as SQL for whoever counts claims."""

from __future__ import annotations

from typing import cast

from psycopg import sql

from etl.contracts.column import OneOf
from etl.contracts.feeds import FEEDS
from etl.db.statements import statement


def state() -> sql.Composed:
    """The relation to join laterally: ``is_pending``, ``is_denied``, ``is_unknown`` and more.

    It reads a column ``status`` of the query around it (``sql/facts/status.sql``). The words are
    those of the claims contract, so a word that is not declared there is unknown and never paid.
    """
    words = cast(OneOf, FEEDS["claims"].column("status").check).values
    return statement(
        "facts/status.state", known_words=sql.Literal([word.lower() for word in words])
    )
