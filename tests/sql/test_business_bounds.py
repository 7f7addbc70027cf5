"""The business rules at their bounds, and of how many rows they can say something."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from etl.quality.runner import run_sql_checks
from etl.warehouse.tables import LIVE
from tests.support.business import (
    BORN,
    DISCHARGED,
    E1,
    E2,
    E3,
    FIT,
    IN_ORDER,
    NEGATIVE,
    OF_CHILD,
    ONE_A_MONTH,
    OURS,
    RATED,
    broken,
    claim,
    member,
    plan,
    span,
)
from tests.support.tables import draw

IN_2019 = "start_date = '2019-12-31', end_date = '2019-12-31'"
SINCE = "update load set as_of = '{}' where load_id = 1;" + member("load_id = 1", 3)
GOLD = plan("metal_tier = 'Gold'") + span("csr_variant = '01'")
UNBORN = member(OF_CHILD + ", load_id = 3", 2)


def child(born: str, values: str) -> str:
    """A member of another age, and what is paid for the coverage."""
    return member(OF_CHILD.format(born), 2) + span(values, "e3")


def at(change: str, within: str, beyond: str) -> tuple[str, str]:
    """A change with a gap, with the last value that is within a rule and the first beyond it."""
    return change.format(within), change.format(beyond)


# What is within a rule, what is just beyond it, and the checks that fail then, each with the key.
BOUNDS: dict[str, tuple[tuple[str, str], dict[str, dict[str, Any]]]] = {
    "cents below the premium": (at(span("premium_paid = {}"), "78.58", "78.57"), {RATED: E1}),
    "cents above a smoker's": (at(span("aptc_amount = {}"), "489.32", "489.33"), {RATED: E1}),
    # 200 times 1.5, and a day earlier in life times 0.970.
    "a smoker of 21": (
        (child("2004-01-01", "premium_paid = 300"), child("2004-01-02", "premium_paid = 291")),
        {RATED: E3},
    ),
    # 200 times 1.5 and 0.913, and a day earlier in life 0.885.
    "a smoker of 18 in 2019": (
        (
            child("2001-12-31", f"premium_paid = 273.90, {IN_2019}"),
            child("2002-01-01", f"premium_paid = 265.50, {IN_2019}"),
        ),
        {RATED: E3},
    ),
    "a smoker of 18 until 2019": (
        at(
            child("2001-12-31", "premium_paid = 273.90, start_date = '{0}', end_date = '{0}'"),
            "2019-12-31",
            "2020-01-01",
        ),
        {RATED: E3},
    ),
    "nothing paid before 21": (
        at(child("{}", "premium_paid = 0"), "2004-01-02", "2004-01-01"),
        {RATED: E3},
    ),
    "coverage that ends on the day of birth": (
        at(UNBORN + span("end_date = '2025-08-01'", "e3"), "2025-08-01", "2025-08-02"),
        {"fact_enrollment.covered_after_birth": E3},
    ),
    "a birth a month after the batch": (
        at(UNBORN, "2025-09-01", "2025-09-02"),
        {BORN: {"member_sk": 2}},
    ),
    "125 years": (
        at(child("{}", "premium_paid = 600"), "1900-01-01", "1899-12-31"),
        {BORN: {"member_sk": 2}},
    ),
    "unknown for 31 days": (
        at(SINCE, "2025-01-29Z", "2025-01-28 23:59Z"),
        {"dim_member.known_in_time": {"member_sk": 3}},
    ),
    "a service on the day of birth": (
        at(member("dob = '{}', load_id = 3", 3), "2025-07-01", "2025-07-02"),
        {"fact_claim.service_after_birth": {"claim_id": "c3"}},
    ),
    "all that was billed": (
        at(claim("allowed_amount = {0}, paid_amount = {0}"), "9", "9.01"),
        IN_ORDER,
    ),
    "left after the service, before admitted": (
        at(claim("admit_date = '2025-01-03', discharge_date = '{}'"), "2025-01-03", "2025-01-02"),
        DISCHARGED,
    ),
    "an age band's last year": (
        at(member("age_group = '{}'"), "26-39", "26-38"),
        {"dim_member.age_in_band": {"member_sk": 1}},
    ),
    "an age band's first year": (
        at(member("age_group = '{}'"), "40+", "41+"),
        {"dim_member.age_in_band": {"member_sk": 1}},
    ),
    "a payment of the same provider": (
        at(claim("provider_sk = {}", "c5"), "1", "-1"),
        {NEGATIVE: {"claim_id": "c4"}},
    ),
    "a payment of the same day": (
        at(claim("service_date = '{}'", "c5"), "2025-07-01", "2025-07-02"),
        {NEGATIVE: {"claim_id": "c4"}},
    ),
    "coverage from the month after": (
        at(
            span("start_date = '2025-06-16'", "e2") + span("end_date = '{}'"),
            "2025-05-31",
            "2025-06-01",
        ),
        {ONE_A_MONTH: E2},
    ),
} | {
    f"variant {beyond}": (at(GOLD + span("csr_variant = '{}'", key), within, beyond), {FIT: row})
    for key, row, within, variants in (("e2", E2, "03", "04 05 06"), ("e3", E3, "01", "02 03"))
    for beyond in variants.split()
}


@pytest.mark.parametrize("case", BOUNDS)
def test_last_value_within_passes_and_first_beyond_fails(
    sound: psycopg.Connection[Any], case: str
) -> None:
    changes, expected = BOUNDS[case]
    found = []
    for change in changes:
        with sound.transaction(force_rollback=True):
            sound.execute(change)
            found.append(broken(sound))
    assert found == [{}, {name: (key,) for name, key in expected.items()}]


def test_rows_that_a_rule_can_judge_are_counted(sound) -> None:
    """The others lack what it looks at."""
    with sound.transaction(force_rollback=True):
        sound.execute(
            plan("monthly_premium = null, oop_max = null, metal_tier = ''", 2)
            + claim("paid_amount = null, allowed_amount = null", "c5")
            + claim("status = null", "c3")
        )
        counted = [
            {"check": c.name, "checked": str(f.rows_checked), "judged": str(f.rows_judged)}
            for c, f in run_sql_checks(sound, LIVE, wanted=lambda check: check.name in OURS)
            if f and f.rows_judged not in (None, f.rows_checked)
        ]
    assert sorted(counted, key=lambda row: row["check"]) == draw("""
    check                                     | checked | judged
    dim_member.age_in_band                    | 4       | 2
    dim_member.born_by_batch                  | 4       | 2
    dim_plan.deductible_within_limit          | 2       | 1
    fact_claim.amounts_in_order               | 5       | 4
    fact_claim.denied_pays_nothing            | 5       | 3
    fact_claim.diagnosis_listed               | 5       | 3
    fact_claim.diagnosis_possible             | 5       | 3
    fact_claim.discharged_after_admission     | 5       | 1
    fact_claim.negative_takes_back            | 5       | 4
    fact_claim.paid_after_service             | 5       | 1
    fact_claim.paid_within_coverage           | 5       | 3
    fact_claim.pending_pays_nothing           | 5       | 3
    fact_claim.service_after_birth            | 5       | 2
    fact_claim.values_known_on_day            | 5       | 0
    fact_claim.within_coverage                | 5       | 3
    fact_enrollment.no_credit_on_catastrophic | 3       | 2
    fact_enrollment.premium_as_rated          | 3       | 2
    fact_enrollment.reduction_fits_metal      | 3       | 2
    fact_enrollment.values_known_on_day       | 3       | 0
    """)
