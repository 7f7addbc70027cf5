-- exposure_month: how many were covered, and at what premium.
-- Grain: one row per month, state, metal tier and cost-sharing variant with coverage.
-- Units: counts of members; member-months on three bases; US dollars, to the cent.
-- Assumptions: those of member_month.

-- name: sums
-- What rows of member_month add up to, of some members where that is said. One row per month,
-- state, metal tier and cost-sharing variant.
with sums as (
    select
        month,
        state,
        metal_tier,
        csr_variant,
        count(*) filter (where plans = 1) as members_of_one_plan,
        sum(covered_days)::bigint as covered_days,
        sum(member_months_any)::bigint as member_months_any,
        sum(member_months_mid)::bigint as member_months_mid,
        sum(premium_usd)::numeric(16, 2) as premium_usd,
        sum(tax_credit_usd)::numeric(16, 2) as tax_credit_usd,
        sum(net_premium_usd)::numeric(16, 2) as net_premium_usd
    from member_month
    where {of_members}
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
    where plans > 1 and {of_members}
    group by month, state, metal_tier, csr_variant
)

select
    s.month,
    s.state,
    s.metal_tier,
    s.csr_variant,
    s.members_of_one_plan + coalesce(o.members, 0) as members,
    s.covered_days,
    s.member_months_any,
    s.member_months_mid,
    s.premium_usd,
    s.tax_credit_usd,
    s.net_premium_usd
from sums as s
left join of_several_plans as o
    on s.month = o.month and s.state = o.state and s.metal_tier = o.metal_tier
    and s.csr_variant = o.csr_variant;

-- name: definition
-- The cube as a plain query. One row per month, state, metal tier and cost-sharing variant.
select
    month,
    state,
    metal_tier,
    csr_variant,
    members,
    covered_days,
    round(
        covered_days / extract(day from month + interval '1 month' - interval '1 day'), 6
    ) as member_months_day,
    member_months_any,
    member_months_mid,
    premium_usd,
    tax_credit_usd,
    net_premium_usd
from ({sums}) as s;

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. Of a measure only what is so of this column: the
-- rest is declared in etl/warehouse/measures.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('month', 'none', 'First day of the month.'),
    ('state', 'none', 'State of the members, or (unknown).'),
    ('metal_tier', 'none', 'Metal tier of the plans, or (unknown).'),
    ('csr_variant', 'none', 'Cost-sharing reduction variant, or (none).'),
    ('members', 'none', 'With a covered day; one can be in several rows.'),
    ('covered_days', 'none', ''),
    ('member_months_day', 'none', ''),
    ('member_months_any', 'none', ''),
    ('member_months_mid', 'none', ''),
    ('premium_usd', 'none', 'By the share of days of the month.'),
    ('tax_credit_usd', 'none', 'By the share of days of the month.'),
    ('net_premium_usd', 'none', 'By the share of days of the month.')
) as c (column_name, identifier, description);
