-- What analysts ask while the warehouse works, and what shows whether they ever saw half of it.

-- name: keys
-- Keys to look up, spread over the claims. One row per claim.
select
    c.claim_id,
    c.service_date,
    m.member_id
from warehouse.fact_claim as c
inner join warehouse.dim_member as m on c.member_sk = m.member_sk
where c.member_sk > 0
order by md5(c.claim_id)
limit %(count)s;

-- name: states
-- The states that members ever lived in. One row per state.
select distinct state
from warehouse.dim_member
where state is not null
order by state;

-- name: lookup_claim
-- A claim by its number and day. One row per claim.
select
    c.status,
    c.paid_amount,
    p.name as provider_name
from warehouse.fact_claim as c
inner join warehouse.dim_provider as p on c.provider_sk = p.provider_sk
where c.claim_id = %(claim_id)s and c.service_date = %(service_date)s;

-- name: lookup_member
-- Who a member was on a day. One row per member.
select
    m.state,
    m.plan_metal,
    m.broker_name
from warehouse.dim_member as m
where m.member_id = %(member_id)s
    and %(service_date)s >= m.validity_start_ts and %(service_date)s < m.validity_end_ts;

-- name: lookup_claims_of_member
-- A member's claims of a month. One row per claim.
select
    c.claim_id,
    c.service_date,
    c.status,
    c.paid_amount
from warehouse.dim_member as m
inner join warehouse.fact_claim as c on m.member_sk = c.member_sk
where m.member_id = %(member_id)s
    and c.service_date >= %(month)s and c.service_date < %(next_month)s
order by c.service_date, c.claim_id;

-- name: lookup_days_of_member
-- What a member's days came to, from the cube. One row per day.
select
    service_date,
    claims,
    paid_usd
from cubes.claims_daily_member
where member_id = %(member_id)s
order by service_date;

-- name: ask_month
-- What a month's claims came to, by specialty. One row per specialty.
select
    p.specialty,
    count(*) as claims,
    sum(c.paid_amount) as paid_usd
from warehouse.fact_claim as c
inner join warehouse.dim_provider as p on c.provider_sk = p.provider_sk
where c.service_date >= %(month)s and c.service_date < %(next_month)s
group by p.specialty
order by p.specialty;

-- name: month_of_cube
-- A month of a cube: how many rows, and what a measure of them adds up to. The month is the last
-- that is over. One row.
select
    count(*) as row_count,
    sum({measure}) as total
from {cube}
where {day} >= %(month)s and {day} < %(month)s + interval '1 month';

-- name: last_month
-- The last month that is over for the data. One row.
select (date_trunc('month', mart.as_of()) - interval '1 month')::date;

-- name: state
-- How much dimensions, facts and cubes contain and of which loads, in one snapshot; if any fact
-- points at a version that is not there. Versions that facts inferred come with the facts and are
-- left out. The paid sums of the first three cubes must be equal. One row.
with claims as (
    select
        count(*) as amount,
        sum(f.paid_amount) as paid,
        sum(f.load_id) as loads,
        count(*) filter (
            where m.member_sk is null or p.plan_sk is null or v.provider_sk is null
        ) as orphans
    from warehouse.fact_claim as f
    left join warehouse.dim_member as m on f.member_sk = m.member_sk
    left join warehouse.dim_plan as p on f.plan_sk = p.plan_sk
    left join warehouse.dim_provider as v on f.provider_sk = v.provider_sk
),

enrollments as (
    select
        count(*) as amount,
        sum(f.premium_paid) as premium,
        sum(f.load_id) as loads,
        count(*) filter (where m.member_sk is null or p.plan_sk is null) as orphans
    from warehouse.fact_enrollment as f
    left join warehouse.dim_member as m on f.member_sk = m.member_sk
    left join warehouse.dim_plan as p on f.plan_sk = p.plan_sk
),

dims as (
    select
        count(*) as amount,
        sum(load_id) as loads,
        count(*) filter (where current_flag) as current_ones
    from (
        select
            load_id,
            current_flag,
            is_inferred
        from warehouse.dim_member
        union all
        select
            load_id,
            current_flag,
            is_inferred
        from warehouse.dim_plan
        union all
        select
            load_id,
            current_flag,
            is_inferred
        from warehouse.dim_provider
    ) as versions
    where not is_inferred
),

days as (
    select
        sum(claims) as claims,
        sum(paid_usd) as paid
    from cubes.claims_daily_member
),

tiers as (
    select
        sum(claims) as claims,
        sum(paid_usd) as paid
    from cubes.claims_by_plan_metal_month
),

specialties as (
    select
        sum(claims) as claims,
        sum(paid_usd) as paid
    from cubes.utilization_by_specialty
)

select
    concat_ws(' ', dims.amount, dims.loads, dims.current_ones) as dims,
    concat_ws(
        ' ', claims.amount, claims.paid, claims.loads,
        enrollments.amount, enrollments.premium, enrollments.loads
    ) as facts,
    concat_ws(' ', days.claims, days.paid) as days,
    concat_ws(' ', tiers.claims, tiers.paid) as tiers,
    concat_ws(' ', specialties.claims, specialties.paid) as specialties,
    (select count(*) from cubes.high_cost_member_tracking) as high_cost,
    claims.orphans + enrollments.orphans as orphans
from claims
cross join enrollments
cross join dims
cross join days
cross join tiers
cross join specialties;

-- name: waiting
-- Whether an analyst waits for a lock just now. One row.
select exists(
    select 1
    from pg_stat_activity
    where application_name = %(application)s and wait_event_type = 'Lock'
);

-- name: waits
-- Analysts that wait for a lock: since when, how long by now in seconds, for what and for whom.
-- One row per session.
select
    l.pid,
    l.waitstart,
    extract(epoch from clock_timestamp() - l.waitstart)::float8 as seconds,
    concat_ws(' ', l.mode, 'on', coalesce(l.relation::regclass::text, l.locktype)) as lock,
    (
        select string_agg(distinct concat_ws(': ', b.application_name, left(b.query, 80)), '; ')
        from pg_stat_activity as b
        where b.pid = any(pg_blocking_pids(l.pid))
    ) as behind
from pg_locks as l
inner join pg_stat_activity as a on l.pid = a.pid
where not l.granted and l.waitstart is not null and a.application_name = %(application)s;

-- name: cancel
-- Let no analyst's question go on. One row.
select count(pg_cancel_backend(pid))
from pg_stat_activity
where application_name = %(application)s and datname = current_database();
