"""Checks of the cubes against the facts that they are made of."""

from __future__ import annotations

from etl.contracts.checks import CRITICAL, Check
from etl.db.statements import statement
from etl.quality.checks.sql_check import SqlCheck
from etl.render import claim_status
from etl.warehouse.tables import CUBES

_HIGH_COST = "high_cost_member_tracking"
_METAL = "claims_by_plan_metal_month"
_DAILY = "claims_daily_member"


def cube_checks() -> tuple[SqlCheck, ...]:
    """Every cube against the facts."""
    file = f"cubes/{_HIGH_COST}"
    threshold = statement(f"{file}.threshold", bands=statement(f"{file}.bands"))
    return (
        *cubes_gate(),
        SqlCheck(statement("checks/cubes.high_cost", threshold=threshold), _ROLLING),
    )


def cubes_gate() -> tuple[SqlCheck, ...]:
    """Money and coverage of cubes that were made whole, before anybody sees them."""
    return (
        SqlCheck(statement("checks/cubes.money_by_month", state=claim_status.state()), _MONEY),
        SqlCheck(statement("checks/cubes.covered_days"), _COVERED),
    )


def moved_cubes_gate() -> tuple[SqlCheck, ...]:
    """The same of cubes that followed what changed: what moved in them, and nothing else.

    Within the transaction that moved them, whose temporary tables say what it found.
    """
    daily = {_DAILY: _MONEY[_DAILY]}
    others = {cube: check for cube, check in _MONEY.items() if cube != _DAILY}
    return (
        SqlCheck(statement("checks/cubes.moved_days", state=claim_status.state()), daily),
        SqlCheck(statement("checks/cubes.moved_months"), others),
        SqlCheck(statement("checks/cubes.moved_coverage"), _COVERED),
        SqlCheck(statement("checks/cubes.moved_high_cost"), _ROLLING),
    )


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
    cube: _check(cube, "money_as_in_facts", "a month's claims or money differ from the facts'")
    for cube in CUBES
    if cube != _HIGH_COST
}
_COVERED = {"covered_days": _check(_METAL, "covered_days", "coverage differs from the facts'")}
_ROLLING = {
    _HIGH_COST: _check(_HIGH_COST, "rolling_paid", "twelve months differ from the days they hold")
}
