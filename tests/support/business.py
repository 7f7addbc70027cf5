"""A small sound warehouse for the business rules, and changes that break them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from etl.contracts.checks import MOST_KEYS
from etl.quality.checks.registry import sql_checks
from etl.quality.runner import run_sql_checks
from etl.warehouse.tables import LIVE

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


def broken(connection: psycopg.Connection[Any]) -> Keys:
    """The keys of the rows that break each of our rules."""
    found = {}
    for check, finding in run_sql_checks(connection, LIVE, wanted=lambda check: check.name in OURS):
        assert finding is not None, check.name
        assert len(finding.keys) == min(finding.rows_failed, MOST_KEYS)
        if finding.rows_failed:
            found[check.name] = finding.keys
    return found


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
