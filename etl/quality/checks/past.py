"""Checks of the rows kept as they were before a load changed them."""

from __future__ import annotations

from psycopg import sql

from etl.contracts.checks import CRITICAL, MINOR
from etl.quality.checks.sql import SqlCheck, keys_of, rules, tallied_columns
from etl.warehouse.tables import DIMENSIONS, FACTS, past_of

_UNTRUSTED = (
    "Rows of the past or of the ledger were changed by hand, and what was known before cannot be "
    "trusted: make full-load."
)


def past_checks() -> tuple[SqlCheck, ...]:
    """What every past table says of loads."""
    return (
        *(_kept(dimension.table, dimension.sk) for dimension in DIMENSIONS.values()),
        *(_kept(fact.table, fact.key) for fact in FACTS.values()),
    )


def _kept(table: str, key: str) -> SqlCheck:
    past = past_of(table)
    checks = rules(
        past,
        (
            "made_before_changed",
            "consistency",
            CRITICAL,
            "a load changed the row before another one made it",
            _UNTRUSTED,
        ),
        (
            "changed_by_a_load",
            "integrity",
            CRITICAL,
            "the load that changed the row is neither in the ledger nor the next one",
            _UNTRUSTED,
        ),
        (
            "present_is_last_known",
            "consistency",
            MINOR,
            "something other than a load changed the row since the latest load",
            "Find out who changed it; if it was not meant, make full-load.",
        ),
    )
    keys = keys_of((key, "known_to_load_id"))
    return SqlCheck(
        "checks/past.kept",
        {
            "past": sql.Identifier(past),
            "key": sql.Identifier(key),
            **tallied_columns(checks, keys),
        },
        checks,
    )
