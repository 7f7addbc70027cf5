"""Checks of claim ids that come again: for another member or day, or to take their claim back."""

from __future__ import annotations

from psycopg import sql

from etl.contracts.checks import MAJOR, MINOR
from etl.db.statements import names, statement
from etl.quality.checks.sql import SqlCheck, rules
from etl.render import claim_status
from etl.warehouse.tables import FACT_CLAIM


def told_again(name: str) -> SqlCheck:
    """The rules as one statement answers them: ``checks/facts.told_again`` or that of one load."""
    checks = rules(
        FACT_CLAIM.table,
        (
            "one_member",
            "consistency",
            MAJOR,
            "a claim id came again for another member; the latest one stands",
            "Ask the sender whether the member was corrected or the id was given to two claims: "
            "then the money of the first one is missing.",
        ),
        (
            "one_service_date",
            "consistency",
            MAJOR,
            "a claim id came again with another day of service; the latest one stands",
            "Ask the sender whether the day was corrected or the id was given to two claims: "
            "then the money of the first one is missing.",
        ),
        (
            "not_reversed_by_itself",
            "consistency",
            MINOR,
            "a claim came again under its own id with amounts below zero; nothing of it is left",
            "If it was no reversal but an adjustment, ask the sender to call it adjusted.",
        ),
        (
            "reversed_in_full",
            "consistency",
            MAJOR,
            "a claim came again under its own id below zero by another amount than it had; it "
            "counts as 0.00",
            "Ask the sender what is left of the claim, and to send that as its new state, or to "
            "call the row adjusted.",
        ),
    )
    return SqlCheck(
        "checks/business.judged",
        {
            "failing": statement(
                name,
                **claim_status.reversals("s", "h"),
                places=statement("checks/facts.places"),
            ),
            "keys": names((FACT_CLAIM.key,)),
            "checked": statement(
                "checks/business.all_rows", table=sql.Identifier(FACT_CLAIM.state)
            ),
        },
        checks,
        feed=FACT_CLAIM.feed.name,
        only_in_facts=True,
        values={"rules": list(checks)},
    )
