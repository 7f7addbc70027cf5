"""The rules of the business: each on a row that breaks it, and on rows just within it."""

from __future__ import annotations

import random
from collections.abc import Iterator
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
        # As the checks have it, who are in a test's transaction.
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


CLAIM = "update fact_claim set {} where claim_id = 'c1'"
UNDATED = "admit_date = null, discharge_date = null, paid_date = null"
SPAN = "update fact_enrollment set {} where enrollment_id = 'e1'"
C1, E1, E2 = {"claim_id": "c1"}, {"enrollment_id": "e1"}, {"enrollment_id": "e2"}
BOTH = {"fact_claim.within_coverage": C1, "fact_claim.paid_within_coverage": C1}
FIT = "fact_enrollment.reduction_fits_metal"
RATED = "fact_enrollment.premium_as_rated"
NEGATIVE, BORN = "fact_claim.negative_takes_back", "dim_member.born_by_batch"
KNOWN = "fact_claim.values_known_on_day"
SHARED_NPI = "dim_provider.npi_unique"
POSSIBLE, LISTED = "fact_claim.diagnosis_possible", "fact_claim.diagnosis_listed"
CASES: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "the day after": (CLAIM.format(f"service_date = '2025-07-01', {UNDATED}"), BOTH),
    "the day before": (
        "update fact_enrollment set start_date = '2025-01-02' where enrollment_id = 'e1'",
        BOTH,
    ),
    "an unpaid claim in a gap": (
        CLAIM.format(f"service_date = '2025-07-31', paid_amount = 0, {UNDATED}"),
        {"fact_claim.within_coverage": C1},
    ),
    "a known member without any enrollment": (
        "update fact_enrollment set member_sk = -1 where member_sk = 1;"
        "delete from fact_claim where claim_id = 'c2'",
        BOTH,
    ),
    "an unknown member with an enrollment": (
        "update fact_claim set service_date = '2025-07-15' where claim_id = 'c3';"
        "update fact_enrollment set member_sk = 3 where enrollment_id = 'e2'",
        {k: {"claim_id": "c3"} for k in BOTH},
    ),
    "paid above allowed": (CLAIM.format("paid_amount = 8.01"), {"fact_claim.amounts_in_order": C1}),
    "allowed above billed": (
        CLAIM.format("allowed_amount = 9.01"),
        {"fact_claim.amounts_in_order": C1},
    ),
    "paid above billed, allowed empty": (
        CLAIM.format("allowed_amount = null, paid_amount = 9.01"),
        {"fact_claim.amounts_in_order": C1},
    ),
    "paid above allowed, billed empty": (
        CLAIM.format("claim_amount = null, paid_amount = 8.01"),
        {"fact_claim.amounts_in_order": C1},
    ),
    "a denied claim that was paid": (
        CLAIM.format("status = 'Denied'"),
        {"fact_claim.denied_pays_nothing": C1},
    ),
    "a pending claim that was paid": (
        CLAIM.format("status = 'PENDING'"),
        {"fact_claim.pending_pays_nothing": C1},
    ),
    "a payment below zero that takes back nothing": (
        CLAIM.format("claim_amount = -9, allowed_amount = -8, paid_amount = -7")
        + "; update fact_claim set status = 'reversed' where claim_id = 'c1'",
        {NEGATIVE: C1},
    ),
    "a payment below zero of more than was paid": (
        "update fact_claim set paid_amount = 6.99 where claim_id = 'c5'",
        {NEGATIVE: {"claim_id": "c4"}},
    ),
    "a service before the birth": (
        "update dim_member set dob = '2025-07-02', age_group = null where member_sk = 3;"
        "update dim_member set is_inferred = false where member_sk = 3;"
        "update fact_claim set member_sk = 3 where claim_id in ('c4', 'c5');"
        "delete from fact_claim where claim_id in ('c3', 'c4');"
        "update fact_enrollment set member_sk = 3, start_date = '2025-01-01', premium_paid = 0"
        " where enrollment_id = 'e2'",
        {"fact_claim.service_after_birth": {"claim_id": "c5"}, BORN: {"member_sk": 3}},
    ),
    "values that are known only later": (
        "update dim_member set known_from_ts = '2025-01-02' where member_sk = 1",
        {KNOWN: C1, KNOWN.replace("claim", "enrollment"): E1},
    ),
    "a day long after the batch": (
        CLAIM.format("paid_date = '2025-09-02'"),
        {"fact_claim.known_by_batch": C1},
    ),
    "coverage that ended before the birth": (
        "update dim_member set dob = '2026-01-01', age_group = null where member_sk = 2;"
        "update dim_member set load_id = 3 where member_sk = 2",
        {"fact_enrollment.covered_after_birth": {"enrollment_id": "e3"}, BORN: {"member_sk": 2}},
    ),
    "older than anybody became": (
        "update dim_member set dob = '1899-12-31', age_group = null where member_sk = 2;"
        "update fact_enrollment set premium_paid = 600 where enrollment_id = 'e3'",
        {BORN: {"member_sk": 2}},
    ),
    "left before the service": (
        CLAIM.format("admit_date = null, discharge_date = '2024-12-31'"),
        {"fact_claim.discharged_after_admission": C1},
    ),
    "a child of Oregon on the federal curve": (
        "update dim_plan set plan_id = '10091OR0750002' where plan_sk = 2",
        {RATED: {"enrollment_id": "e3"}},
    ),
    "a child of another state on Oregon's curve": (
        "update dim_plan set plan_id = '10091TX0750002' where plan_sk = 2;"
        "update dim_member set state = 'OR' where member_sk = 2;"
        "update fact_enrollment set premium_paid = 127 where enrollment_id = 'e3'",
        {RATED: {"enrollment_id": "e3"}},
    ),
    "a child who pays for tobacco": (
        "update fact_enrollment set premium_paid = 160 where enrollment_id = 'e3'",
        {RATED: {"enrollment_id": "e3"}},
    ),
    "no code": (CLAIM.format("diagnosis_code = 'ZZZ9'"), {POSSIBLE: C1, LISTED: C1}),
    "a code of ICD-9": (CLAIM.format("diagnosis_code = '25000'"), {POSSIBLE: C1, LISTED: C1}),
    "a code of eight": (CLAIM.format("diagnosis_code = 'E1191111'"), {POSSIBLE: C1}),
    "a chapter's end": (CLAIM.format("diagnosis_code = 'T901'"), {POSSIBLE: C1, LISTED: C1}),
    "a category that few bear": (CLAIM.format("diagnosis_code = 'X52'"), {LISTED: C1}),
    "left before admitted": (
        CLAIM.format("discharge_date = '2024-12-31'"),
        {"fact_claim.discharged_after_admission": C1},
    ),
    "paid before the service": (
        CLAIM.format("paid_date = '2024-12-31'"),
        {"fact_claim.paid_after_service": C1},
    ),
    "a day that is covered twice": (
        SPAN.format("end_date = '2025-08-01'"),
        {"fact_enrollment.no_day_twice": E2, "fact_enrollment.one_a_month": E2},
    ),
    "a month that is open twice": (
        "update fact_enrollment set end_date = '2025-06-15' where enrollment_id = 'e1';"
        "update fact_enrollment set start_date = '2025-06-16' where enrollment_id = 'e2'",
        {"fact_enrollment.one_a_month": E2},
    ),
    "the premium of another age": (SPAN.format("aptc_amount = 292.30"), {RATED: E1}),
    "more than smokers pay": (SPAN.format("aptc_amount = 495"), {RATED: E1}),
    "nothing for a grown-up": (SPAN.format("premium_paid = 0, aptc_amount = 0"), {RATED: E1}),
    "no birth date, no age that pays so much": (
        "update dim_member set dob = null; "
        "update fact_enrollment set premium_paid = 1600 where enrollment_id = 'e2'",
        {RATED: E2},
    ),
    "a reduction on another metal": ("update dim_plan set metal_tier = 'Gold'", {FIT: E1}),
    "an Indian variant on a catastrophic plan": (
        "update fact_enrollment set csr_variant = '03' where enrollment_id = 'e3'",
        {FIT: {"enrollment_id": "e3"}},
    ),
    "a credit on a catastrophic plan": (
        "update fact_enrollment set premium_paid = 152, aptc_amount = 1 where enrollment_id = 'e3'",
        {"fact_enrollment.no_credit_on_catastrophic": {"enrollment_id": "e3"}},
    ),
    "coverage past the plan year": (
        "update fact_enrollment set end_date = '2026-01-01' where enrollment_id = 'e2'",
        {"fact_enrollment.ends_in_plan_year": E2},
    ),
    "an age of another band": (
        "update dim_member set dob = '1979-12-31' where member_sk = 1; "
        "update fact_enrollment set aptc_amount = 380 where enrollment_id = 'e1'; "
        "update fact_enrollment set premium_paid = 450 where enrollment_id = 'e2'",
        {"dim_member.age_in_band": {"member_sk": 1}},
    ),
    "a wrong check digit": (
        "update dim_provider set npi = '1234567892'",
        {"dim_provider.npi_check_digit": {"provider_id": "P"}},
    ),
    "a deductible above the limit": (
        "update dim_plan set deductible = 5001 where plan_sk = 1",
        {"dim_plan.deductible_within_limit": {"plan_sk": 1}},
    ),
    "a member who is unknown for long": (
        "update dim_member set load_id = 1 where member_sk = 3",
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
        " select n, n, held.npi, false, 1, '1900-01-01',"
        " case when held.is_current then '9999-12-31' else '2025-01-01' end::timestamp,"
        " held.is_current, gen_random_uuid(), 2"
        " from (values (2, '1234567893', true), (3, '1234567893', false), (4, null, true),"
        " (5, null, true)) as held (n, npi, is_current)"
    )
    assert broken(warehouse) == {SHARED_NPI: ({"provider_sk": 1}, {"provider_sk": 2})}


