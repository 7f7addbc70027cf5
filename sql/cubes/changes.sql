-- What changed in the facts since the cubes were last made. The tables of the past hold every row
-- as it was before a load changed it, so what was known after a load is known exactly; what a load
-- brought is found through the rows that it staged. A step costs what changed, not what there is.
-- {claim} and {enrollment} are what the cubes take of a row.

-- name: made_through
-- The load that the cubes are made through when they are made now: later changes bear later loads.
-- None where a load has changed dimensions and not yet facts, or somebody changed rows by hand,
-- since then no load tells what the cubes were made of. One row.
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
)
and not exists (select 1 from fact_claim_past where known_to_load_id > l.load_id)
and not exists (select 1 from fact_enrollment_past where known_to_load_id > l.load_id)
and not exists (select 1 from dim_member_past where known_to_load_id > l.load_id)
and not exists (select 1 from dim_plan_past where known_to_load_id > l.load_id)
and not exists (select 1 from dim_provider_past where known_to_load_id > l.load_id);

-- name: summarize
-- Let the index of a table of the past know of the rows that came. One row.
select brin_summarize_new_values(%(index)s::regclass);

-- name: size
-- How many claims loads brought or changed since then, and how many there are about. One row.
select
    (
        select coalesce(sum(f.rows_loaded), 0)
        from load_file as f
        where f.load_id > %(through)s and f.feed in ('claims', 'enrollments')
            and f.status = 'loaded'
    )
    + (select count(*) from fact_claim_past where known_to_load_id > %(through)s)
    + (select count(*) from fact_enrollment_past where known_to_load_id > %(through)s) as changed,
    (
        select coalesce(sum(c.reltuples) filter (where c.reltuples > 0), 0)
        from pg_inherits as i
        inner join pg_class as c on i.inhrelid = c.oid
        where i.inhparent = to_regclass('fact_claim')
    )::bigint as claims;

-- name: followed
-- The load from which on changes are followed, for the gate. One row.
create temporary table followed on commit drop as
select %(through)s::bigint as load_id;

-- name: plans_were
-- Plan versions that changed in place or went, with the tier that they had. One row a version.
create temporary table plan_was on commit drop as
select distinct on (plan_sk)
    plan_sk,
    coalesce(initcap(metal_tier), '(unknown)') as metal_tier
from dim_plan_past
where known_to_load_id > %(through)s
order by plan_sk, known_to_load_id;

-- name: providers_were
-- Provider versions that changed in place or went, with the specialty that they had.
-- One row a version.
create temporary table provider_was on commit drop as
select distinct on (provider_sk)
    provider_sk,
    coalesce(specialty, '(unknown)') as specialty
from dim_provider_past
where known_to_load_id > %(through)s
order by provider_sk, known_to_load_id;

-- name: members_were
-- Member versions that changed in place or went. One row a version.
create temporary table member_was on commit drop as
select distinct on (member_sk)
    member_sk,
    member_id
from dim_member_past
where known_to_load_id > %(through)s
order by member_sk, known_to_load_id;

-- name: claims_were
-- Claims that were changed or went, as they were first; also those that only came since.
-- One row a claim.
create temporary table claim_was on commit drop as
select distinct on (claim_id) {claim}
from fact_claim_past
where known_to_load_id > %(through)s
order by claim_id, known_to_load_id;

-- name: claims_are
-- Claims that came or changed, as they are: those that loads brought, and those that only found
-- other versions. Each is looked up by its key in the partition of its day. One row a claim.
create temporary table claim_is on commit drop as
select f.*
from claims_raw as s
cross join lateral (
    select {claim}
    from fact_claim as c
    where c.claim_id = s.claim_id and c.service_date = s.service_date and c.load_id = s.load_id
    order by c.claim_id
    -- Keeps the look-up a look-up.
    offset 0
) as f
where s.load_id > %(through)s
union
select f.*
from claim_was as w
cross join lateral (
    select {claim}
    from fact_claim as c
    where c.claim_id = w.claim_id and c.service_date = w.service_date
    order by c.claim_id
    offset 0
) as f;

-- name: claims_are_elsewhere
-- The few that changed and are on another day, without a load that says which. One row a claim.
insert into claim_is
select f.*
from claim_was as w
cross join lateral (
    select {claim}
    from fact_claim as c
    where c.claim_id = w.claim_id
    order by c.claim_id
    offset 0
) as f
where not exists (
    select 1
    from claim_is as i
    where i.claim_id = w.claim_id
);

