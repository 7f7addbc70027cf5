-- cost_month: claims and money by month of service, state, metal tier and type of claim.
-- Grain: one row per month, state, metal tier and claim type with a claim of any status.
-- Units: counts of claims; amounts in US dollars, to the cent.
-- Assumptions:
--   * Pending and denied claims, and those of an unknown status: see claims_daily_member.
--   * The state is that of the member version, and the tier that of the plan version, in force on
--     the day of service. Tiers and types are written with capitals (silver and Silver are one).
--   * '(unknown)' is a state, tier or type that nobody said.

-- name: type_as_spelled
-- The type of a claim as the cube spells it. A fragment.
coalesce(  -- noqa: PRS, a value
    initcap(claim_type), '(unknown)'
)

-- name: definition
-- The cube as a plain query. One row per month, state, metal tier and claim type.
-- As written first: few groups, each of which is spelled once.
with claim_sums as (
    select
        d.month_start as month,
        coalesce(m.state, '(unknown)') as state,
        p.metal_tier,
        f.claim_type,
        f.status,
        count(*) as claims,
        sum(f.claim_amount) as claim_amount,
        sum(f.allowed_amount) as allowed_amount,
        sum(f.paid_amount) as paid_amount
    from fact_claim as f
    inner join dim_date as d on f.date_key = d.date_key
    inner join dim_member as m on f.member_sk = m.member_sk
    inner join dim_plan as p on f.plan_sk = p.plan_sk
    group by d.month_start, m.state, p.metal_tier, f.claim_type, f.status
),

claims as (
    select
        c.month,
        c.state,
        coalesce(initcap(c.metal_tier), '(unknown)') as metal_tier,
        {type_as_spelled} as claim_type,
        {render/claim_measures.sums}
    from claim_sums as c
    cross join lateral ({state}) as state
    group by 1, 2, 3, 4
)

select
    month,
    state,
    metal_tier,
    claim_type,
    claims::bigint as claims,
    pending_claims::bigint as pending_claims,
    denied_claims::bigint as denied_claims,
    unknown_status_claims::bigint as unknown_status_claims,
    billed_usd::numeric(16, 2) as billed_usd,
    pending_billed_usd::numeric(16, 2) as pending_billed_usd,
    unknown_status_billed_usd::numeric(16, 2) as unknown_status_billed_usd,
    allowed_usd::numeric(16, 2) as allowed_usd,
    paid_usd::numeric(16, 2) as paid_usd
from claims;

-- name: follow
-- The whole cube, which is small, from its own rows and the changes. One row per month, state,
-- metal tier and claim type.
select
    month,
    state,
    metal_tier,
    claim_type,
    sum(claims)::bigint as claims,
    sum(pending_claims)::bigint as pending_claims,
    sum(denied_claims)::bigint as denied_claims,
    sum(unknown_status_claims)::bigint as unknown_status_claims,
    sum(billed_usd)::numeric(16, 2) as billed_usd,
    sum(pending_billed_usd)::numeric(16, 2) as pending_billed_usd,
    sum(unknown_status_billed_usd)::numeric(16, 2) as unknown_status_billed_usd,
    sum(allowed_usd)::numeric(16, 2) as allowed_usd,
    sum(paid_usd)::numeric(16, 2) as paid_usd
from (
    select
        month,
        state,
        metal_tier,
        claim_type,
        {measures}
    from cost_month
    union all
    select
        month,
        state,
        metal_tier,
        claim_type,
        {measures}
    from claim_changes
) as sums
group by month, state, metal_tier, claim_type
having sum(claims) <> 0 or sum(pending_claims) <> 0 or sum(unknown_status_claims) <> 0;

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. Of a measure only what is so of this column: the
-- rest is declared in etl/warehouse/measures.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('month', 'none', 'First day of the month of service.'),
    ('state', 'none', 'State of the member on the day of service, or (unknown).'),
    ('metal_tier', 'none', 'Metal tier of the plan; (unknown) where the plan is not known.'),
    ('claim_type', 'none', 'Professional, Inpatient, Outpatient or Pharmacy, or (unknown).'),
    ('claims', 'none', ''),
    ('pending_claims', 'none', ''),
    ('denied_claims', 'none', ''),
    ('unknown_status_claims', 'none', ''),
    ('billed_usd', 'none', ''),
    ('pending_billed_usd', 'none', ''),
    ('unknown_status_billed_usd', 'none', ''),
    ('allowed_usd', 'none', ''),
    ('paid_usd', 'none', '')
) as c (column_name, identifier, description);
