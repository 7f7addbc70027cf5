-- What changes with a load that other batches of its feed follow, or with rows that are corrected
-- later: the states of its claims are worked out again from the staging rows of all loads.
--
--   before    load  batch       claim  status     in the fact
--             1     2025-01-01  C1     pending    earlier state
--             2     2025-03-01  C1     denied     latest
--
--   arrivals  load  batch       claim  status
--             3     2025-02-01  C1     approved
--
--   after     load  batch       claim  status     in claim_state
--             1     2025-01-01  C1     pending    earlier state
--             3     2025-02-01  C1     approved   earlier state
--             2     2025-03-01  C1     denied     latest

-- name: claims_of_load
-- The claims that current rows name. One row per row.
select r.claim_id
from claims_raw as r
where {r_is_current};

-- name: claims_of_snapshot
-- The claims that a late snapshot affects: all, since it ends those that it lacks.
-- One row per claim.
select r.claim_id
from claims_raw as r
where {r_is_current}
union
select f.claim_id
from fact_claim as f
union
select h.claim_id
from fact_claim_state as h;

-- name: find_affected
-- These claims, which several statements ask for. One row per claim.
create temporary table affected_claim on commit drop as
{affected_claims};

-- name: affected
-- The same, found. One row per claim.
select a.claim_id
from affected_claim as a;

-- name: find_states
-- The states of the affected claims in the order of their batches, whatever the order in which they
-- came. A state that the next batch repeats is one state, unless the claim was deleted in between:
-- by a delete marker, or by a snapshot that lacks it.
-- One row per claim and load in which its state changed.
create temporary table claim_state on commit drop as
with build_load as ({build_load}),

staged as (
    select
        s.claim_id,
        s.load_id,
        l.batch_rank,
        lead(l.batch_rank) over (partition by s.claim_id order by l.batch_rank) as next_rank,
        s.service_date::date as service_date,
        {state_values},
        s.is_deleted is true as is_marker,
        row(s.service_date::date, {natural_keys}, {carried_of_row}) as state
    from build_load as l
    inner join claims_raw as s on l.load_id = s.load_id
    where s.load_id = any(%(holding)s) and s.claim_id in ({affected_claims})
),

ended as (
    select
        t.*,
        t.is_marker
        or exists (
            select 1
            from build_load as p
            where p.is_snapshot and p.batch_rank > t.batch_rank
                and (p.batch_rank < t.next_rank or t.next_rank is null)
                and not {is_named_t_by_p}
        ) as is_gone_after
    from staged as t
),

compared as (
    select
        t.*,
        lag(t.batch_rank) over history as rank_before,
        lag(t.state) over history as state_before,
        lag(t.is_gone_after) over history as was_gone
    from ended as t
    window history as (partition by t.claim_id order by t.batch_rank)
)

select
    c.claim_id,
    c.load_id,
    c.service_date,
    {states},
    lead(c.load_id) over (partition by c.claim_id order by c.batch_rank) is null
    and c.claim_id not in (
        select e.claim_id
        from ended as e
        where e.next_rank is null and e.is_gone_after
    ) as is_latest
from compared as c
where not c.is_marker
    and (c.rank_before is null or c.was_gone or c.state is distinct from c.state_before);

-- name: find_existing
-- Affected claims that the fact already has, with the load that brought their latest state.
-- One row per claim.
create temporary table existing_claim on commit drop as
select
    c.claim_id,
    f.service_date,
    c.load_id
from claim_state as c
inner join fact_claim as f on c.claim_id = f.claim_id
where c.is_latest;

-- name: find_withdrawn
-- Affected claims that no batch brings after they were deleted. One row per claim.
with ended as materialized (
    select a.claim_id
    from ({affected_claims}) as a
    where not exists (
        select 1
        from claim_state as c
        where c.claim_id = a.claim_id and c.is_latest
    )
),

placed as materialized (
    select
        f.claim_id,
        f.service_date
    from ended as e
    cross join lateral (
        select
            c.claim_id,
            c.service_date
        from fact_claim as c
        where c.claim_id = e.claim_id
        -- Keeps the look-up a look-up.
        order by c.claim_id
    ) as f
)

insert into withdrawn_claim (claim_id, service_date)
select
    e.claim_id,
    p.service_date
from ended as e
left join placed as p on e.claim_id = p.claim_id;

-- name: is_latest_state
-- Which rows of staging are the latest states of the affected claims. A fragment.
s.load_id = any(%(holding)s)  -- noqa: PRS, a condition
and (s.claim_id, s.load_id) in (
    select
        c.claim_id,
        c.load_id
    from claim_state as c
    where c.is_latest
)

-- name: delete_unconfirmed_states
-- Earlier states that are none in the order of the batches. One row per claim and load.
with stored as materialized (
    select s.*
    from fact_claim_state as s
    where s.claim_id in (select a.claim_id from claim_state as a)
),

unconfirmed as materialized (
    select
        h.claim_id,
        h.load_id
    from stored as h
    where not exists (
        select 1
        from claim_state as c
        where c.claim_id = h.claim_id and c.load_id = h.load_id and not c.is_latest
            and not ({states_differ})
    )
)

delete from fact_claim_state as h
using unconfirmed as u
where h.claim_id = u.claim_id and h.load_id = u.load_id;

-- name: insert_missing_states
-- Earlier states that are not stored yet. One row per claim and load.
with wanted as materialized (
    select c.*
    from claim_state as c
    where not c.is_latest
),

stored as materialized (
    select
        h.claim_id,
        h.load_id
    from wanted as w
    cross join lateral (
        select
            s.claim_id,
            s.load_id
        from fact_claim_state as s
        where s.claim_id = w.claim_id and s.load_id = w.load_id
        -- Keeps the look-up a look-up.
        order by s.claim_id
    ) as h
)

insert into fact_claim_state (claim_id, load_id, service_date, {states})
select
    w.claim_id,
    w.load_id,
    w.service_date,
    {states}
from wanted as w
where not exists (
    select 1
    from stored as h
    where h.claim_id = w.claim_id and h.load_id = w.load_id
);
