-- claim: claims with what they count for, and who, where and which plan they are about.
-- Grain: one row per claim, in its latest state.
-- Units: amounts in US dollars, to the cent.
-- Assumptions:
--   * Member, plan and provider are as they were on the day of service; before the first batch
--     about a member as they were first described, and is_member_as_was is false.
--   * Status and signs of amounts: sql/facts/status.sql. What is pending, denied or of an unknown
--     status counts with 0.00 in paid_usd; what is pending or unknown in allowed_usd and billed_usd
--     too, as in every cube.

-- name: definition
-- Claims with what they count for, one row per claim in its latest state.
--
-- Member, plan and provider are as they were on the day of service.
select
    c.claim_id,
    c.service_date,
    months.month,
    {mart/fragments.month_is_over} as is_complete,
    {c_member_sk},
    m.member_id,
    m.state,
    m.age_group,
    coalesce(m.known_from_ts <= c.service_date, false) as is_member_as_was,
    c.plan_sk,
    p.plan_id,
    p.metal_tier,
    c.provider_sk,
    r.provider_id,
    r.specialty,
    c.claim_type,
    c.status,
    state.is_pending,
    state.is_denied,
    state.is_reversed,
    state.is_adjudicated,
    state.is_paid as is_payable,
    case when state.is_adjudicated then c.claim_amount else 0.00 end as billed_usd,
    case when state.is_adjudicated then c.allowed_amount else 0.00 end as allowed_usd,
    case when state.is_paid then c.paid_amount else 0.00 end as paid_usd,
    case when state.is_paid then c.allowed_amount - c.paid_amount else 0.00 end as member_cost_usd,
    c.paid_date,
    c.diagnosis_code,
    c.procedure_code,
    c.ms_drg,
    c.admit_date,
    c.discharge_date,
    c.drug_class,
    c.is_oon,
    c.load_id
from {fact_claim} as c
left join {dim_member} as m on c.member_sk = m.{version_sk}
left join {dim_plan} as p on c.plan_sk = p.plan_sk
left join {dim_provider} as r on c.provider_sk = r.provider_sk
cross join lateral (select date_trunc('month', c.service_date::timestamp)::date as month) as months
cross join lateral ({state}) as state;

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. Of a measure only what is so of this column: the
-- rest is declared in etl/warehouse/measures.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('claim_id', 'claim or enrollment number', 'Identifier of the claim.'),
    ('service_date', 'date of the person', 'First day of service.'),
    ('month', 'date of the person', 'First day of the month of service.'),
    ('is_complete', 'when within a year', 'Whether that month was over when the data was made.'),
    ('member_sk', 'surrogate key of the person', 'The member as on the day of service.'),
    ('member_id', 'member number', 'The patient.'),
    ('state', 'none', 'State of the member on the day of service.'),
    ('age_group', 'age', 'Age group of the member on the day of service.'),
    ('is_member_as_was', 'none', 'Whether state and age group were known for that day.'),
    ('plan_sk', 'none', 'The plan of the year of service.'),
    ('plan_id', 'none', 'The plan billed.'),
    ('metal_tier', 'none', 'Metal tier of the plan in the year of service.'),
    ('provider_sk', 'none', 'The provider as on the day of service.'),
    ('provider_id', 'none', 'Who rendered and billed the service.'),
    ('specialty', 'none', 'Specialty of the provider on the day of service.'),
    ('claim_type', 'none', 'Professional, Inpatient, Outpatient or Pharmacy.'),
    ('status', 'none', 'State of adjudication as the sender says it.'),
    ('is_pending', 'none', 'Whether it is not adjudicated yet.'),
    ('is_denied', 'none', 'Whether it was denied.'),
    ('is_reversed', 'none', 'Whether it was reversed; its amounts are what is left of it.'),
    ('is_adjudicated', 'none', 'Whether it counts as a claim: paid for or denied.'),
    ('is_payable', 'none', 'Whether it is paid for: adjudicated and not denied.'),
    ('billed_usd', 'none', ''),
    ('allowed_usd', 'none', ''),
    ('paid_usd', 'none', ''),
    ('member_cost_usd', 'none', ''),
    ('paid_date', 'date of the person', 'Day on which the claim was paid.'),
    ('diagnosis_code', 'none', 'Principal diagnosis, ICD-10-CM without the point.'),
    ('procedure_code', 'none', 'Procedure, HCPCS level II or a local code.'),
    ('ms_drg', 'none', 'MS-DRG of an inpatient stay, three digits.'),
    ('admit_date', 'date of the person', 'Day of admission of an inpatient stay.'),
    ('discharge_date', 'date of the person', 'Day of discharge of an inpatient stay.'),
    ('drug_class', 'none', 'Therapeutic class of the drug.'),
    ('is_oon', 'none', 'Whether the provider was out of network.'),
    ('load_id', 'load that a row of the person came with', 'The load that brought this state.')
) as c (column_name, identifier, description);
