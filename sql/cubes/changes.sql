-- What changed in the claims since the cubes were last made. The past tables contain every row as
-- it was before a load changed it, so what was known after a load is known exactly; what a load
-- brought is found through the rows that it staged. A step costs what changed, not what there is.
-- {claim} are the columns of a claim that the cubes use.

-- name: latest_load
-- The load that cubes are made through when they are made now: every later change has a later load.
-- None where a load has changed dimensions and not yet facts, since then no load says what the
-- cubes were made of. One row.
with latest as (
    select
        case
            when %(is_rebuild)s then max(load_id)
            else coalesce(
                min(load_id) filter (where status = 'running' and not is_rebuild) - 1,
                max(load_id)
            )
        end as load_id
    from load
)

select l.load_id
from latest as l
where not exists (
    select 1
    from load as later
    inner join stage_run as r on later.load_id = r.load_id
    where later.load_id > l.load_id and later.status in ('running', 'loaded')
        and r.status = 'done' and r.stage <> 'stage'
);

-- name: has_new_rows
-- Whether loads since then brought rows to a table. One row.
select exists(
    select 1
    from {table}
    where load_id > %(since)s
);

-- name: has_past_rows
-- Whether rows were changed or deleted since then, which leaves them in their past table. One row.
select exists(
    select 1
    from {past}
    where known_to_load_id > %(since)s
);

-- name: has_new_file
-- Whether a file of a feed was loaded since then, or anything but a batch, such as corrected rows,
-- whose rows have the load of their batch. One row.
select
    exists (
        select 1
        from load_file
        where load_id > %(since)s and feed = %(feed)s and status = 'loaded' and rows_loaded > 0
    )
    or exists (select 1 from load where load_id > %(since)s and kind <> 'batch');

-- name: summarize
-- Let the index of a past table include the rows that came. One row.
select brin_summarize_new_values(%(index)s::regclass);

-- name: size
-- How many claims loads brought or changed since then. One row.
select
    (
        select coalesce(sum(f.rows_loaded), 0)
        from load_file as f
        where f.load_id > %(since)s and f.feed = 'claims' and f.status = 'loaded'
    )
    + (select count(*) from fact_claim_past where known_to_load_id > %(since)s);

-- name: followed_since
-- The load since which changes are followed, for the gate. One row.
create temporary table followed_since on commit drop as
select %(since)s::bigint as load_id;

-- name: plans_before
-- Plan versions that changed in place or went, with the tier that they had. One row per version.
create temporary table plans_before on commit drop as
select distinct on (plan_sk)
    plan_sk,
    coalesce(initcap(metal_tier), '(unknown)') as metal_tier
from dim_plan_past
where known_to_load_id > %(since)s
order by plan_sk, known_to_load_id;

-- name: providers_before
-- Provider versions that changed in place or went, with the specialty that they had.
-- One row per version.
create temporary table providers_before on commit drop as
select distinct on (provider_sk)
    provider_sk,
    coalesce(specialty, '(unknown)') as specialty
from dim_provider_past
where known_to_load_id > %(since)s
order by provider_sk, known_to_load_id;

-- name: members_before
-- Member versions that changed in place or went. One row per version.
create temporary table members_before on commit drop as
select distinct on (member_sk)
    member_sk,
    member_id,
    coalesce(state, '(unknown)') as state
from dim_member_past
where known_to_load_id > %(since)s
order by member_sk, known_to_load_id;

-- name: claims_before
-- Claims that were changed or went, as they were first; also those that only came since.
-- One row per claim.
create temporary table claims_before on commit drop as
select distinct on (claim_id) {claim}
from fact_claim_past
where known_to_load_id > %(since)s
order by claim_id, known_to_load_id;

-- name: claims_after
-- Claims that came or changed, as they are: those that loads brought, and those that only found
-- other versions. Each is looked up by its key in the partition of its day. One row per claim.
create temporary table claims_after on commit drop as
with brought as materialized (
    select
        s.claim_id,
        s.service_date,
        s.load_id
    from claims_raw as s
    where s.load_id > %(since)s
),

changed as materialized (
    select
        w.claim_id,
        w.service_date
    from claims_before as w
)

select f.*
from brought as s
cross join lateral (
    select {claim}
    from fact_claim as c
    where c.claim_id = s.claim_id and c.service_date = s.service_date and c.load_id = s.load_id
    -- Keeps the look-up a look-up.
    order by c.claim_id
) as f
union
select f.*
from changed as w
cross join lateral (
    select {claim}
    from fact_claim as c
    where c.claim_id = w.claim_id and c.service_date = w.service_date
    order by c.claim_id
) as f;

-- name: claims_on_other_days
-- The few that changed and are on another day, without a load that says which. One row per claim.
with missing as materialized (
    select w.claim_id
    from claims_before as w
    where not exists (
        select 1
        from claims_after as i
        where i.claim_id = w.claim_id
    )
)

insert into claims_after
select f.*
from missing as w
cross join lateral (
    select {claim}
    from fact_claim as c
    where c.claim_id = w.claim_id
    order by c.claim_id
) as f;

-- name: providers_changed
-- Provider versions that have another specialty now, such as inferred ones that were completed.
-- One row per version.
create temporary table providers_changed on commit drop as
select w.provider_sk
from providers_before as w
inner join dim_provider as p on w.provider_sk = p.provider_sk
where w.specialty <> coalesce(p.specialty, '(unknown)');

