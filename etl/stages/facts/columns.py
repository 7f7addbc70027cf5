"""Columns that a fact carries over from staging, in the types of the warehouse."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from etl.db.statements import assign, names, statement
from etl.render import staged_rows
from etl.warehouse.tables import FACT_CLAIM, Fact


def parts(fact: Fact) -> dict[str, sql.Composable]:
    """What statements say of the columns that a fact carries over."""
    return {
        "carried": names(fact.carried),
        "carried_values": values(fact, fact.carried),
        "assign_carried": assign(fact.carried, "v"),
    }


def values(fact: Fact, columns: Iterable[str]) -> sql.Composed:
    """Columns of a staging row as the fact has them, each under its name."""
    return sql.SQL(", ").join(
        sql.SQL("{} as {}").format(value(fact, name), sql.Identifier(name)) for name in columns
    )


def value(fact: Fact, column: str) -> sql.Composed:
    """A column of a staging row as the fact has it.

    It has the type that the warehouse stores: finer digits of a ratio make no other state. Of a
    claim that is reversed under its own id no amount is left.
    """
    stored = staged_rows.stored(fact.feed, column)
    if fact is not FACT_CLAIM or column not in fact.feed.money:
        return stored
    return statement(
        "facts/2_claim_reversals.netted", amount=sql.Identifier("s", column), stored=stored
    )
