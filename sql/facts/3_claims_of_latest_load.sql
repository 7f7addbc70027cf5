-- What a load brings whose batch is the latest of its feed: its rows are the latest states, and
-- only existing claims and deletions have to be found.
--
--   before    claim  status       arrivals  claim  status
--             C1     pending                C1     approved
--             C2     approved               C3     approved
--                                           C2     (delete marker, or a snapshot without it)
--
--   after     existing_claim: C1      withdrawn_claim: C2      C3 is in neither: it is new

-- name: has_rows
-- Whether the fact has any claim. One row.
select exists(select 1 from fact_claim);

-- name: find_existing
-- The load's claims that the fact already has. One row per claim.
create temporary table existing_claim on commit drop as
select
    s.claim_id,
    f.service_date
from claims_raw as s
inner join fact_claim as f on s.claim_id = f.claim_id
where s.load_id = %(load_id)s and s.is_deleted is not true;

-- name: no_existing
-- The same while the fact is empty. No rows.
create temporary table existing_claim (
    claim_id text not null,
    service_date date not null
) on commit drop;

-- name: changed
-- Claims that the load brought or changed, and those that it withdrew. One row per claim.
with brought as materialized (
    select
        s.claim_id,
        s.service_date,
        s.load_id
    from claims_raw as s
    where s.load_id = %(load_id)s
)

select f.claim_id
from brought as s
cross join lateral (
    select c.claim_id
    from fact_claim as c
    where c.claim_id = s.claim_id and c.service_date = s.service_date and c.load_id = s.load_id
    -- Keeps the look-up a look-up.
    order by c.claim_id
) as f
union all
select w.claim_id
from withdrawn_claim as w;

-- name: create_withdrawn
-- Claims that are withdrawn, with their day of service in the fact, if it has them. No rows.
create temporary table withdrawn_claim (
    claim_id text not null,
    service_date date
) on commit drop;

-- name: signs
-- Whether the load has a delete marker, and whether it has amounts below zero. One row.
select
    coalesce(bool_or(s.is_deleted), false) as has_markers,
    coalesce(bool_or({s_is_reversal}), false) as has_reversals
from claims_raw as s
where s.load_id = %(load_id)s;

-- name: find_marked
-- Claims that the load marks as deleted. One row per claim.
insert into withdrawn_claim (claim_id, service_date)
select
    f.claim_id,
    f.service_date
from claims_raw as s
inner join fact_claim as f on s.claim_id = f.claim_id
where s.load_id = %(load_id)s and s.is_deleted;

-- name: find_absent
-- Claims that the load, a snapshot, lacks and names in no rejected row. One row per claim.
with brought as materialized (
    select s.claim_id
    from claims_raw as s
    where s.load_id = %(load_id)s
),

absent as materialized (
    select
        f.claim_id,
        f.service_date
    from fact_claim as f
    where not exists (
        select 1
        from brought as s
        where s.claim_id = f.claim_id
    )
)

insert into withdrawn_claim (claim_id, service_date)
select
    f.claim_id,
    f.service_date
from absent as f
where not {is_named_f};