-- name: providers_renamed
-- Provider versions that have another specialty now, such as inferred ones that were completed.
-- One row a version.
create temporary table provider_renamed on commit drop as
select w.provider_sk
from provider_was as w
inner join dim_provider as p on w.provider_sk = p.provider_sk
where w.specialty <> coalesce(p.specialty, '(unknown)');

-- name: claims_of_providers
-- Their claims that stayed as they were, in both tables. One row a claim.
with same as (
    insert into claim_is
    select f.*
    from provider_renamed as p
    cross join lateral (
        select {claim}
        from fact_claim as c
        where c.provider_sk = p.provider_sk
        order by c.claim_id
        offset 0
    ) as f
    where not exists (
        select 1
        from claim_is as i
        where i.claim_id = f.claim_id
    )
    returning *
)

insert into claim_was
select *
from same;

-- name: plans_renamed
-- Plan versions that have another tier now, such as inferred ones that were completed.
-- One row a version.
create temporary table plan_renamed on commit drop as
select w.plan_sk
from plan_was as w
inner join dim_plan as p on w.plan_sk = p.plan_sk
where w.metal_tier <> coalesce(initcap(p.metal_tier), '(unknown)');

-- name: claims_of_plans
-- Their claims that stayed as they were, in both tables; no index leads to them.
-- One row a claim.
with same as (
    insert into claim_is
    select {claim}
    from fact_claim as f
    where f.plan_sk in (select p.plan_sk from plan_renamed as p)
        and not exists (
            select 1
            from claim_is as i
            where i.claim_id = f.claim_id
        )
    returning *
)

insert into claim_was
select *
from same;

-- name: movement
-- What the changes add to claims and money, and take from them: after less before; changes that
-- cancel out are left out. One row a member, day of service, metal tier and specialty.
create temporary table movement on commit drop as
with told as (
    select
        1 as sign,
        m.member_id,
        i.service_date,
        coalesce(initcap(p.metal_tier), '(unknown)') as metal_tier,
        coalesce(d.specialty, '(unknown)') as specialty,
        i.status,
        i.claim_amount,
        i.allowed_amount,
        i.paid_amount
    from claim_is as i
    inner join dim_member as m on i.member_sk = m.member_sk
    inner join dim_plan as p on i.plan_sk = p.plan_sk
    inner join dim_provider as d on i.provider_sk = d.provider_sk
    union all
    select
        -1,
        coalesce(m_was.member_id, m.member_id),
        w.service_date,
        coalesce(p_was.metal_tier, initcap(p.metal_tier), '(unknown)'),
        coalesce(d_was.specialty, d.specialty, '(unknown)'),
        w.status,
        w.claim_amount,
        w.allowed_amount,
        w.paid_amount
    from claim_was as w
    left join member_was as m_was on w.member_sk = m_was.member_sk
    left join dim_member as m on w.member_sk = m.member_sk
    left join plan_was as p_was on w.plan_sk = p_was.plan_sk
    left join dim_plan as p on w.plan_sk = p.plan_sk
    left join provider_was as d_was on w.provider_sk = d_was.provider_sk
    left join dim_provider as d on w.provider_sk = d.provider_sk
    where w.load_id <= %(through)s
),

summed as (
    select
        t.member_id,
        t.service_date,
        t.metal_tier,
        t.specialty,
        coalesce(sum(t.sign) filter (where state.is_adjudicated), 0) as claims,
        coalesce(sum(t.sign) filter (where state.is_pending), 0) as pending_claims,
        coalesce(sum(t.sign) filter (where state.is_denied), 0) as denied_claims,
        coalesce(sum(t.sign) filter (where state.is_unknown), 0) as unknown_status_claims,
        coalesce(sum(t.sign * t.claim_amount) filter (where state.is_adjudicated), 0)
        as billed_usd,
        coalesce(sum(t.sign * t.claim_amount) filter (where state.is_pending), 0)
        as pending_billed_usd,
        coalesce(sum(t.sign * t.claim_amount) filter (where state.is_unknown), 0)
        as unknown_status_billed_usd,
        coalesce(sum(t.sign * t.allowed_amount) filter (where state.is_adjudicated), 0)
        as allowed_usd,
        coalesce(sum(t.sign * t.paid_amount) filter (where state.is_paid), 0) as paid_usd
    from told as t
    cross join lateral ({state}) as state
    group by t.member_id, t.service_date, t.metal_tier, t.specialty
)

select
    s.*,
    date_trunc('month', s.service_date::timestamp)::date as month
