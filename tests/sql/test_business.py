"""The business rules: each on a row that breaks it, and on rows just within it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from etl.contracts.checks import MAJOR
from etl.quality.checks.registry import all_checks
from tests.support.business import (
    BORN,
    BOTH,
    C1,
    DISCHARGED,
    E1,
    E2,
    E3,
    FIT,
    IN_ORDER,
    LISTED,
    NEGATIVE,
    OF_CHILD,
    ONE_A_MONTH,
    OURS,
    POSSIBLE,
    RATED,
    SHARED_NPI,
    UNDATED,
    broken,
    claim,
    member,
    plan,
    span,
)
from tests.support.warehouse import found_by


@pytest.fixture
def warehouse(sound: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """The same; what a test does to it is rolled back."""
    with sound.transaction(force_rollback=True):
        yield sound


def test_rows_within_the_rules_fail_no_check(warehouse) -> None:
    assert broken(warehouse) == {}


# What is changed, and the checks that fail, each with the key of the row that fails it.
CASES: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "the day after": (claim(f"service_date = '2025-07-01', {UNDATED}"), BOTH),
    "the day before": (span("start_date = '2025-01-02'"), BOTH),
    "an unpaid claim in a gap": (
        claim(f"service_date = '2025-07-31', paid_amount = 0, {UNDATED}"),
        {"fact_claim.within_coverage": C1},
    ),
    "a known member without any enrollment": (
        "update fact_enrollment set member_sk = -1 where member_sk = 1;"
        "delete from fact_claim where claim_id = 'c2'",
        BOTH,
    ),
    "an unknown member with an enrollment": (
        claim("service_date = '2025-07-15'", "c3") + span("member_sk = 3", "e2"),
        {k: {"claim_id": "c3"} for k in BOTH},
    ),
    "paid above allowed": (claim("paid_amount = 8.01"), IN_ORDER),
    "allowed above billed": (claim("allowed_amount = 9.01"), IN_ORDER),
    "paid above billed, allowed empty": (
        claim("allowed_amount = null, paid_amount = 9.01"),
        IN_ORDER,
    ),
    "paid above allowed, billed empty": (
        claim("claim_amount = null, paid_amount = 8.01"),
        IN_ORDER,
    ),
    "a denied claim that was paid": (
        claim("status = 'Denied'"),
        {"fact_claim.denied_pays_nothing": C1},
    ),
    "a pending claim that was paid": (
        claim("status = 'PENDING'"),
        {"fact_claim.pending_pays_nothing": C1},
    ),
    "a payment below zero that reverses nothing": (
        claim("claim_amount = -9, allowed_amount = -8, paid_amount = -7")
        + claim("status = 'reversed'"),
        {NEGATIVE: C1},
    ),
    "a payment below zero of more than was paid": (
        claim("paid_amount = 6.99", "c5"),
        {NEGATIVE: {"claim_id": "c4"}},
    ),
    "a service before the birth": (
        member(OF_CHILD.format("2025-07-02") + ", is_inferred = false", 3)
        + "update fact_claim set member_sk = 3 where claim_id in ('c4', 'c5');"
        "delete from fact_claim where claim_id in ('c3', 'c4');"
        + span("member_sk = 3, start_date = '2025-01-01', premium_paid = 0", "e2"),
        {"fact_claim.service_after_birth": {"claim_id": "c5"}, BORN: {"member_sk": 3}},
    ),
    "values that are known only later": (
        member("known_from_ts = '2025-01-02'"),
        {f"fact_{t}.values_known_on_day": key for t, key in (("claim", C1), ("enrollment", E1))},
    ),
    "a day long after the batch": (
        claim("paid_date = '2025-09-02'"),
        {"fact_claim.known_by_batch": C1},
    ),
    "coverage that ended before the birth": (
        member(OF_CHILD.format("2026-01-01") + ", load_id = 3", 2),
        {"fact_enrollment.covered_after_birth": E3, BORN: {"member_sk": 2}},
    ),
    "older than anybody became": (
        member(OF_CHILD.format("1899-12-31"), 2) + span("premium_paid = 600", "e3"),
        {BORN: {"member_sk": 2}},
    ),
    "left before the service": (
        claim("admit_date = null, discharge_date = '2024-12-31'"),
        DISCHARGED,
    ),
    "a child of Oregon on the federal curve": (plan("plan_id = '10091OR0750002'", 2), {RATED: E3}),
    "a child of another state on Oregon's curve": (
        plan("plan_id = '10091TX0750002'", 2)
        + member("state = 'OR'", 2)
        + span("premium_paid = 127", "e3"),
        {RATED: E3},
    ),
    "a child who pays for tobacco": (span("premium_paid = 160", "e3"), {RATED: E3}),
    "no code": (claim("diagnosis_code = 'ZZZ9'"), {POSSIBLE: C1, LISTED: C1}),
    "a code of ICD-9": (claim("diagnosis_code = '25000'"), {POSSIBLE: C1, LISTED: C1}),
    "a code of eight": (claim("diagnosis_code = 'E1191111'"), {POSSIBLE: C1}),
    "a chapter's end": (claim("diagnosis_code = 'T901'"), {POSSIBLE: C1, LISTED: C1}),
    "a category that few have": (claim("diagnosis_code = 'X52'"), {LISTED: C1}),
    "left before admitted": (claim("discharge_date = '2024-12-31'"), DISCHARGED),
    "paid before the service": (
        claim("paid_date = '2024-12-31'"),
        {"fact_claim.paid_after_service": C1},
    ),
    "a day that is covered twice": (
        span("end_date = '2025-08-01'"),
        {"fact_enrollment.no_day_twice": E2, ONE_A_MONTH: E2},
    ),
    "a month that is open twice": (
        span("end_date = '2025-06-15'") + span("start_date = '2025-06-16'", "e2"),
        {ONE_A_MONTH: E2},
    ),
    "the premium of another age": (span("aptc_amount = 292.30"), {RATED: E1}),
    "more than smokers pay": (span("aptc_amount = 495"), {RATED: E1}),
    "nothing for a grown-up": (span("premium_paid = 0, aptc_amount = 0"), {RATED: E1}),
    "no birth date, no age that pays so much": (
        "update dim_member set dob = null;" + span("premium_paid = 1600", "e2"),
        {RATED: E2},
    ),
    "a reduction on another metal": ("update dim_plan set metal_tier = 'Gold'", {FIT: E1}),
    "an Indian variant on a catastrophic plan": (span("csr_variant = '03'", "e3"), {FIT: E3}),
    "a credit on a catastrophic plan": (
        span("premium_paid = 152, aptc_amount = 1", "e3"),
        {"fact_enrollment.no_credit_on_catastrophic": E3},
    ),
    "coverage past the plan year": (
        span("end_date = '2026-01-01'", "e2"),
        {"fact_enrollment.ends_in_plan_year": E2},
    ),
    "an age of another band": (
        member("dob = '1979-12-31'") + span("aptc_amount = 380") + span("premium_paid = 450", "e2"),
        {"dim_member.age_in_band": {"member_sk": 1}},
    ),
    "a wrong check digit": (
        "update dim_provider set npi = '1234567892'",
        {"dim_provider.npi_check_digit": {"provider_id": "P"}},
    ),
    "a deductible above the limit": (
        plan("deductible = 5001"),
        {"dim_plan.deductible_within_limit": {"plan_sk": 1}},
    ),
    "a member who is unknown for long": (
        member("load_id = 1", 3),
        {"dim_member.known_in_time": {"member_sk": 3}},
    ),
    "a line break": (
        "insert into members_raw (load_id, source_line, member_id, street)"
        " values (1, 7, 'A', 'Elm' || chr(10) || 'Street'), (1, 8, 'B', 'Elm Street')",
        {"members_raw.no_line_break": {"load_id": 1, "source_line": 7}},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_row_that_breaks_a_rule_is_named_by_its_key(warehouse, case) -> None:
    change, expected = CASES[case]
    warehouse.execute(change)
    assert broken(warehouse) == {name: (key,) for name, key in expected.items()}


def test_both_providers_who_share_an_npi_are_named(warehouse) -> None:
    warehouse.execute(
        "insert into dim_provider (provider_sk, provider_id, npi, is_inferred, load_id,"
        " validity_start_ts, validity_end_ts, current_flag, attr_hash, hash_version)"
        " select n, n, given.npi, false, 1, '1900-01-01',"
        " case when given.is_current then '9999-12-31' else '2025-01-01' end::timestamp,"
        " given.is_current, gen_random_uuid(), 2"
        " from (values (2, '1234567893', true), (3, '1234567893', false), (4, null, true),"
        " (5, null, true)) as given (n, npi, is_current)"
    )
    assert broken(warehouse) == {SHARED_NPI: ({"provider_sk": 1}, {"provider_sk": 2})}


def test_every_rule_has_a_row_that_breaks_it() -> None:
    detected = {SHARED_NPI, *(name for _, expected in CASES.values() for name in expected)}
    # The same check on another feed or dimension.
    alike = {"known_in_time", "no_line_break"}
    assert {n for n in OURS if n.split(".")[1] not in alike} <= detected
    assert {n.split(".")[1] for n in OURS} == {n.split(".")[1] for n in detected}


ALLOWED = {
    "no NPI": "update dim_provider set npi = null",
    "an NPI of nine digits is another rule's": "update dim_provider set npi = '123456789'",
    "a feed that has brought nothing since a fact named its member": (
        "insert into load_file (load_id, feed, file_name, kind, status, size_bytes, modified_ns,"
        " xxh3_128) values (3, 'claims', 'f', 'delta', 'loaded', 1, 1, gen_random_uuid())"
    ),
    "a fourth child costs nothing": span("premium_paid = 0, aptc_amount = 0", "e3"),
    "a smoker pays half as much again": span("aptc_amount = 486.8"),
    "a band at the year's other end": member("age_group = '26-39'"),
    "words that are no band": "update dim_member set age_group = 'adult'",
    "an inferred plan has no premium": "update dim_plan set monthly_premium = null",
    "a child of Oregon on its own curve": (
        member("state = 'OR'", 2) + span("premium_paid = 127", "e3")
    ),
    "a payment without allowed and billed": claim("allowed_amount = null, claim_amount = null"),
    "a claim of no known payment": claim("paid_amount = null"),
    "a reversal of an earlier state": (
        claim("claim_amount = -9, allowed_amount = -8, paid_amount = -7, status = null")
        + claim("status = 'Reversed'")
        + "insert into fact_claim_state (claim_id, load_id, service_date, status, paid_amount)"
        " values ('c1', 1, '2025-01-01', 'approved', 7)"
    ),
    "a birth date that was corrected since": (
        "update dim_member set dob = '2026-01-01', age_group = null, load_id = 3,"
        " validity_end_ts = '2025-07-10', current_flag = false where member_sk = 1;"
        "insert into dim_member (member_sk, member_id, dob, is_inferred, load_id,"
        " validity_start_ts, validity_end_ts, current_flag, attr_hash, hash_version)"
        " values (4, 'A', '1985-06-15', false, 3, '2025-07-10', '9999-12-31', true,"
        " gen_random_uuid(), 2);"
        "update fact_enrollment set member_sk = 4 where member_sk = 1;"
        "update dim_member set dob = null where member_sk = 1"
    ),
    "values that are known since the day": member("known_from_ts = '2025-01-01 12:00'"),
    "a batch of the month's first day": claim("paid_date = '2025-09-01'"),
    "a cent of rounding": span("premium_paid = 78.59"),
    "spans that meet": span("end_date = '2025-07-31'"),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_allowed_values_fail_no_check(warehouse, case) -> None:
    warehouse.execute(ALLOWED[case])
    assert broken(warehouse) == {}


def test_check_digits_are_those_of_luhn(warehouse) -> None:
    def is_valid(npi: str) -> bool:
        digits = [int(d) for d in reversed("80840" + npi)]
        doubled = [d if at % 2 == 0 else sum(divmod(2 * d, 10)) for at, d in enumerate(digits)]
        return sum(doubled) % 10 == 0

    chance = random.Random(1)
    npis = [f"{chance.randrange(10**10):010d}" for _ in range(2000)]
    with warehouse.cursor() as cursor:
        cursor.executemany(
            "insert into dim_provider (provider_sk, provider_id, npi, is_inferred, load_id, "
            "validity_start_ts, validity_end_ts, current_flag, attr_hash, hash_version) values "
            "(%s, %s, %s, false, 1, '1900-01-01', '9999-12-31', true, gen_random_uuid(), 2)",
            [(n + 10, str(n), npi) for n, npi in enumerate(npis)],
        )
    found = found_by(warehouse, "dim_provider.npi_check_digit").rows_failed
    wrong = sum(not is_valid(npi) for npi in npis)
    assert 0 < wrong < len(npis)
    assert found == wrong


def test_values_unknown_to_a_rule_are_reported_as_not_judged(warehouse) -> None:
    assert not found_by(warehouse, FIT).judged_nothing
    warehouse.execute("update fact_enrollment set csr_variant = '87'")
    found = found_by(warehouse, FIT)
    assert (found.rows_checked, found.rows_judged, found.rows_failed) == (3, 0, 0)
    assert found.judged_nothing
    # A value outside the list is a major failure of its own.
    check = next(c for c in all_checks() if c.name == "fact_enrollment.csr_variant.one_of")
    assert check.severity == MAJOR
