-- name: has_rows
-- Whether any claim was loaded before. One row.
select exists(select 1 from fact_claim);

-- name: find_known
-- The load's claims that the fact already holds. One row a claim.
create temporary table known on commit drop as
select
    s.claim_id,
    f.service_date
from claims_raw as s
inner join fact_claim as f on s.claim_id = f.claim_id
where s.load_id = %(load_id)s and s.is_deleted is not true;

-- name: no_known
-- The same when the fact is empty. No rows.
create temporary table known (
    claim_id text not null,
    service_date date not null
) on commit drop;

-- name: create_gone
-- Claims that are taken back, with the day under which the fact holds them, if it does. No rows.
create temporary table gone (
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

-- name: is_reversal
-- Whether a state takes back what was told before under its claim id: it has an amount below zero
-- and is no adjustment, which stands as it was told. A fragment.
coalesce(  -- noqa: PRS, a condition
    least({row}.claim_amount, {row}.allowed_amount, {row}.paid_amount) < 0
    and lower({row}.status) is distinct from 'adjusted',
    false
)

-- name: is_reversed_in_file
-- Whether the file of a row told the same claim before it was reversed. A fragment.
({row}.load_id, {row}.claim_id) in (  -- noqa: PRS, a condition
    select
        n.load_id,
        n.key[1]
    from rejected_key as n
    where n.feed = 'claims' and n.reversed_in_full is not null
)

-- name: has_reversed_in_file
-- Whether the load reverses a claim that it tells itself. One row.
select exists(
    select 1
    from rejected_key as n
    where n.load_id = %(load_id)s and n.feed = 'claims' and n.reversed_in_full is not null
);

-- name: create_reversing
-- States that reverse their own claim, of which nothing is left: their amounts below zero count as
-- zero, since the state that they take back is no longer there to make up for them. A reversal that
-- has a claim id of its own is none, for the claim that it reverses is still there. No rows.
create temporary table reversing (
    claim_id text not null,
    load_id bigint not null
) on commit drop;

-- name: netted
-- An amount as the fact holds it. A fragment.
case  -- noqa: PRS, a value
    when {amount} < 0
        and (s.claim_id, s.load_id) in (
            select
                r.claim_id,
                r.load_id
            from reversing as r
        ) then 0
    else {stored}
end

-- name: find_reversing
-- Those of a load that is the latest. One row a claim.
insert into reversing (claim_id, load_id)
select
    s.claim_id,
    s.load_id
from claims_raw as s
where s.load_id = %(load_id)s and {s_is_reversal}
    and (
        {s_in_file}
        or exists (
            select 1
            from fact_claim as f
            where f.claim_id = s.claim_id and not {f_is_reversal}
        )
        or exists (
            select 1
            from fact_claim_state as f
            where f.claim_id = s.claim_id and not {f_is_reversal}
        )
    );

-- name: find_reversing_late
-- Those of all loads, by the order of their batches. One row a claim and load.
insert into reversing (claim_id, load_id)
select
    t.claim_id,
    t.load_id
from (
    select
        s.claim_id,
        s.load_id,
        {s_is_reversal} as is_reversal,
        bool_or(s.is_deleted is not true and (not {s_is_reversal} or {s_in_file})) over (
            partition by s.claim_id
            order by l.place
            rows between unbounded preceding and current row
        ) as was_told
    from unnest(%(loads)s::bigint[]) with ordinality as l (load_id, place)
    inner join claims_raw as s on l.load_id = s.load_id
    where s.claim_id in (
        select s.claim_id
        from claims_raw as s
        where s.load_id = any(%(loads)s) and {s_is_reversal}
    )
) as t
where t.is_reversal and t.was_told;

-- name: drop_reversing
-- Make room for the next load. No rows.
drop table reversing;

-- name: find_marked
-- Claims that the load marks as deleted. One row a claim.
insert into gone (claim_id, service_date)
select
    f.claim_id,
    f.service_date
from claims_raw as s
inner join fact_claim as f on s.claim_id = f.claim_id
where s.load_id = %(load_id)s and s.is_deleted;

-- name: find_absent
-- Claims that the load, a snapshot, lacks and names in no rejected row. One row a claim.
insert into gone (claim_id, service_date)
select
    f.claim_id,
    f.service_date
from fact_claim as f
where not exists (
    select 1
    from claims_raw as s
    where s.load_id = %(load_id)s and s.claim_id = f.claim_id
)
and not exists (
    select 1
    from rejected_key as n
    where n.load_id = %(load_id)s and n.feed = 'claims' and n.key = array[f.claim_id::text]
);

-- name: hand_of_load
-- The claims whose states are put in order: those that the rows in hand name.
-- One row a row.
select r.claim_id
from claims_raw as r
where {r_in_hand};

-- name: hand_of_snapshot
-- The same of a late snapshot, which says something of every claim. One row a claim.
select r.claim_id
from claims_raw as r
where {r_in_hand}
union
select f.claim_id
from fact_claim as f
union
select h.claim_id
from fact_claim_state as h;

-- name: find_chain
-- The states that the claims in hand were told to be in, by the order of their batches, whatever
-- the order in which they came; a state told again by the next batch is one with it, unless the
-- claim was gone between: by a delete marker, or for a snapshot that lacks it.
-- One row a claim and load in which its state changed.
create temporary table chain on commit drop as
with loads as (
    select
        l.load_id,
        l.is_snapshot,
        l.place
    from unnest(%(loads)s::bigint[], %(snapshots)s::boolean[])
        with ordinality as l (load_id, is_snapshot, place)
),

told as (
    select
        s.claim_id,
        s.load_id,
        l.place,
        lead(l.place) over (partition by s.claim_id order by l.place) as next_place,
        s.service_date::date as service_date,
        {state_values},
        s.is_deleted is true as is_marker,
        row(s.service_date::date, {natural_keys}, {carried_of_row}) as state
    from loads as l
    inner join claims_raw as s on l.load_id = s.load_id
    where s.claim_id in ({hand})
),

ended as (
    select
        t.*,
        t.is_marker
        or exists (
            select 1
            from loads as p
            where p.is_snapshot and p.place > t.place
                and (p.place < t.next_place or t.next_place is null)
                and not exists (
                    select 1
                    from rejected_key as n
                    where n.load_id = p.load_id and n.feed = 'claims'
                        and n.key = array[t.claim_id::text]
                )
        ) as is_gone_after
    from told as t
),

compared as (
    select
        t.*,
        lag(t.place) over history as place_before,
        lag(t.state) over history as state_before,
        lag(t.is_gone_after) over history as was_gone
    from ended as t
    window history as (partition by t.claim_id order by t.place)
)

select
    c.claim_id,
    c.load_id,
    c.service_date,
    {states},
    lead(c.load_id) over (partition by c.claim_id order by c.place) is null
    and c.claim_id not in (
        select e.claim_id
        from ended as e
        where e.next_place is null and e.is_gone_after
    ) as is_latest
from compared as c
where not c.is_marker
    and (c.place_before is null or c.was_gone or c.state is distinct from c.state_before);

-- name: find_gone_late
-- Claims in hand that are gone in the end. One row a claim.
insert into gone (claim_id, service_date)
select
    h.claim_id,
    f.service_date
from ({hand}) as h
left join fact_claim as f on h.claim_id = f.claim_id
where not exists (
    select 1
    from chain as c
    where c.claim_id = h.claim_id and c.is_latest
);

-- name: take_back
-- Claims that are gone leave the fact; the state that each was in joins its earlier ones.
-- One row a claim.
with taken as (
    delete from fact_claim as f
    using gone as g
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
from taken as t;

-- name: drop_gone
-- Make room for the next load. No rows.
drop table gone;

-- name: index_chain
-- Statistics for the joins that follow.
analyze chain;

-- name: find_known_late
-- The load's claims that the fact already holds, with the load whose state they have to be in.
-- One row a claim.
create temporary table known on commit drop as
select
    c.claim_id,
    f.service_date,
    c.load_id
from chain as c
inner join fact_claim as f on c.claim_id = f.claim_id
where c.is_latest;

-- name: index_known
-- Statistics for the joins that follow.
analyze known;

-- name: months
-- Months of service of the load, and whether each has no partition yet. One row a month, in order.
with days as (
    select s.service_date::date as day
    from claims_raw as s
    where {in_hand} and s.is_deleted is not true
    group by s.service_date
),

months as (
    select distinct date_trunc('month', day)::date as month
    from days
)

select
    month,
    to_regclass(
        format('%%I.%%I', %(schema)s::text, 'fact_claim_' || to_char(month, 'yyyy_mm'))
    ) is null as is_new
from months
order by month;

-- name: create_loading
-- A stand-alone parent for the partitions of new months: they fill without keys and indexes and
-- without a lock that a reader of fact_claim would wait for. No rows.
create table fact_claim_loading (like fact_claim) partition by range (service_date);

-- name: create_partition
-- An empty partition of the loading parent. One row a claim.
create table {partition} partition of fact_claim_loading for values from ({month}) to ({next});

-- name: detach
-- Take a filled partition from the loading parent. One row a claim.
alter table fact_claim_loading detach partition {partition};

-- name: add_key
-- Give a filled partition the key of the fact. One row a claim.
alter table {partition} add primary key (claim_id, service_date);

-- name: add_bounds
-- Say what the partition holds, so that attaching it need not read it again. One row a claim.
alter table {partition} add constraint bounds check (
    service_date >= {month} and service_date < {next}
);

-- name: attach
-- Make a filled partition part of the fact: foreign keys are checked here, as a set.
-- One row a claim.
alter table fact_claim attach partition {partition} for values from ({month}) to ({next});

-- name: drop_bounds
-- The partition's own bounds say the same. One row a claim.
alter table {partition} drop constraint bounds;

-- name: drop_loading
-- Nothing is left of the loading parent.
drop table fact_claim_loading;

-- name: fresh
-- Which rows of staging the latest states of the claims in hand are. A fragment.
(s.claim_id, s.load_id) in (  -- noqa: PRS, a condition
    select
        c.claim_id,
        c.load_id
    from chain as c
    where c.is_latest
)

-- name: insert_new
-- Claims that the fact does not hold yet, each keyed to the versions in force on its day of
-- service. One row a claim.
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
where {fresh} and s.is_deleted is not true
    and (date_trunc('month', s.service_date)::date = any(%(new_months)s)) = %(into_new)s
    and not exists (
        select 1
        from known as k
        where k.claim_id = s.claim_id
    )
    and not exists (
        select 1
        from gone as g
        where g.claim_id = s.claim_id
    );

-- name: update_known
-- Claims that the fact holds in another state take the one told; a changed day of service moves
-- the row to its partition. The state that each was in joins its earlier ones. Rows that do not
-- change are left alone. One row a claim.
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
            k.service_date as held_service_date,
            day.date_key,
            s.service_date,
            {sk_values_named},
            {carried_values},
            s.load_id
        from known as k
        inner join claims_raw as s on k.claim_id = s.claim_id and s.load_id = {told_by}
        inner join dim_date as day on s.service_date = day.full_date
        {references}
    ) as v
    where f.claim_id = v.claim_id and f.service_date = v.held_service_date
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
-- What one load says otherwise now than it did, since others came to be known, is no other state.
where c.load_id <> c.new_load_id;

-- name: drop_unfounded_states
-- Earlier states that the order of the batches does not bear out. One row a claim and load.
delete from fact_claim_state as h
using (
    select distinct claim_id
    from chain
) as told
where h.claim_id = told.claim_id
    and not exists (
        select 1
        from chain as c
        where c.claim_id = h.claim_id and c.load_id = h.load_id and not c.is_latest
            and not ({states_differ})
    );

-- name: insert_missing_states
-- Earlier states that are not held yet. One row a claim and load.
insert into fact_claim_state (claim_id, load_id, service_date, {states})
select
    c.claim_id,
    c.load_id,
    c.service_date,
    {states}
from chain as c
where not c.is_latest
    and not exists (
        select 1
        from fact_claim_state as h
        where h.claim_id = c.claim_id and h.load_id = c.load_id
    );

-- name: analyze
-- Refresh the planner's statistics of one partition, of the columns that joins and filters use.
analyze {partition} (claim_id, date_key, service_date, member_sk, provider_sk, plan_sk, status);

-- name: drop_known
-- Make room for the next load. No rows.
drop table known;

-- name: drop_chain
-- Make room for the next load. No rows.
drop table chain;
