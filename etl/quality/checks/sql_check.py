"""What a check in SQL is: a statement and the checks that it answers in one pass."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from psycopg import sql

from etl.contracts.checks import Check
from etl.db.statements import Values
from etl.quality.checks.header import Declaration


@dataclass(frozen=True, slots=True)
class SqlCheck:
    """A statement and the checks that it answers, by rule.

    The statement returns a row per rule: ``rule``, ``rows_checked``, ``rows_failed``, and where it
    can say so ``measured`` (in the check's unit; else the rows failed are it) and
    ``failing_keys`` (a JSON array of up to a hundred objects of surrogate or natural keys).

    ``feed``: the feed whose files it asks the ledger about. ``only_in_facts``: whether it looks
    only at the loads that have come through to the facts. ``values``: what else is bound.
    ``declared``: the header that it comes from, none of one that comes from the contracts.
    ``keys_of``: the statement (``rule``, ``failing_keys``) that finds keys of rows that fail some
    of its rules, where its own does not; it is run only where rows fail.
    """

    statement: sql.Composed
    checks: dict[str, Check]
    feed: str | None = None
    only_in_facts: bool = False
    values: Values = field(default_factory=dict)
    declared: Declaration | None = None
    keys_of: Callable[[Collection[str]], sql.Composed] | None = None

    @property
    def is_by_month(self) -> bool:
        """Whether it can be asked of some months of claims alone, as what contracts say can."""
        return self.declared is None or self.declared.is_by_month
