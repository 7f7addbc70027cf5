-- exposure_month: how many were covered, and at what premium.
-- Grain: one row per month, state, metal tier and cost-sharing variant with coverage.
-- Units: counts of members; member-months on three bases; US dollars, to the cent.
-- Assumptions: those of member_month.

-- name: definition
-- The cube as a plain query. One row per month, state, metal tier and cost-sharing variant.
select
    month,
    state,
    metal_tier,
    csr_variant,
    count(distinct member_id) as members,
    sum(covered_days)::bigint as covered_days,
    round(sum(covered_days)::numeric / min(days_in_month), 6) as member_months_day,
    sum(member_months_any)::bigint as member_months_any,
    sum(member_months_mid)::bigint as member_months_mid,
    sum(premium_usd)::numeric(16, 2) as premium_usd,
    sum(tax_credit_usd)::numeric(16, 2) as tax_credit_usd,
    sum(net_premium_usd)::numeric(16, 2) as net_premium_usd
from member_month
group by month, state, metal_tier, csr_variant;

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
    ('members', 'none', 'Members with a covered day.'),
    ('covered_days', 'none', 'Days covered.'),
    ('member_months_day', 'none', 'Covered days over the days of the month.'),
    ('member_months_any', 'none', 'Members once a month, at the plan with most days.'),
    ('member_months_mid', 'none', 'Members who are covered on the 15th.'),
    ('premium_usd', 'none', 'Premium by share of days: net premium and tax credit.'),
    ('tax_credit_usd', 'none', 'Advance premium tax credit by share of days.'),
    ('net_premium_usd', 'none', 'What members pay, by share of days.')
) as c (column_name, identifier, description);
