-- The rows of fact_claim: claims that are withdrawn leave it, new ones come, others take their
-- latest state. A state that ends is kept in fact_claim_state.
--
--   before    fact_claim        existing_claim: C1    withdrawn_claim: C2
--             C1  pending
--             C2  approved      arrivals  C1 approved, C3 approved
--
--   after     fact_claim        fact_claim_state
--             C1  approved      C1  pending
--             C3  approved      C2  approved

-- name: withdraw
-- Withdrawn claims leave the fact; the state that each was in joins its earlier ones.
-- One row per claim.
with withdrawn as (
    delete from fact_claim as f
    using withdrawn_claim as g
    where f.claim_id = g.claim_id and f.service_date = g.service_date
    returning
        f.claim_id,
        f.load_id,
        f.service_date,
        {f_states}
)

insert into fact_claim_state (claim_id, load_id, service_date, {states})
select
    t.claim_id,
    t.load_id,
    t.service_date,
    {states}
from withdrawn as t;

-- name: days
-- Days of service of the load's claims. One row per day.
select s.service_date::date as service_date
from claims_raw as s
where {is_current} and s.is_deleted is not true
group by s.service_date;

-- name: insert_new
-- Claims that the fact does not have yet, each with the keys of the versions in force on its day of
-- service. One row per claim.
insert into {target} (
    claim_id,
    date_key,
    service_date,
    {sks},
    {carried},
    load_id
)
select
    s.claim_id,
    day.date_key,
    s.service_date,
    {sk_values},
    {carried_values},
    s.load_id
from claims_raw as s
inner join dim_date as day on s.service_date = day.full_date
{references}
where {is_latest_state} and s.is_deleted is not true
    and {facts/5_partitions.is_wanted}
    and not exists (
        select 1
        from existing_claim as k
        where k.claim_id = s.claim_id
    )
    and not exists (
        select 1
        from withdrawn_claim as g
        where g.claim_id = s.claim_id
    );

-- name: existing
-- Claims of the load that the fact has. One row per claim.
select k.claim_id
from existing_claim as k;

-- name: update_existing
-- Claims that the fact has in another state take their latest one; a changed day of service moves
-- the row to its partition. The state that each was in joins its earlier ones. Rows that do not
-- change are left alone. One row per claim.
with changed as (
    update fact_claim as f
    set
        date_key = v.date_key,
        service_date = v.service_date,
        {assign_sks},
        {assign_carried},
        load_id = v.load_id
    from (
        select
            s.claim_id,
            k.service_date as fact_service_date,
            day.date_key,
            s.service_date,
            {sk_values_named},
            {carried_values},
            s.load_id
        from existing_claim as k
        inner join claims_raw as s
            on k.claim_id = s.claim_id and s.load_id = {state_load_id}
            and s.load_id = any(%(holding)s)
        inner join dim_date as day on s.service_date = day.full_date
        {references}
    ) as v
    where f.claim_id {of_existing}
        and f.claim_id = v.claim_id and f.service_date = v.fact_service_date
        and ({is_changed})
    returning
        old.claim_id,
        old.load_id,
        old.service_date,
        {old_states},
        new.load_id as new_load_id
)

insert into fact_claim_state (claim_id, load_id, service_date, {states})
select
    c.claim_id,
    c.load_id,
    c.service_date,
    {states}
from changed as c
-- A state that differs only because other loads arrived since is still the state of its load.
where c.load_id <> c.new_load_id;