from summed as s
where row(
    s.claims,
    s.pending_claims,
    s.denied_claims,
    s.unknown_status_claims,
    s.billed_usd,
    s.pending_billed_usd,
    s.unknown_status_billed_usd,
    s.allowed_usd,
    s.paid_usd
) <> row(0, 0, 0, 0, 0, 0, 0, 0, 0);

-- name: enrollments_were
-- Enrollments that were changed or went, as they were first; also those that only came since.
-- One row an enrollment.
create temporary table enrollment_was on commit drop as
select distinct on (enrollment_id) {enrollment}
from fact_enrollment_past
where known_to_load_id > %(through)s
order by enrollment_id, known_to_load_id;

-- name: enrollments_are
-- Enrollments that came or changed, as they are, and those of plans that have another tier now.
-- One row an enrollment.
create temporary table enrollment_is on commit drop as
select {enrollment}
from fact_enrollment as f
inner join (
    select s.enrollment_id as named_id
    from enrollments_raw as s
    where s.load_id > %(through)s
    union
    select w.enrollment_id
    from enrollment_was as w
) as named on f.enrollment_id = named.named_id;

-- name: enrollments_same
-- Enrollments in plans that have another tier now and stayed as they were, in both tables.
-- One row an enrollment.
with same as (
    insert into enrollment_is
    select {enrollment}
    from fact_enrollment as f
    where f.plan_sk in (select p.plan_sk from plan_renamed as p)
        and not exists (
            select 1
            from enrollment_is as i
            where i.enrollment_id = f.enrollment_id
        )
    returning *
)

insert into enrollment_was
select *
from same;

-- name: enrollments_told_again
-- Enrollments that loads told again and nothing changed: they are what they were.
-- One row an enrollment.
insert into enrollment_was
select i.*
from enrollment_is as i
where i.load_id <= %(through)s
    and not exists (
        select 1
        from enrollment_was as w
        where w.enrollment_id = i.enrollment_id
    );

-- name: coverage_movement
-- The days of coverage that the changes add and take, laid out over their months; changes that
-- cancel out are left out. One row a metal tier and month.
create temporary table coverage_movement on commit drop as
with spans as (
    select
        1 as sign,
        coalesce(initcap(p.metal_tier), '(unknown)') as metal_tier,
        i.start_date,
        i.end_date
    from enrollment_is as i
    inner join dim_plan as p on i.plan_sk = p.plan_sk
    union all
    select
        -1,
        coalesce(p_was.metal_tier, initcap(p.metal_tier), '(unknown)'),
        w.start_date,
        w.end_date
    from enrollment_was as w
    left join plan_was as p_was on w.plan_sk = p_was.plan_sk
    left join dim_plan as p on w.plan_sk = p.plan_sk
    where w.load_id <= %(through)s
)

select
    s.metal_tier,
    m.month::date as month,
    sum(
        s.sign * (
            least(s.end_date, (m.month + interval '1 month')::date - 1)
            - greatest(s.start_date, m.month::date) + 1
        )
    ) as covered_days
from spans as s
cross join lateral generate_series(
    date_trunc('month', s.start_date::timestamp), s.end_date::timestamp, interval '1 month'
) as m (month)
group by s.metal_tier, m.month::date
having sum(
    s.sign * (
        least(s.end_date, (m.month + interval '1 month')::date - 1)
        - greatest(s.start_date, m.month::date) + 1
    )
) <> 0;

-- name: analyze
-- Statistics for the joins that follow. No rows.
analyze {table};

-- name: standing_claims
-- How many adjudicated claims members have now in the months in which that changed for them.
-- One row a member, month, metal tier and specialty.
create temporary table standing_claims on commit drop as
select
    t.member_id,
    t.month,
    coalesce(initcap(p.metal_tier), '(unknown)') as metal_tier,
    coalesce(d.specialty, '(unknown)') as specialty,
    sum(f.claims) as claims
from (
    select distinct
        member_id,
        month
    from movement
    where claims <> 0
) as t
inner join dim_member as m on t.member_id = m.member_id
cross join lateral (
    select
        c.plan_sk,
        c.provider_sk,
        count(*) as claims
    from fact_claim as c
    cross join lateral ({state}) as state
    where c.member_sk = m.member_sk and c.service_date >= t.month
        and c.service_date < (t.month + interval '1 month')::date
        and state.is_adjudicated
    group by c.plan_sk, c.provider_sk
) as f
inner join dim_plan as p on f.plan_sk = p.plan_sk
inner join dim_provider as d on f.provider_sk = d.provider_sk
group by t.member_id, t.month, p.metal_tier, d.specialty;
