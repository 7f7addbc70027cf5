"""Checks of the cubes against the facts that they are made of."""

from __future__ import annotations

from psycopg import sql

from etl.contracts.checks import CRITICAL, Check
from etl.db.statements import statement
from etl.quality.checks.sql_check import SqlCheck
from etl.render import claim_measures
from etl.warehouse.tables import CUBES

_HIGH_COST = "high_cost_member_tracking"
_METAL = "claims_by_plan_metal_month"
_DAILY = "claims_daily_member"


def cube_checks() -> tuple[SqlCheck, ...]:
    """Every cube against the facts."""
    file = f"cubes/{_HIGH_COST}"
    threshold = statement(f"{file}.threshold", bands=statement(f"{file}.bands"))
    high_cost = statement("checks/cubes.high_cost", threshold=threshold)
    return (*cubes_gate(), SqlCheck(high_cost, _ROLLING))


def cubes_gate() -> tuple[SqlCheck, ...]:
    """Money and coverage of cubes that were made whole, before anybody sees them."""
    facts = claim_measures.summed(("month",), statement("checks/cubes.facts_by_month"))
    money = _money("checks/cubes.expected_of_facts", _MONEY, facts_by_month=facts)
    return (money, _COVERED_DAYS)


def followed_cubes_gate() -> tuple[SqlCheck, ...]:
    """The same after cubes followed what changed: the rows that changed, and no others.

    Within the transaction that changed them, whose temporary tables contain what it found.
    """
    days = claim_measures.summed(
        ("member_id", "service_date"), statement("checks/cubes.claims_of_changed_days")
    )
    parts = {"summed": days, **claim_measures.fragments()}
    others = {cube: check for cube, check in _MONEY.items() if cube != _DAILY}
    return (
        SqlCheck(statement("checks/cubes.changed_days", **parts), {_DAILY: _MONEY[_DAILY]}),
        _money("checks/cubes.expected_of_changes", others),
        _COVERED_DAYS,
        SqlCheck(statement("checks/cubes.tracked_members"), _ROLLING),
    )


def _money(expected: str, checks: dict[str, Check], **parts: sql.Composable) -> SqlCheck:
    """The cubes of these checks against the months that a statement expects of them."""
    parts |= claim_measures.fragments()
    parts["expected"] = statement(expected, **parts)
    parts["days_of_cubes"] = claim_measures.days_of(CUBES[cube] for cube in checks)
    money = statement("checks/cubes.money_by_month", **parts)
    return SqlCheck(money, checks, values={"cubes": list(checks)})


def _check(cube: str, rule: str, means: str) -> Check:
    return Check(
        f"{cube}.{rule}",
        cube,
        None,
        "consistency",
        CRITICAL,
        f"{means}; if facts were loaded since, make cubes brings it up to date",
        "make cubes, then make dq-check; if it stays, the cube's definition is wrong.",
    )


_MONEY = {
    cube.name: _check(
        cube.name, "money_as_in_facts", "a month's claims or money differ from the facts'"
    )
    for cube in CUBES.values()
    if cube.claims_by
}
_COVERED_DAYS = SqlCheck(
    statement("checks/cubes.covered_days"),
    {"covered_days": _check(_METAL, "covered_days", "coverage differs from the facts'")},
)
_ROLLING = {_HIGH_COST: _check(_HIGH_COST, "rolling_paid", "twelve months differ from their days")}
