-- claims_by_month: claims, members and money by month of service, once by metal tier and once by
-- specialty; what claims_by_plan_metal_month and utilization_by_specialty are made of.
-- Grain: one row per breakdown (metal_tier, specialty), category of it and month of service with a
-- claim of any state. Each breakdown has all claims, so a sum over both counts them twice.
-- Units: counts of claims and members; amounts in US dollars, to the cent.
-- Assumptions:
--   * Pending and denied claims, and those of an unknown status: see claims_daily_member.
--   * The tier is that of the plan version in force on the day of service, written with capitals
--     (silver and Silver are one); '(unknown)' where the plan is not known.
--   * The specialty is that of the provider version in force on the day of service, not the one
--     billed on the claim; '(unknown)' where the provider or its specialty is not known.
--   * A member counts once a category and month, and once in each state that its claims are of;
--     claims that name no member count as one.

-- name: claims_by_state
-- How many claims c there are of each state that members are counted by. A fragment.
sum(c.claims) as claims,  -- noqa: PRS, columns
sum(c.pending_claims) as pending_claims,
sum(c.denied_claims) as denied_claims,
sum(c.unknown_status_claims) as unknown_status_claims,
sum(c.claims - c.denied_claims) as paid_claims

-- name: definition
-- The cube as a plain query. One row per breakdown, category and month.
with plan_tiers as (
    select
        plan_sk,
        coalesce(initcap(metal_tier), '(unknown)') as metal_tier
    from dim_plan
),

provider_specialties as (
    select
        provider_sk,
        coalesce(specialty, '(unknown)') as specialty
    from dim_provider
),

claim_sums as (
    select
        'metal_tier' as breakdown,
        p.metal_tier as category,
        d.month_start as month,
        f.status,
        count(*) as claims,
        sum(f.claim_amount) as claim_amount,
        sum(f.allowed_amount) as allowed_amount,
        sum(f.paid_amount) as paid_amount
    from fact_claim as f
    inner join dim_date as d on f.date_key = d.date_key
    inner join plan_tiers as p on f.plan_sk = p.plan_sk
    where {of_months}
    group by p.metal_tier, d.month_start, f.status
    union all
    select
        'specialty',
        p.specialty,
        d.month_start,
        f.status,
        count(*),
        sum(f.claim_amount),
        sum(f.allowed_amount),
        sum(f.paid_amount)
    from fact_claim as f
    inner join dim_date as d on f.date_key = d.date_key
    inner join provider_specialties as p on f.provider_sk = p.provider_sk
    where {of_months}
    group by p.specialty, d.month_start, f.status
),

-- The state is derived from sums: claims are many, statuses are few.
claims as (
    select
        c.breakdown,
        c.category,
        c.month,
        {render/claim_measures.sums}
    from claim_sums as c
    cross join lateral ({state}) as state
    group by c.breakdown, c.category, c.month
),

-- Of both breakdowns in one pass, each row once: on a cluster they are what its coordinator gathers.
claimants_by_status as materialized (
    select distinct
        p.metal_tier,
        s.specialty,
        d.month_start as month,
        m.member_id,
        f.status
    from fact_claim as f
    inner join dim_date as d on f.date_key = d.date_key
    inner join plan_tiers as p on f.plan_sk = p.plan_sk
    inner join provider_specialties as s on f.provider_sk = s.provider_sk
    inner join dim_member as m on f.member_sk = m.member_sk
    where {of_months}
),

-- Two versions of a member in one month are one member, and so are two statuses of one state.
claimants as (
    select
        b.breakdown,
        b.category,
        c.month,
        bool_or(state.is_adjudicated) as is_adjudicated,
        bool_or(state.is_pending) as is_pending,
        bool_or(state.is_denied) as is_denied,
        bool_or(state.is_unknown) as is_unknown,
        bool_or(state.is_paid) as is_paid
    from claimants_by_status as c
    cross join lateral ({state}) as state
    cross join lateral (
        values
        ('metal_tier', c.metal_tier),
        ('specialty', c.specialty)
    ) as b (breakdown, category)
    group by b.breakdown, b.category, c.month, c.member_id
),

members as (
    select
        breakdown,
        category,
        month,
        count(*) filter (where is_adjudicated) as members,
        count(*) filter (where is_pending) as pending_members,
        count(*) filter (where is_denied) as denied_members,
        count(*) filter (where is_unknown) as unknown_status_members,
        count(*) filter (where is_paid) as paid_members
    from claimants
    group by breakdown, category, month
)