-- name: members_changed
-- Member versions that have another state now, such as inferred ones that were completed.
-- One row per version.
create temporary table members_changed on commit drop as
select w.member_sk
from members_before as w
inner join dim_member as m on w.member_sk = m.member_sk
where w.state <> coalesce(m.state, '(unknown)');

-- name: plans_changed
-- Plan versions that have another tier now, such as inferred ones that were completed.
-- One row per version.
create temporary table plans_changed on commit drop as
select w.plan_sk
from plans_before as w
inner join dim_plan as p on w.plan_sk = p.plan_sk
where w.metal_tier <> coalesce(initcap(p.metal_tier), '(unknown)');

-- name: claims_of_versions
-- Claims of these versions that stayed as they were, in both tables. One row per claim.
with versions as materialized (  -- noqa: ST03, the fragment reads versions
    select v.{sk}
    from {changed} as v
),

known as materialized (
    select i.claim_id
    from claims_after as i
),

found as materialized (
    select f.*
    from ({of_versions}) as f
    where not exists (
        select 1
        from known as k
        where k.claim_id = f.claim_id
    )
),

same as (
    insert into claims_after
    select *
    from found
    returning *
)

insert into claims_before
select *
from same;

-- name: looked_up
-- Claims that an index leads to from their versions. One row per claim.
select f.*
from versions as v
cross join lateral (
    select {claim}
    from fact_claim as c
    where c.{sk} = v.{sk}
    -- Keeps the look-up a look-up.
    order by c.claim_id
) as f;

-- name: scanned
-- Claims that no index leads to. One row per claim.
select {claim}
from fact_claim as c
where c.{sk} in (select v.{sk} from versions as v);

-- name: signed_claims
-- Claims as they are now and, below zero, as they were, each with the member, tier and specialty
-- of its time: a part of claim_changes. One row per claim and time.
select
    1 as claims,
    m.member_id,
    a.service_date,
    coalesce(m.state, '(unknown)') as state,
    coalesce(initcap(p.metal_tier), '(unknown)') as metal_tier,
    coalesce(d.specialty, '(unknown)') as specialty,
    {cubes/cost_month.type_as_spelled} as claim_type,
    a.status,
    a.claim_amount,
    a.allowed_amount,
    a.paid_amount
from claims_after as a
inner join dim_member as m on a.member_sk = m.member_sk
inner join dim_plan as p on a.plan_sk = p.plan_sk
inner join dim_provider as d on a.provider_sk = d.provider_sk
union all
-- A version that a rebuilt history took away is in its dimension no more.
select
    -1,
    coalesce(m_before.member_id, m.member_id),
    b.service_date,
    coalesce(m_before.state, m.state, '(unknown)'),
    coalesce(p_before.metal_tier, initcap(p.metal_tier), '(unknown)'),
    coalesce(d_before.specialty, d.specialty, '(unknown)'),
    {cubes/cost_month.type_as_spelled},
    b.status,
    -b.claim_amount,
    -b.allowed_amount,
    -b.paid_amount
from claims_before as b
left join members_before as m_before on b.member_sk = m_before.member_sk
left join dim_member as m on b.member_sk = m.member_sk
left join plans_before as p_before on b.plan_sk = p_before.plan_sk
left join dim_plan as p on b.plan_sk = p.plan_sk
left join providers_before as d_before on b.provider_sk = d_before.provider_sk
left join dim_provider as d on b.provider_sk = d.provider_sk
where b.load_id <= %(since)s;

-- name: claim_changes
-- What the changes add to claims and money, and take from them: after less before; changes that
-- cancel out are left out. One row per member, day of service, state, metal tier, specialty and
-- claim type.
create temporary table claim_changes on commit drop as
select
    s.*,
    date_trunc('month', s.service_date::timestamp)::date as month
from ({summed}) as s
where row({measures}) <> row({zeros});

-- name: claims_of_member_months
-- How many claims members have now, by their state, in the months in which one of these numbers
-- changed. One row per member, month, metal tier and specialty.
create temporary table claims_of_member_months on commit drop as
with months as materialized (
    select distinct
        c.member_id,
        c.month
    from claim_changes as c
    where c.claims <> 0 or c.pending_claims <> 0 or c.denied_claims <> 0
        or c.unknown_status_claims <> 0
)

select
    t.member_id,
    t.month,
    coalesce(initcap(p.metal_tier), '(unknown)') as metal_tier,
    coalesce(d.specialty, '(unknown)') as specialty,
    count(*) filter (where f.is_adjudicated) as claims,
    count(*) filter (where f.is_pending) as pending_claims,
    count(*) filter (where f.is_denied) as denied_claims,
    count(*) filter (where f.is_unknown) as unknown_status_claims
from months as t
inner join dim_member as m on t.member_id = m.member_id
cross join lateral (
    select
        c.plan_sk,
        c.provider_sk,
        state.is_adjudicated,
        state.is_pending,
        state.is_denied,
        state.is_unknown
    from fact_claim as c
    cross join lateral ({state}) as state
    where c.member_sk = m.member_sk and c.service_date >= t.month
        and c.service_date < (t.month + interval '1 month')::date
    -- Keeps the look-up a look-up.
    order by c.claim_id
) as f
inner join dim_plan as p on f.plan_sk = p.plan_sk
inner join dim_provider as d on f.provider_sk = d.provider_sk
group by t.member_id, t.month, p.metal_tier, d.specialty;

-- name: days_before
-- Claims and money of the cubes that count all claims, before they change, for the gate.
-- One row per cube and the day or month that it counts claims by.
create temporary table days_before on commit drop as
{days_of_cubes};
