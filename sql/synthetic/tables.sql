-- Facts and cubes as they are compared with the truth that the generator wrote. Columns are those
-- of the rows in etl/synthetic/truth/claims.py and cubes.py; amounts of claims and of coverage are
-- in cents.

-- name: fact_claim
-- How many claims there are, and their amounts. One row per month, type and status.
select
    to_char(f.service_date, 'YYYY-MM') as month,
    coalesce(f.claim_type, '') as claim_type,
    f.status,
    count(*) as claims,
    (sum(f.claim_amount) * 100)::bigint as billed_cents,
    (sum(f.allowed_amount) * 100)::bigint as allowed_cents,
    (sum(f.paid_amount) * 100)::bigint as paid_cents
from fact_claim as f
group by 1, 2, 3;

-- name: fact_claim_line
-- How many lines there are, and their amounts; month and type are the claim's, and empty where it
-- has not come. One row per month, type, procedure and whether the line is made of the claim.
select
    coalesce(to_char(c.service_date, 'YYYY-MM'), '') as month,
    coalesce(c.claim_type, '') as claim_type,
    coalesce(d.procedure_code, '') as procedure_code,
    d.is_from_claim,
    count(*) as lines,
    (sum(d.claim_amount) * 100)::bigint as billed_cents,
    (sum(d.allowed_amount) * 100)::bigint as allowed_cents,
    (sum(d.paid_amount) * 100)::bigint as paid_cents
from fact_claim_line as d
left join fact_claim as c on d.claim_id = c.claim_id and d.service_date = c.service_date
group by 1, 2, 3, 4;

-- name: bridge_claim_diagnosis
-- How often each diagnosis is at each position. One row per code, position and whether it is made
-- of the claim.
select
    coalesce(d.diagnosis_code, '') as diagnosis_code,
    d.position,
    d.is_from_claim,
    count(*) as diagnoses
from bridge_claim_diagnosis as d
group by 1, 2, 3;

-- name: cost_month
-- What care cost. One row per month, state, metal tier and claim type.
select
    to_char(month, 'YYYY-MM') as month,
    state,
    metal_tier,
    claim_type,
    claims,
    pending_claims,
    denied_claims,
    (billed_usd * 100)::bigint as billed_cents,
    (pending_billed_usd * 100)::bigint as pending_billed_cents,
    (allowed_usd * 100)::bigint as allowed_cents,
    (paid_usd * 100)::bigint as paid_cents
from cost_month;

-- name: member_month
-- How many months a plan covered a member, the first and the last, and sums over them. One row per
-- member and plan.
select
    member_id,
    plan_id,
    count(*) as months,
    min(month) as first_month,
    max(month) as last_month,
    sum(covered_days) as covered_days,
    sum(overlapped_days) as overlapped_days,
    sum(member_months_any) as member_months_any,
    sum(member_months_mid) as member_months_mid,
    sum(is_new::integer) as new,
    sum(is_renewed::integer) as renewed,
    sum(is_last::integer) as ended,
    (sum(net_premium_usd) * 100)::bigint as net_premium_cents,
    (sum(tax_credit_usd) * 100)::bigint as tax_credit_cents,
    (sum(premium_usd) * 100)::bigint as premium_cents
from member_month
group by 1, 2;

-- name: exposure_month
-- Exposure and premium. One row per month, state, metal tier and cost-sharing variant.
select
    month,
    state,
    metal_tier,
    csr_variant,
    members,
    covered_days,
    member_months_day,
    member_months_any,
    member_months_mid,
    (net_premium_usd * 100)::bigint as net_premium_cents,
    (tax_credit_usd * 100)::bigint as tax_credit_cents,
    (premium_usd * 100)::bigint as premium_cents
from exposure_month;

-- name: enrollment_flow_month
-- Who came, stayed and went. One row per month, state and metal tier.
select
    month,
    state,
    metal_tier,
    members,
    at_start,
    new,
    returned,
    ended,
    at_end
from enrollment_flow_month;

-- name: inpatient_stay
-- Stays and readmissions. One row per stay.
select
    member_id,
    stay_id,
    admit_date,
    discharge_date,
    claims,
    is_transfer,
    ms_drg,
    diagnosis_code,
    allowed_usd,
    paid_usd,
    is_planned,
    why_not_index,
    readmission_stay_id,
    days_to_readmission
from inpatient_stay;

-- name: readmission_month
-- Stays by month of discharge. One row per month.
select
    month,
    stays,
    planned_stays,
    index_stays,
    readmissions,
    readmission_rate
from readmission_month;

-- name: high_cost_year
-- High-cost years. One row per member and benefit year.
select
    member_id,
    benefit_year,
    allowed_usd,
    paid_usd,
    band,
    pool_excess_usd,
    pool_payment_usd
from high_cost_year;

-- name: is_as_sent
-- Whether all that was loaded is there still: nothing has expired and nobody was erased. One row.
select
    not exists (select 1 from load_file as f where f.rows_expired > 0)
    and not exists (select 1 from erased) as is_as_sent;

-- name: is_there
-- Whether a table is there, which a cube is once it was made. One row.
select to_regclass(%(name)s) is not null as is_there;
