-- exposure_month: how many were covered, and at what premium.
-- Grain: one row per month, state, metal tier and cost-sharing variant with coverage.
-- Units: counts of members; member-months on three bases; US dollars, to the cent.
-- Assumptions: those of member_month.

-- name: definition
-- The cube as a plain query. One row per month, state, metal tier and cost-sharing variant.
with sums as (
    select
        month,
        state,
        metal_tier,
        csr_variant,
        count(*) filter (where plans = 1) as members_of_one_plan,
        sum(covered_days)::bigint as covered_days,
        min(days_in_month) as days_in_month,
        sum(member_months_any)::bigint as member_months_any,
        sum(member_months_mid)::bigint as member_months_mid,
        sum(premium_usd)::numeric(16, 2) as premium_usd,
        sum(tax_credit_usd)::numeric(16, 2) as tax_credit_usd,
        sum(net_premium_usd)::numeric(16, 2) as net_premium_usd
    from member_month
    group by month, state, metal_tier, csr_variant
),

-- Few have several plans in a month; to count all of them apart would sort every row.
of_several_plans as (
    select
        month,
        state,
        metal_tier,
        csr_variant,
        count(distinct member_id) as members
    from member_month
    where plans > 1
    group by month, state, metal_tier, csr_variant
)

select
    s.month,
    s.state,
    s.metal_tier,
    s.csr_variant,
    s.members_of_one_plan + coalesce(o.members, 0) as members,
    s.covered_days,
    round(s.covered_days::numeric / s.days_in_month, 6) as member_months_day,
    s.member_months_any,
    s.member_months_mid,
    s.premium_usd,
    s.tax_credit_usd,
    s.net_premium_usd
from sums as s
left join of_several_plans as o
    on s.month = o.month and s.state = o.state and s.metal_tier = o.metal_tier
    and s.csr_variant = o.csr_variant;

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('month', 'none', 'First day of the month.'),
    ('state', 'none', 'State of the members, or (unknown).'),
    ('metal_tier', 'none', 'Metal tier of the plans, or (unknown).'),
    ('csr_variant', 'none', 'Cost-sharing reduction variant, or (none).'),
    ('members', 'none', 'Members with a covered day; one can be in several rows.'),
    ('covered_days', 'none', 'Days covered.'),
    ('member_months_day', 'none', 'Covered days over the days of the month.'),
    ('member_months_any', 'none', 'Members once a month, at the plan with most days.'),
    ('member_months_mid', 'none', 'Members who are covered on the 15th.'),
    ('premium_usd', 'none', 'Premium by share of days: net premium and tax credit.'),
    ('tax_credit_usd', 'none', 'Advance premium tax credit by share of days.'),
    ('net_premium_usd', 'none', 'What members pay, by share of days.')
) as c (column_name, identifier, description);
