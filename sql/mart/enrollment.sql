-- enrollment: coverage with its whole premium, and who and which plan it is about.
-- Grain: one row per member, plan and start of coverage.
-- Units: US dollars a month, to the cent; days.
-- Assumptions:
--   * The premium is what the member pays plus the advance payment of the premium tax credit
--     (26 CFR 1.36B-3): premium_paid of the feed is the member's part.
--   * Member and plan are as they were on the first day of coverage.

-- name: definition
-- Coverage with its whole premium, one row per member, plan and start of coverage.
--
-- Member and plan are as they were on the first day of coverage.
select
    e.enrollment_id,
    {e_member_sk},
    m.member_id,
    m.state,
    m.age_group,
    e.plan_sk,
    p.plan_id,
    p.metal_tier,
    p.effective_year as plan_year,
    e.start_date,
    e.end_date,
    e.coverage_days,
    {as_of} between e.start_date and e.end_date as is_in_force,
    e.csr_variant,
    e.enrollment_reason,
    e.premium_paid + coalesce(e.aptc_amount, 0.00) as premium_usd,
    coalesce(e.aptc_amount, 0.00) as tax_credit_usd,
    e.premium_paid as net_premium_usd,
    e.load_id
from {fact_enrollment} as e
left join {dim_member} as m on e.member_sk = m.{version_sk}
left join {dim_plan} as p on e.plan_sk = p.plan_sk;

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. Of a measure only what is so of this column: the
-- rest is declared in etl/warehouse/measures.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('enrollment_id', 'claim or enrollment number', 'Identifier of the enrollment.'),
    ('member_sk', 'surrogate key of the person', 'The member as on the first day.'),
    ('member_id', 'member number', 'Who is covered.'),
    ('state', 'none', 'State of the member on the first day.'),
    ('age_group', 'age', 'Age group of the member on the first day.'),
    ('plan_sk', 'none', 'The plan of the year of the first day.'),
    ('plan_id', 'none', 'The plan.'),
    ('metal_tier', 'none', 'Metal tier of the plan.'),
    ('plan_year', 'none', 'Plan year.'),
    ('start_date', 'date of the person', 'First day of coverage.'),
    ('end_date', 'date of the person', 'Last day of coverage; if open, the end of the year.'),
    ('coverage_days', 'days between dates of the person', ''),
    ('is_in_force', 'none', 'Whether it covers the day that the data speaks of.'),
    ('csr_variant', 'none', 'Cost-sharing reduction variant (45 CFR 156.420).'),
    ('enrollment_reason', 'none', 'Why the member enrolled.'),
    ('premium_usd', 'none', 'A month.'),
    ('tax_credit_usd', 'none', 'A month.'),
    ('net_premium_usd', 'none', 'A month.'),
    ('load_id', 'load that a row of the person came with', 'The load that brought this state.')
) as c (column_name, identifier, description);
