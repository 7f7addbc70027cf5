"""A check whose statement returns the rows that break its rules, and what such checks share."""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from etl.contracts.checks import Check
from etl.db.statements import Parts, Values, names, statement
from etl.quality.checks.sql import SqlCheck

ASK = "Ask the sender; the rows are loaded as they came."
# A batch may be dated before the last days that it tells of, such as the first of its month.
DAYS_AHEAD = 31


def judged(
    failing: Parts,
    keys: tuple[str, ...],
    table: str,
    checks: dict[str, Check],
    values: Values | None = None,
    feed: str | None = None,
    checked: Parts | None = None,
) -> SqlCheck:
    """A check of the rows of a table that a statement returns.

    ``checked``: the statement that counts the rows of the table, and those that each rule can
    judge; without one each rule judges all.
    """
    if checked is None:
        checked = statement("checks/business.all_rows", table=sql.Identifier(table))
    return SqlCheck(
        "checks/business.judged",
        {"failing": failing, "keys": names(keys), "checked": checked},
        checks,
        feed=feed,
        values={"rules": list(checks), **(values or {})},
    )


def shared(checks: dict[str, Check], **shares: float) -> dict[str, Check]:
    """The checks, with the share of rows that may fail of those named."""
    return checks | {
        rule: replace(checks[rule], threshold_share=share) for rule, share in shares.items()
    }


def relation(name: str) -> sql.Composed:
    """A named statement as a relation of another one."""
    return sql.SQL("({})").format(statement(name))
