-- claim_diagnosis: diagnoses of claims with what they mean, and who they are about.
-- Grain: one row per claim and position. A claim that came without diagnoses has position 1.
-- Assumptions:
--   * The member is as on the day of service.
--   * There are no amounts here: a claim with several diagnoses would count more than once.

-- name: definition
-- Diagnoses of claims with what they mean, one row per claim and position.
--
-- A claim that came without diagnoses has position 1 with its own diagnosis. Amounts are in
-- mart.claim: here a claim with several diagnoses would count more than once.
select
    b.claim_id,
    b.position,
    b.is_principal,
    b.service_date,
    months.month,
    {mart/fragments.month_is_over} as is_complete,
    {b_member_sk},
    m.member_id,
    m.state,
    m.age_group,
    d.diagnosis_code,
    d.title as diagnosis_title,
    d.category,
    d.chapter,
    b.present_on_admission,
    c.claim_type,
    c.status,
    c.claim_id is null as is_waiting,
    c.claim_id is not null and state.is_adjudicated as is_adjudicated,
    c.claim_id is not null and state.is_paid as is_payable,
    b.is_from_claim,
    b.load_id
from {bridge_claim_diagnosis} as b
left join {fact_claim} as c on b.claim_id = c.claim_id and b.service_date = c.service_date
left join {dim_member} as m on b.member_sk = m.{version_sk}
left join {dim_diagnosis} as d on b.diagnosis_sk = d.diagnosis_sk
cross join lateral (select date_trunc('month', b.service_date::timestamp)::date as month) as months
cross join lateral ({state}) as state;

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('claim_id', 'claim or enrollment number', 'Identifier of the claim.'),
    ('position', 'none', 'Position of the diagnosis on its claim, 1 to 25.'),
    ('is_principal', 'none', 'Whether it is position 1.'),
    ('service_date', 'date of the person', 'First day of service of the claim.'),
    ('month', 'date of the person', 'First day of the month of service.'),
    ('is_complete', 'when within a year', 'Whether that month was over when the data was made.'),
    ('member_sk', 'surrogate key of the person', 'The member as on the day of service.'),
    ('member_id', 'member number', 'The patient.'),
    ('state', 'none', 'State of the member on the day of service.'),
    ('age_group', 'age', 'Age group of the member on the day of service.'),
    ('diagnosis_code', 'none', 'Diagnosis, ICD-10-CM without the point.'),
    ('diagnosis_title', 'none', 'What the diagnosis is, where a table of reference says.'),
    ('category', 'none', 'First three characters of the code.'),
    ('chapter', 'none', 'Chapter of ICD-10-CM.'),
    ('present_on_admission', 'none', 'Y, N, U, W or 1: whether it was present on admission.'),
    ('claim_type', 'none', 'Professional, Inpatient, Outpatient or Pharmacy.'),
    ('status', 'none', 'State of adjudication of the claim as the sender says it.'),
    ('is_waiting', 'none', 'Whether the claim itself has not come yet.'),
    ('is_adjudicated', 'none', 'Whether the claim counts as one: paid for or denied.'),
    ('is_payable', 'none', 'Whether the claim is paid for: adjudicated and not denied.'),
    ('is_from_claim', 'none', 'Whether it is made of the claim, which came without diagnoses.'),
    ('load_id', 'load that a row of the person came with', 'The load that brought this state.')
) as c (column_name, identifier, description);