select
    c.breakdown,
    c.category,
    c.month,
    c.claims::bigint as claims,
    c.pending_claims::bigint as pending_claims,
    c.denied_claims::bigint as denied_claims,
    c.unknown_status_claims::bigint as unknown_status_claims,
    coalesce(m.members, 0) as members,
    coalesce(m.pending_members, 0) as pending_members,
    coalesce(m.denied_members, 0) as denied_members,
    coalesce(m.unknown_status_members, 0) as unknown_status_members,
    coalesce(m.paid_members, 0) as paid_members,
    c.billed_usd::numeric(16, 2) as billed_usd,
    c.pending_billed_usd::numeric(16, 2) as pending_billed_usd,
    c.unknown_status_billed_usd::numeric(16, 2) as unknown_status_billed_usd,
    c.allowed_usd::numeric(16, 2) as allowed_usd,
    c.paid_usd::numeric(16, 2) as paid_usd
from claims as c
left join members as m
    on c.breakdown = m.breakdown and c.category = m.category and c.month = m.month;

-- name: follow
-- The whole cube, which is small, from its own rows and the changes. A member joins or leaves those
-- with claims of a state in a category and month with the first and the last of these there. One
-- row per breakdown, category and month.
with changes as (
    select
        b.breakdown,
        b.category,
        c.*
    from claim_changes as c
    cross join lateral (
        values
        ('metal_tier', c.metal_tier),
        ('specialty', c.specialty)
    ) as b (breakdown, category)
),

claims_now as (
    select
        b.breakdown,
        b.category,
        c.month,
        c.member_id,
        {claims_by_state}
    from claims_of_member_months as c
    cross join lateral (
        values
        ('metal_tier', c.metal_tier),
        ('specialty', c.specialty)
    ) as b (breakdown, category)
    group by b.breakdown, b.category, c.month, c.member_id
),

member_changes as (
    select
        breakdown,
        category,
        month,
        member_id,
        {claims_by_state}
    from changes as c
    group by breakdown, category, month, member_id
),

sums as (
    select
        breakdown,
        category,
        month,
        members,
        pending_members,
        denied_members,
        unknown_status_members,
        paid_members,
        {measures}
    from claims_by_month
    union all
    select
        breakdown,
        category,
        month,
        0,
        0,
        0,
        0,
        0,
        {measures}
    from changes
    union all
    select
        c.breakdown,
        c.category,
        c.month,
        (coalesce(n.claims, 0) > 0)::integer
        - (coalesce(n.claims, 0) > c.claims)::integer,
        (coalesce(n.pending_claims, 0) > 0)::integer
        - (coalesce(n.pending_claims, 0) > c.pending_claims)::integer,
        (coalesce(n.denied_claims, 0) > 0)::integer
        - (coalesce(n.denied_claims, 0) > c.denied_claims)::integer,
        (coalesce(n.unknown_status_claims, 0) > 0)::integer
        - (coalesce(n.unknown_status_claims, 0) > c.unknown_status_claims)::integer,
        (coalesce(n.paid_claims, 0) > 0)::integer
        - (coalesce(n.paid_claims, 0) > c.paid_claims)::integer,
        {zeros}
    from member_changes as c
    left join claims_now as n
        on c.breakdown = n.breakdown and c.category = n.category and c.month = n.month
        and c.member_id = n.member_id
)

select
    breakdown,
    category,
    month,
    sum(claims)::bigint as claims,
    sum(pending_claims)::bigint as pending_claims,
    sum(denied_claims)::bigint as denied_claims,
    sum(unknown_status_claims)::bigint as unknown_status_claims,
    sum(members)::bigint as members,
    sum(pending_members)::bigint as pending_members,
    sum(denied_members)::bigint as denied_members,
    sum(unknown_status_members)::bigint as unknown_status_members,
    sum(paid_members)::bigint as paid_members,
    sum(billed_usd)::numeric(16, 2) as billed_usd,
    sum(pending_billed_usd)::numeric(16, 2) as pending_billed_usd,
    sum(unknown_status_billed_usd)::numeric(16, 2) as unknown_status_billed_usd,
    sum(allowed_usd)::numeric(16, 2) as allowed_usd,
    sum(paid_usd)::numeric(16, 2) as paid_usd
from sums
group by breakdown, category, month
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
    ('breakdown', 'none', 'By what the claims are broken down: metal_tier or specialty.'),
    ('category', 'none', 'Metal tier of the plan or specialty of the provider, or (unknown).'),
    ('month', 'none', 'First day of the month of service.'),
    ('claims', 'none', ''),
    ('pending_claims', 'none', ''),
    ('denied_claims', 'none', ''),
    ('unknown_status_claims', 'none', ''),
    ('members', 'none', 'With an adjudicated claim; unknown ones count as one.'),
    ('pending_members', 'none', ''),
    ('denied_members', 'none', ''),
    ('unknown_status_members', 'none', ''),
    ('paid_members', 'none', ''),
    ('billed_usd', 'none', ''),
    ('pending_billed_usd', 'none', ''),
    ('unknown_status_billed_usd', 'none', ''),
    ('allowed_usd', 'none', ''),
    ('paid_usd', 'none', '')
) as c (column_name, identifier, description);
