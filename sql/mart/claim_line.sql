-- claim_line: service lines of claims with what they count for, and who, where and which plan they
-- are about.
-- Grain: one row per claim and line number. A claim that came without lines has line 1.
-- Units: amounts in US dollars, to the cent; units as the sender counts them.
-- Assumptions:
--   * Member, plan and provider are those of the claim, as they were on the day of service.
--   * A line counts as its claim does (sql/facts/status.sql). One whose claim has not come yet
--     counts with 0.00. So does one of a claim that was reversed, by its status or by amounts below
--     zero, and of which nothing is left: lines that came with it stay as they came in the fact.

-- name: definition
-- Service lines of claims with what they count for, one row per claim and line number.
--
-- A line counts as its claim does; a claim that came without lines has line 1 with its own amounts.
select
    l.claim_id,
    l.line_number,
    l.service_date,
    months.month,
    {mart/fragments.month_is_over} as is_complete,
    {l_member_sk},
    m.member_id,
    m.state,
    m.age_group,
    l.plan_sk,
    p.plan_id,
    p.metal_tier,
    l.provider_sk,
    r.provider_id,
    r.specialty,
    c.claim_type,
    c.status,
    c.claim_id is null as is_waiting,
    counts.is_adjudicated,
    counts.is_payable,
    case when counts.is_adjudicated and not counts.is_undone then l.claim_amount else 0.00 end
        as billed_usd,
    case when counts.is_adjudicated and not counts.is_undone then l.allowed_amount else 0.00 end
        as allowed_usd,
    case when counts.is_payable and not counts.is_undone then l.paid_amount else 0.00 end
        as paid_usd,
    case
        when counts.is_payable and not counts.is_undone then l.allowed_amount - l.paid_amount
        else 0.00
    end as member_cost_usd,
    q.procedure_code,
    q.title as procedure_title,
    q.code_system,
    l.modifier,
    l.revenue_code,
    l.place_of_service,
    l.ndc,
    case when counts.is_undone then 0 else l.units end as units,
    l.line_from,
    l.line_to,
    l.is_from_claim,
    l.load_id
from {fact_claim_line} as l
left join {fact_claim} as c on l.claim_id = c.claim_id and l.service_date = c.service_date
left join {dim_member} as m on l.member_sk = m.{version_sk}
left join {dim_plan} as p on l.plan_sk = p.plan_sk
left join {dim_provider} as r on l.provider_sk = r.provider_sk
left join {dim_procedure} as q on l.procedure_sk = q.procedure_sk
{join_had_amounts}
cross join lateral (select date_trunc('month', l.service_date::timestamp)::date as month) as months
cross join lateral ({state}) as state
cross join lateral (
    select
        c.claim_id is not null and state.is_adjudicated as is_adjudicated,
        c.claim_id is not null and state.is_paid as is_payable,
        {facts/status.is_void} as is_undone
) as counts;

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
    ('line_number', 'none', 'Number of the line on its claim, from 1 up.'),
    ('service_date', 'date of the person', 'First day of service of the claim.'),
    ('month', 'date of the person', 'First day of the month of service.'),
    ('is_complete', 'when within a year', 'Whether that month was over when the data was made.'),
    ('member_sk', 'surrogate key of the person', 'The member as on the day of service.'),
    ('member_id', 'member number', 'The patient.'),
    ('state', 'none', 'State of the member on the day of service.'),
    ('age_group', 'age', 'Age group of the member on the day of service.'),
    ('plan_sk', 'none', 'The plan of the year of service.'),
    ('plan_id', 'none', 'The plan billed.'),
    ('metal_tier', 'none', 'Metal tier of the plan in the year of service.'),
    ('provider_sk', 'none', 'The provider as on the day of service.'),
    ('provider_id', 'none', 'Who rendered and billed the service.'),
    ('specialty', 'none', 'Specialty of the provider on the day of service.'),
    ('claim_type', 'none', 'Professional, Inpatient, Outpatient or Pharmacy.'),
    ('status', 'none', 'State of adjudication of the claim as the sender says it.'),
    ('is_waiting', 'none', 'Whether the claim itself has not come yet.'),
    ('is_adjudicated', 'none', 'Whether the claim counts as one: paid for or denied.'),
    ('is_payable', 'none', 'Whether the claim is paid for: adjudicated and not denied.'),
    ('billed_usd', 'none', 'Of the line.'),
    ('allowed_usd', 'none', 'Of the line.'),
    ('paid_usd', 'none', 'Of the line.'),
    ('member_cost_usd', 'none', 'Of the line.'),
    ('procedure_code', 'none', 'Procedure, HCPCS or a local code.'),
    ('procedure_title', 'none', 'What the procedure is, where a table of reference says.'),
    ('code_system', 'none', 'HCPCS, local or unknown.'),
    ('modifier', 'none', 'Modifier of the procedure.'),
    ('revenue_code', 'none', 'Revenue code of an institutional line, four digits.'),
    ('place_of_service', 'none', 'Where the service was rendered, two digits.'),
    ('ndc', 'none', 'National Drug Code of a drug, eleven digits.'),
    ('units', 'none', 'Of a claim that was reversed and of which nothing is left 0.'),
    ('line_from', 'date of the person', 'First day of the service of the line.'),
    ('line_to', 'date of the person', 'Last day of the service of the line.'),
    ('is_from_claim', 'none', 'Whether it is made of the claim, which came without lines.'),
    ('load_id', 'load that a row of the person came with', 'The load that brought this state.')
) as c (column_name, identifier, description);
