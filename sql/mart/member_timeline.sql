-- member_timeline: what happened to members, in order.
-- Grain: one row per version of a member, span of coverage and claim.
-- Units: US dollars, to the cent: of coverage the whole premium a month, of a claim what was paid.
-- Assumptions:
--   * A version begins when a driver of the member dimension changed; the first one of a member
--     reaches back to 1900-01-01. Rows of nobody known are left out.

-- name: definition
-- What happened to members, one row per version, span of coverage and claim.
--
-- Order it by member_id, from_date and what.
select
    m.member_sk,
    m.member_id,
    m.validity_start_ts::date as from_date,
    case when not m.current_flag then m.validity_end_ts::date end as to_date,
    'version' as what,
    null::text as number,
    m.state,
    m.plan_metal as metal_tier,
    null::text as status,
    null::numeric as amount_usd
from {dim_member} as m
where m.member_sk > 0
union all
select
    e.member_sk,
    e.member_id,
    e.start_date,
    e.end_date,
    'coverage',
    e.enrollment_id,
    e.state,
    e.metal_tier,
    e.enrollment_reason,
    e.premium_usd
from ({mart/enrollment.definition}) as e
where e.member_sk > 0
union all
select
    c.member_sk,
    c.member_id,
    c.service_date,
    c.discharge_date,
    'claim',
    c.claim_id,
    c.state,
    c.metal_tier,
    c.status,
    c.paid_usd
from ({mart/claim.definition}) as c
where c.member_sk > 0;

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. Of a measure only what is so of this column: the
-- rest is declared in etl/warehouse/measures.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('member_sk', 'surrogate key of the person', 'The member as on the first day.'),
    ('member_id', 'member number', 'The member.'),
    ('from_date', 'date of the person', 'First day of the version, coverage or service.'),
    ('to_date', 'date of the person', 'Last day of it, of a version the day after; empty if open.'),
    ('what', 'none', 'version, coverage or claim.'),
    ('number', 'claim or enrollment number', 'Identifier of the enrollment or claim.'),
    ('state', 'none', 'State of the member then.'),
    ('metal_tier', 'none', 'Metal tier of the plan; of a version that of the member.'),
    ('status', 'none', 'Reason of the enrollment, or status of the claim.'),
    ('amount_usd', 'none', '')
) as c (column_name, identifier, description);
