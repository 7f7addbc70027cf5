-- claims_by_plan_metal_month: claims, exposure and paid per member per month by metal tier.
-- Grain: one row per metal tier and month, for every tier in the warehouse and every month from
-- the first to the last with a claim or with coverage, also where there was none.
-- Units: counts of claims and members; member-months; amounts in US dollars, to the cent.
-- Assumptions:
--   * Claims, members and tiers: see claims_by_month. Coverage and its tier: see member_month, by
--     which a day belongs to one span of a member. The row for '(unknown)' appears only where it is
--     used.

-- name: definition
-- The cube as a plain query. One row per metal tier and month.
with plan_tiers as (
    select
        plan_sk,
        coalesce(initcap(metal_tier), '(unknown)') as metal_tier
    from dim_plan
),

claims as (
    select
        category as metal_tier,
        b.*
    from claims_by_month as b
    where breakdown = 'metal_tier'
),

coverage as (
    select
        metal_tier,
        month,
        sum(covered_days)::bigint as covered_days
    from exposure_month
    group by metal_tier, month
),

months as (
    select generate_series(
        min(used.month)::timestamp, max(used.month)::timestamp, interval '1 month'
    )::date as month
    from (
        select month from claims
        union
        select month from coverage
    ) as used
),

tiers as (
    select metal_tier from plan_tiers where plan_sk <> -1
    union
    select metal_tier from claims
    union
    select metal_tier from coverage
)

select
    t.metal_tier,
    m.month,
    coalesce(c.claims, 0) as claims,
    coalesce(c.pending_claims, 0) as pending_claims,
    coalesce(c.denied_claims, 0) as denied_claims,
    coalesce(c.unknown_status_claims, 0) as unknown_status_claims,
    coalesce(c.members, 0) as members,
    coalesce(c.pending_members, 0) as pending_members,
    coalesce(c.denied_members, 0) as denied_members,
    coalesce(c.unknown_status_members, 0) as unknown_status_members,
    coalesce(c.paid_members, 0) as paid_members,
    exposure.covered_days,
    round(exposure.member_months, 6) as member_months,
    coalesce(c.billed_usd, 0)::numeric(16, 2) as billed_usd,
    coalesce(c.pending_billed_usd, 0)::numeric(16, 2) as pending_billed_usd,
    coalesce(c.unknown_status_billed_usd, 0)::numeric(16, 2) as unknown_status_billed_usd,
    coalesce(c.allowed_usd, 0)::numeric(16, 2) as allowed_usd,
    coalesce(c.paid_usd, 0)::numeric(16, 2) as paid_usd,
    round(coalesce(c.paid_usd, 0) / nullif(exposure.member_months, 0), 2) as paid_pmpm_usd
from tiers as t
cross join months as m
left join claims as c on t.metal_tier = c.metal_tier and m.month = c.month
left join coverage as v on t.metal_tier = v.metal_tier and m.month = v.month
cross join lateral (
    select
        coalesce(v.covered_days, 0) as covered_days,
        coalesce(v.covered_days, 0)
        / extract(day from m.month + interval '1 month' - interval '1 day') as member_months
) as exposure;

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. Of a measure only what is so of this column: the
-- rest is declared in etl/warehouse/measures.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('metal_tier', 'none', 'Metal tier of the plan; (unknown) where the plan is not known.'),
    ('month', 'none', 'First day of the month of service and of coverage.'),
    ('claims', 'none', ''),
    ('pending_claims', 'none', ''),
    ('denied_claims', 'none', ''),
    ('unknown_status_claims', 'none', ''),
    ('members', 'none', 'With an adjudicated claim; unknown ones count as one.'),
    ('pending_members', 'none', ''),
    ('denied_members', 'none', ''),
    ('unknown_status_members', 'none', ''),
    ('paid_members', 'none', ''),
    ('covered_days', 'none', ''),
    ('member_months', 'none', ''),
    ('billed_usd', 'none', ''),
    ('pending_billed_usd', 'none', ''),
    ('unknown_status_billed_usd', 'none', ''),
    ('allowed_usd', 'none', ''),
    ('paid_usd', 'none', ''),
    ('paid_pmpm_usd', 'none', '')
) as c (column_name, identifier, description);
