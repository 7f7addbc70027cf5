"""From a contract's column to the expectation that checks staging and warehouse."""

import re

import pytest

from etl.contracts.checks import ASPECTS, SEVERITIES
from etl.contracts.column import Between, Matches, OneOf
from etl.contracts.feeds import FEEDS
from etl.quality.checks.registry import all_checks, gate_checks
from etl.render.expectations import pattern, suites
from etl.warehouse.tables import DIMENSIONS, FACTS

BY_NAME = {e.check.name: e for suite in suites() for e in suite.expectations}


def test_every_staging_table_dimension_and_fact_has_a_suite():
    assert {(s.layer, s.table) for s in suites()} == {
        *(("staging", feed.table) for feed in FEEDS.values()),
        *(("warehouse", dimension.table) for dimension in DIMENSIONS.values()),
        *(("warehouse", fact.table) for fact in FACTS.values()),
    }


def test_every_constraint_of_every_contract_has_an_expectation():
    for feed in FEEDS.values():
        for column in feed.columns:
            name = f"{feed.table}.{column.name}"
            assert (f"{name}.not_null" in BY_NAME) == column.required
            for kind, rule in ((OneOf, "one_of"), (Between, "between"), (Matches, "matches")):
                assert (f"{name}.{rule}" in BY_NAME) == isinstance(column.check, kind)


def test_names_of_checks_are_unique():
    names = [check.name for check in all_checks()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.name)
def test_every_check_says_what_it_is_and_what_to_do(check):
    assert check.name.startswith(f"{check.table}.")
    assert check.dimension in ASPECTS
    assert check.severity in SEVERITIES
    assert check.means
    assert check.advice.endswith(".")


def test_checks_of_gates_are_checks_of_the_whole_set():
    by_name = {check.name: check for check in all_checks()}
    for stage in ("stage", "dims", "facts", "cubes", "followed_cubes"):
        found = [c for entry in gate_checks(stage) for c in entry.checks.values()]
        assert found
        assert all(by_name[c.name] == c for c in found)


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("claims_raw.claim_id.not_null", "critical"),
        ("claims_raw.service_date.not_null", "critical"),
        ("claims_raw.paid_amount.not_null", "major"),
        ("claims_raw.member_id.not_null", "major"),
        ("members_raw.broker_name.not_null", "minor"),
        ("members_raw.gender.one_of", "minor"),
        ("dim_plan.plan_sk.not_null", "critical"),
        ("fact_claim.member_sk.not_null", "critical"),
        ("fact_enrollment.coverage_days.between", "major"),
    ],
)
def test_severity_of_an_expectation_is_that_of_its_column(name, severity):
    assert BY_NAME[name].check.severity == severity


def test_a_range_leaves_open_what_the_contract_leaves_open():
    assert BY_NAME["plans_raw.deductible.between"].arguments == {
        "column": "deductible",
        "min_value": 0,
        "max_value": None,
    }
    assert BY_NAME["plans_raw.coinsurance_rate.between"].arguments["max_value"] == 1


@pytest.mark.parametrize(
    ("rule", "value", "fits"),
    [
        (OneOf(("Gold", "Expanded Bronze")), "gold", True),
        (OneOf(("Gold", "Expanded Bronze")), "EXPANDED BRONZE", True),
        (OneOf(("Gold", "Expanded Bronze")), "Bronze", False),
        (OneOf(("Gold", "Expanded Bronze")), "Golden", False),
        (OneOf(("a.b", "c+")), "axb", False),
        (OneOf(("a.b", "c+")), "C+", True),
        (Matches("[0-9]{5}|[A-Z]"), "12345", True),
        (Matches("[0-9]{5}|[A-Z]"), "12345Z", False),
        (Matches("^[A-Z]{2}$"), "TX", True),
        (Matches("^[A-Z]{2}$"), "tx", False),
    ],
)
def test_a_pattern_covers_the_whole_value(rule, value, fits):
    # These patterns mean the same to Python as to PostgreSQL.
    assert bool(re.search(pattern(rule), value)) is fits
