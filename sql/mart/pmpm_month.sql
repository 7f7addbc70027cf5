-- pmpm_month: exposure and cost next to each other, and cost per member per month.
-- Grain: one row per month, state, metal tier and type of claim, or all types together, for every
-- month, state and tier with coverage or a claim.
-- Units: member-months on three bases; counts of claims; US dollars, to the cent.
-- Assumptions:
--   * Exposure is that of member_month, cost that of cost_month: claims by their day of service.
--   * The exposure of a month, state and tier is in each of its rows: do not add it over types.
--     Rows of claim_type all have the whole.
--   * A month that is not complete will have more claims and other coverage.

-- name: definition
-- Exposure and cost by month, state, metal tier and type of claim, and for all types together.
with costs as (
    select
        month,
        state,
        metal_tier,
        coalesce(claim_type, 'all') as claim_type,
        sum(claims) as claims,
        sum(billed_usd) as billed_usd,
        sum(allowed_usd) as allowed_usd,
        sum(paid_usd) as paid_usd
    from {cost_month}
    group by grouping sets ((month, state, metal_tier, claim_type), (month, state, metal_tier))
),

exposures as (
    select
        month,
        state,
        metal_tier,
        sum(member_months_day) as member_months_day,
        sum(member_months_any) as member_months_any,
        sum(member_months_mid) as member_months_mid,
        sum(premium_usd) as premium_usd
    from {exposure_month}
    group by month, state, metal_tier
),

cells as (
    select
        month,
        state,
        metal_tier
    from exposures
    union
    select
        month,
        state,
        metal_tier
    from costs
),

types as (
    select claim_type
    from costs
    union
    select 'all'
)

select
    months.month,
    months.state,
    months.metal_tier,
    types.claim_type,
    {mart/fragments.month_is_over} as is_complete,
    coalesce(x.member_months_day, 0) as member_months_day,
    coalesce(x.member_months_any, 0)::bigint as member_months_any,
    coalesce(x.member_months_mid, 0)::bigint as member_months_mid,
    coalesce(x.premium_usd, 0.00) as premium_usd,
    coalesce(c.claims, 0)::bigint as claims,
    coalesce(c.billed_usd, 0.00) as billed_usd,
    coalesce(c.allowed_usd, 0.00) as allowed_usd,
    coalesce(c.paid_usd, 0.00) as paid_usd,
    round(coalesce(c.allowed_usd, 0) / nullif(x.member_months_day, 0), 2) as allowed_pmpm_usd,
    round(coalesce(c.paid_usd, 0) / nullif(x.member_months_day, 0), 2) as paid_pmpm_usd,
    round(coalesce(c.allowed_usd, 0) / nullif(x.member_months_any, 0), 2) as allowed_pmpm_any_usd,
    round(coalesce(c.paid_usd, 0) / nullif(x.member_months_any, 0), 2) as paid_pmpm_any_usd,
    round(coalesce(c.allowed_usd, 0) / nullif(x.member_months_mid, 0), 2) as allowed_pmpm_mid_usd,
    round(coalesce(c.paid_usd, 0) / nullif(x.member_months_mid, 0), 2) as paid_pmpm_mid_usd,
    round(coalesce(c.paid_usd, 0) / nullif(x.premium_usd, 0), 6) as loss_ratio
from cells as months
cross join types
left join exposures as x
    on months.month = x.month and months.state = x.state and months.metal_tier = x.metal_tier
left join costs as c
    on months.month = c.month and months.state = c.state and months.metal_tier = c.metal_tier
    and types.claim_type = c.claim_type;

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. Of a measure only what is so of this column: the
-- rest is declared in etl/warehouse/measures.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('month', 'none', 'First day of the month of coverage and of service.'),
    ('state', 'none', 'State of the members, or (unknown).'),
    ('metal_tier', 'none', 'Metal tier of the plans, or (unknown).'),
    ('claim_type', 'none', 'Type of the claims, (unknown), or all for all types together.'),
    ('is_complete', 'none', 'Whether the month was over when the data was made.'),
    ('member_months_day', 'none', 'Of all types of claim.'),
    ('member_months_any', 'none', 'Of all types of claim.'),
    ('member_months_mid', 'none', 'Of all types of claim.'),
    ('premium_usd', 'none', 'By the share of days of the month; of all types of claim.'),
    ('claims', 'none', ''),
    ('billed_usd', 'none', ''),
    ('allowed_usd', 'none', ''),
    ('paid_usd', 'none', ''),
    ('allowed_pmpm_usd', 'none', ''),
    ('paid_pmpm_usd', 'none', ''),
    ('allowed_pmpm_any_usd', 'none', ''),
    ('paid_pmpm_any_usd', 'none', ''),
    ('allowed_pmpm_mid_usd', 'none', ''),
    ('paid_pmpm_mid_usd', 'none', ''),
    ('loss_ratio', 'none', 'Of the premium of all types of claim.')
) as c (column_name, identifier, description);
