"""What a check in SQL is: a statement and the rules that it answers in one pass."""

from __future__ import annotations

from dataclasses import dataclass, field

from etl.db.statements import Parts, Values
from etl.quality import Check


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