def test_every_rule_has_a_row_that_breaks_it() -> None:
    detected = {SHARED_NPI, *(name for _, expected in CASES.values() for name in expected)}
    # The same rule on another feed or dimension.
    alike = {"known_in_time", "no_line_break"}
    assert {n for n in OURS if n.split(".")[1] not in alike} <= detected
    assert {n.split(".")[1] for n in OURS} == {n.split(".")[1] for n in detected}


QUIET = {
    "no NPI": "update dim_provider set npi = null",
    "an NPI of nine digits is another rule's": "update dim_provider set npi = '123456789'",
    "a feed that has brought nothing since a fact named its member": (
        "insert into load_file (load_id, feed, file_name, kind, status, size_bytes, modified_ns,"
        " xxh3_128) values (3, 'claims', 'f', 'delta', 'loaded', 1, 1, gen_random_uuid())"
    ),
    "a fourth child costs nothing": (
        "update fact_enrollment set premium_paid = 0, aptc_amount = 0 where enrollment_id = 'e3'"
    ),
    "a smoker pays half as much again": SPAN.format("aptc_amount = 486.8"),
    "a band at the year's other end": "update dim_member set age_group = '26-39' where year > 0"
    " and member_sk = 1",
    "words that are no band": "update dim_member set age_group = 'adult'",
    "an inferred plan has no premium": "update dim_plan set monthly_premium = null",
    "a child of Oregon on its own curve": (
        "update dim_member set state = 'OR' where member_sk = 2;"
        "update fact_enrollment set premium_paid = 127 where enrollment_id = 'e3'"
    ),
    "a payment without allowed and billed": CLAIM.format(
        "allowed_amount = null, claim_amount = null"
    ),
    "a reversal of an earlier state": (
        CLAIM.format("claim_amount = -9, allowed_amount = -8, paid_amount = -7, status = null")
        + "; update fact_claim set status = 'Reversed' where claim_id = 'c1';"
        "insert into fact_claim_state (claim_id, load_id, service_date, status, paid_amount)"
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
    "values that are known since the day": (
        "update dim_member set known_from_ts = '2025-01-01 12:00' where member_sk = 1"
    ),
    "a batch of the month's first day": CLAIM.format("paid_date = '2025-09-01'"),
    "a cent of rounding": SPAN.format("premium_paid = 78.59"),
    "spans that meet": SPAN.format("end_date = '2025-07-31'"),
}


@pytest.mark.parametrize("case", QUIET)
def test_allowed_values_fail_no_check(warehouse, case) -> None:
    warehouse.execute(QUIET[case])
    assert broken(warehouse) == {}


def test_check_digits_are_those_of_luhn(warehouse) -> None:
    def holds(npi: str) -> bool:
        digits = [int(d) for d in reversed("80840" + npi)]
        return (
            sum(d if at % 2 == 0 else sum(divmod(2 * d, 10)) for at, d in enumerate(digits)) % 10
            == 0
        )

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
    wrong = sum(not holds(npi) for npi in npis)
    assert 0 < wrong < len(npis)
    assert found == wrong


def test_values_unknown_to_a_rule_are_reported_as_not_judged(warehouse) -> None:
    assert not found_by(warehouse, FIT).judged_nothing
    warehouse.execute("update fact_enrollment set csr_variant = '87'")
    found = found_by(warehouse, FIT)
    assert (found.rows_checked, found.rows_judged, found.rows_failed) == (3, 0, 0)
    assert found.judged_nothing
    # The word itself is a major failure of the list.
    check = next(c for c in all_checks() if c.name == "fact_enrollment.csr_variant.one_of")
    assert check.severity == MAJOR
