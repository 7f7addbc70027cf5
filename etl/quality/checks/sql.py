"""What a check in SQL is: a statement and the rules that it answers in one pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from psycopg import sql

from etl.contracts.checks import Check
from etl.db.statements import Parts, Values

# What a check looks at unless it is told to look at less.
EVERYTHING = sql.SQL("true")


@dataclass(frozen=True, slots=True)
class SqlCheck:
    """A statement and the checks that it answers, by rule.

    The statement returns a row a rule: ``rule``, ``rows_checked``, ``rows_failed``, and where it
    can say so ``measured`` (in the check's unit; else the rows failed are it) and
    ``failing_keys`` (a JSON array of up to a hundred objects of surrogate or natural keys).

    ``feed``: the feed whose files it asks the ledger about. ``only_in_facts``: whether it looks
    only at the loads that have come through to the facts, and not at one that is staged so far.
    ``values``: what else is bound.
    """

    statement: str
    parts: dict[str, Parts]
    checks: dict[str, Check]
    feed: str | None = None
    only_in_facts: bool = False
    values: Values = field(default_factory=dict)


def rules(table: str, *told: tuple[str, str, str, str, str]) -> dict[str, Check]:
    """Checks by rule from (rule, dimension of quality, severity, meaning of a failure, advice)."""
    return {
        rule: Check(f"{table}.{rule}", table, None, dimension, severity, means, advice)
        for rule, dimension, severity, means, advice in told
    }


def keys_of(columns: Iterable[str], row: str | None = None) -> sql.Composed:
    """The object by which a failing row is told: these columns, of the relation ``row``."""
    return sql.SQL("jsonb_build_object({})").format(
        sql.SQL(", ").join(
            sql.SQL("{}, {}").format(
                sql.Literal(c), sql.Identifier(row, c) if row else sql.Identifier(c)
            )
            for c in columns
        )
    )


def tallied(broken: dict[str, Parts], keys: Parts) -> dict[str, Parts]:
    """Parts of a statement that counts, in one scan, the rows that break each of some rules.

    ``broken``: by rule, whether a row breaks it. ``keys``: the object that tells the row.
    ``tallies`` are the columns to count, ``tallied`` the rows (rule, rows failed, keys) of it.
    """
    tallies, rows = [], []
    for number, (rule, is_broken) in enumerate(broken.items(), start=1):
        failed, shown = sql.Identifier(f"failed_{number}"), sql.Identifier(f"keys_{number}")
        tallies.append(
            sql.SQL(
                "count(*) filter (where {broken}) as {failed}, "
                "some_keys({keys}) filter (where {broken}) as {shown}"
            ).format(broken=is_broken, failed=failed, keys=keys, shown=shown)
        )
        rows.append(sql.SQL("({}, {}, {})").format(sql.Literal(rule), failed, shown))
    return {"tallies": sql.SQL(",\n").join(tallies), "tallied": sql.SQL(",\n").join(rows)}


def tallied_columns(rule_names: Iterable[str], keys: Parts) -> dict[str, Parts]:
    """The same where every rule has a column of its name that is true where it is broken."""
    return tallied({rule: sql.Identifier(rule) for rule in rule_names}, keys)
