"""The business rules: each on a row that breaks it, and on rows just within it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from etl.contracts.checks import MAJOR, MOST_KEYS
from etl.quality.checks.registry import all_checks, sql_checks
from etl.quality.runner import run_sql_checks
from etl.warehouse.tables import LIVE
from tests.support.databases import fresh_database, unguarded
from tests.support.warehouse import found_by

OURS = {
    check.name
    for entry in sql_checks()
    if entry.declared and entry.declared.file.startswith("checks/business")
    for check in entry.checks.values()
}
Keys = dict[str, tuple[dict[str, Any], ...]]

SOUND = """
insert into load (load_id, batch_id, as_of, status, is_rebuild) overriding system value
values (1, 'one', '2025-01-01Z', 'loaded', false), (2, 'two', '2025-03-01Z', 'loaded', false),
    (3, 'three', '2025-08-01Z', 'loaded', false);
insert into load_file (load_id, feed, file_name, kind, status, size_bytes, modified_ns, xxh3_128)
select n, f, 'f', 'delta', 'loaded', 1, 1, gen_random_uuid()
from generate_series(1, 2) as n, unnest('{members,plans,providers}'::text[]) as f;
insert into dim_member (member_sk, member_id, dob, age_group, year, is_inferred, load_id,
    validity_start_ts, validity_end_ts, current_flag, attr_hash, hash_version)
values
    (-1, 'nobody', null, null, null, true, 0, '1900-01-01', '9999-12-31', true,
        gen_random_uuid(), 2),
    (1, 'A', '1985-06-15', '35-44', 2025, false, 1, '1900-01-01', '9999-12-31', true,
        gen_random_uuid(), 2),
    (2, 'B', '2015-06-15', '0-17', 2025, false, 1, '1900-01-01', '9999-12-31', true,
        gen_random_uuid(), 2),
    (3, 'X', null, null, null, true, 2, '1900-01-01', '9999-12-31', true, gen_random_uuid(), 2);
insert into dim_plan (plan_sk, plan_id, effective_year, metal_tier, monthly_premium, deductible,
    oop_max, is_inferred, load_id, validity_start_ts, validity_end_ts, current_flag, attr_hash,
    hash_version)
values
    (1, 'S', 2025, 'Silver', 300, 5000, 5000, false, 1, '1900-01-01', '9999-12-31', true,
        gen_random_uuid(), 2),
    (2, 'C', 2025, 'catastrophic', 200, 9000, 9000, false, 1, '1900-01-01', '9999-12-31', true,
        gen_random_uuid(), 2);
insert into dim_provider (provider_sk, provider_id, npi, is_inferred, load_id, validity_start_ts,
    validity_end_ts, current_flag, attr_hash, hash_version)
values (1, 'P', '1234567893', false, 1, '1900-01-01', '9999-12-31', true, gen_random_uuid(), 2);
insert into fact_enrollment (enrollment_id, member_sk, plan_sk, enrollment_start_date_key,
    enrollment_end_date_key, start_date, end_date, premium_paid, aptc_amount, csr_variant,
    coverage_days, load_id)
values
    -- 300 times 1.262 at the age of 39, times 1.278 at 40, and 200 times 0.765 for a child.
    ('e1', 1, 1, 20250101, 20250630, '2025-01-01', '2025-06-30', 78.60, 300, '04', 181, 1),
    ('e2', 1, 1, 20250801, 20251231, '2025-08-01', '2025-12-31', 383.40, null, '01', 153, 1),
    ('e3', 2, 2, 20250101, 20251231, '2025-01-01', '2025-12-31', 153.00, 0, '01', 365, 1);
create table fact_claim_of_2025 partition of fact_claim
for values from ('2025-01-01') to ('2026-01-01');
insert into fact_claim (claim_id, date_key, service_date, member_sk, provider_sk, plan_sk, status,
    diagnosis_code, claim_amount, allowed_amount, paid_amount, admit_date, discharge_date,
    paid_date, load_id)
values
    ('c1', 20250101, '2025-01-01', 1, 1, 1, 'approved', 'E119', 9, 8, 7, '2025-01-01',
        '2025-01-01', '2025-01-01', 3),
    ('c2', 20250630, '2025-06-30', 1, 1, 1, 'denied', 'U071', 9, 0, 0, null, null, null, 3),
    ('c3', 20250701, '2025-07-01', 3, 1, 1, 'approved', 'Z3A.20', 9, 8, 7, null, null, null, 3),
    ('c4', 20250701, '2025-07-01', -1, 1, 1, 'reversed', null, -9, -8, -7, null, null, null, 3),
    ('c5', 20250701, '2025-07-01', -1, 1, 1, 'adjusted', null, 9, 8, 7, null, null, null, 3);
"""


@pytest.fixture(scope="module")
def sound(admin_url: str, template: str) -> Iterator[psycopg.Connection[Any]]:
    """A small sound warehouse, facts and dimensions alone."""
    with fresh_database(admin_url, template) as url, unguarded(url) as connection:
        connection.execute(SOUND)
        # The isolation of the checks, which run in a test's transaction here.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield connection


@pytest.fixture
def warehouse(sound: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """The same; what a test does to it is rolled back."""
    with sound.transaction(force_rollback=True):
        yield sound


def broken(connection: psycopg.Connection[Any]) -> Keys:
    """The keys of the rows that break each of our rules."""
    found = {}
    for check, finding in run_sql_checks(connection, LIVE, wanted=lambda check: check.name in OURS):
        assert finding is not None, check.name
        assert len(finding.keys) == min(finding.rows_failed, MOST_KEYS)
        if finding.rows_failed:
            found[check.name] = finding.keys
    return found


def test_rows_within_the_rules_fail_no_check(warehouse) -> None:
    assert broken(warehouse) == {}


def change(table: str, key: str, default: Any) -> Callable[..., str]:
    """A statement that changes one row of a table."""
    return lambda values, row=default: f"update {table} set {values} where {key} = '{row}';"


claim = change("fact_claim", "claim_id", "c1")
span = change("fact_enrollment", "enrollment_id", "e1")
member = change("dim_member", "member_sk", 1)
plan = change("dim_plan", "plan_sk", 1)
C1, E1, E2, E3 = {"claim_id": "c1"}, *({"enrollment_id": f"e{n}"} for n in (1, 2, 3))
UNDATED = "admit_date = null, discharge_date = null, paid_date = null"
OF_CHILD = "dob = '{}', age_group = null"
IN_ORDER = {"fact_claim.amounts_in_order": C1}
BOTH = {"fact_claim.within_coverage": C1, "fact_claim.paid_within_coverage": C1}
DISCHARGED = {"fact_claim.discharged_after_admission": C1}
FIT = "fact_enrollment.reduction_fits_metal"
RATED = "fact_enrollment.premium_as_rated"
NEGATIVE, BORN = "fact_claim.negative_takes_back", "dim_member.born_by_batch"
ONE_A_MONTH = "fact_enrollment.one_a_month"
SHARED_NPI = "dim_provider.npi_unique"
POSSIBLE, LISTED = "fact_claim.diagnosis_possible", "fact_claim.diagnosis_listed"
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
