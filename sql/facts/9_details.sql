-- Details: what claims consist of, their lines and their diagnoses. The rows of a claim in the
-- latest batch that names any are its set; a claim without a set has row 1, made of the claim.
--
--   before    claim  line  paid    from claim      arrivals  claim  line  paid
--             C1     1     90.00   yes                       C1     1     60.00
--             C2     1     10.00   no                        C1     2     30.00
--             C2     2     20.00   no                        C2     1     30.00
--             C3     1     50.00   yes                       C9     1     40.00   no claim C9 yet
--
--   after     claim  line  paid    from claim
--             C1     1     60.00   no
--             C1     2     30.00   no
--             C2     1     30.00   no
--             C3     1     50.00   yes
--             C9     1     40.00   no              waits with member -1

-- name: has_rows
-- Whether there is any row. One row.
select exists(select 1 from {detail});

-- name: create_touched
-- Claims whose rows are made again. ``is_kept``: their set is that of before; otherwise
-- ``set_load_id`` is the load that brought it, if there is one. No rows.
create temporary table touched_claim (
    claim_id text primary key,
    set_load_id bigint,
    is_kept boolean not null
) on commit drop;

-- name: touch_named
-- Claims that the load names: its rows are their sets, unless it is late. One row per claim.
insert into touched_claim (claim_id, set_load_id, is_kept)
select distinct
    s.claim_id,
    case when not %(is_late)s then s.load_id end,
    false
from {staging} as s
where {is_current};

-- name: touch_absent
-- Claims whose set the load, a snapshot, lacks and names in no rejected row. One row per claim.
with brought as materialized (
    select s.claim_id
    from {staging} as s
    where s.load_id = %(load_id)s
    union
    select n.key[1]
    from rejected_key as n
    where n.load_id = %(load_id)s and n.feed = %(feed)s
)

insert into touched_claim (claim_id, set_load_id, is_kept)
select distinct
    d.claim_id,
    null::bigint,
    false
from {detail} as d
where not d.is_from_claim
    and not exists (
        select 1
        from brought as s
        where s.claim_id = d.claim_id
    );

-- name: touch_all
-- Claims of the fact and of all sets. One row per claim.
insert into touched_claim (claim_id, set_load_id, is_kept)
select
    f.claim_id,
    null::bigint,
    false
from fact_claim as f
union
select
    s.claim_id,
    null::bigint,
    false
from {staging} as s;

-- name: touch_changed
-- Claims that changed and keep their set. One row per claim.
insert into touched_claim (claim_id, set_load_id, is_kept)
select distinct
    c.claim_id,
    null::bigint,
    true
from ({changed_claims}) as c
on conflict do nothing;

-- name: touched
-- The claims whose rows are made again. One row per claim.
select t.claim_id
from touched_claim as t;

-- name: find_before
-- The rows of the touched claims as they are. One row per row.
create temporary table detail_before on commit drop as
select d.*
from {detail} as d
where d.claim_id {of_touched};

-- name: touch_left_alone
-- Claims that went and leave their set, whose rows have their own day of service again. One row per
-- claim.
update touched_claim as t
set is_kept = false
from withdrawn_claim as w
where t.claim_id = w.claim_id and t.is_kept
    and exists (
        select 1
        from detail_before as b
        where b.claim_id = t.claim_id and not b.is_from_claim
    );

-- name: claims_without_set
-- The claims that do not keep their set. One row per claim.
select t.claim_id
from touched_claim as t
where not t.is_kept;

-- name: find_sets
-- Which load brought the set of each claim that does not keep its own: of all loads that name the
-- claim that of the latest batch, unless a later snapshot lacks the claim. One row per claim.
with build_load as ({facts/loads.build_load}),

latest as (
    select distinct on (s.claim_id)
        s.claim_id,
        s.load_id,
        l.batch_rank
    from build_load as l
    inner join {staging} as s on l.load_id = s.load_id
    inner join touched_claim as t on s.claim_id = t.claim_id
    where s.load_id = any(%(holding)s) and not t.is_kept
    order by s.claim_id, l.batch_rank desc
),

not_ended as (
    select
        n.claim_id,
        n.load_id
    from latest as n
    where not exists (
        select 1
        from build_load as p
        where p.is_snapshot and p.batch_rank > n.batch_rank
            and not exists (
                select 1
                from rejected_key as k
                where k.load_id = p.load_id and k.feed = %(feed)s and k.key[1] = n.claim_id
            )
    )
)

update touched_claim as t
set set_load_id = n.load_id
from not_ended as n
where t.claim_id = n.claim_id;

-- name: loads_of_sets
-- The loads whose sets the touched claims have. One row.
select coalesce(array_agg(distinct t.set_load_id) filter (where t.set_load_id is not null), '{{}}')
from touched_claim as t;

-- name: all_claims
-- Every claim. One row per claim.
select f.*
from fact_claim as f;

-- name: touched_claims
-- The touched claims that the fact has. One row per claim.
select f.*
from fact_claim as f
where f.claim_id {of_touched};

-- name: all_sets
-- The sets of all claims, where one load brought all of them. One row per row of a set.
select
    s.claim_id::text as claim_id,
    s.{number}::integer as {number},
    s.service_date::date as service_date,
    {staged_values}
from {staging} as s
where s.load_id = any(%(build_loads)s);

-- name: create_spread
-- A table for these sets on the workers of a cluster. No rows.
create table {spread} as
{sets}
with no data;

-- name: spread_sets
-- Bring the sets there. One row per row of a set.
insert into {spread}
{sets};

-- name: spread
-- The sets that were brought there. One row per row of a set.
select s.*
from {spread} as s;

-- name: touched_sets
-- The sets of the touched claims: those that loads brought, and those that are kept.
-- One row per row of a set.
select
    s.claim_id,
    s.{number}::integer as {number},
    s.service_date::date as service_date,
    {staged_values}
from touched_claim as t
inner join {staging} as s on t.claim_id = s.claim_id and t.set_load_id = s.load_id
where s.load_id = any(%(holding)s)
union all
select
    b.claim_id,
    b.{number},
    b.service_date,
    {kept_values}
from touched_claim as t
inner join detail_before as b on t.claim_id = b.claim_id
where t.is_kept and not b.is_from_claim;

-- name: rows
-- The rows of claims: of each its set, with the claim's day and keys, or else its own row 1. A set
-- without its claim waits with the keys of what is unknown. One row per claim and number.
select
    coalesce(f.claim_id, s.claim_id) as claim_id,
    coalesce(s.{number}, 1) as {number},
    coalesce(f.date_key, day.date_key) as date_key,
    coalesce(f.service_date, s.service_date) as service_date,
    {sk_values},
    {values},
    s.claim_id is null as is_from_claim,
    {code_key}
from ({sets}) as s
full join ({claims}) as f on s.claim_id = f.claim_id
left join dim_date as day on f.claim_id is null and s.service_date = day.full_date
{references};

-- name: value
-- A column of a row of a claim's set, or of the claim itself where it has no set. A fragment.
case  -- noqa: PRS, a value
    when s.claim_id is null then {of_claim}
    else {of_set}
end

-- name: first
-- Whether a row is number 1. A fragment.
(  -- noqa: PRS, a value
    coalesce(s.{number}, 1) = 1
)

-- name: make_rows
-- The rows that the touched claims have to have. One row per claim and number.
create temporary table detail_row on commit drop as
{facts/9_details.rows};

-- name: delete_gone
-- Rows that their claims have no longer. One row per row.
with gone as materialized (
    select
        b.claim_id,
        b.{number},
        b.service_date
    from detail_before as b
    where not exists (
        select 1
        from detail_row as r
        where r.claim_id = b.claim_id and r.{number} = b.{number}
    )
)

delete from {detail} as d
using gone as g
where d.claim_id = g.claim_id and d.{number} = g.{number} and d.service_date = g.service_date;

-- name: update_changed
-- Rows that have changed; a changed day of service moves a row to its partition. Others are left
-- alone. One row per row.
with changed as materialized (
    select
        r.*,
        b.service_date as day_before
    from detail_row as r
    inner join detail_before as b on r.claim_id = b.claim_id and r.{number} = b.{number}
    where ({columns_differ})
)

update {detail} as d
set
    {assign_columns},
    load_id = %(current_load_id)s
from changed as r
where d.claim_id = r.claim_id and d.{number} = r.{number} and d.service_date = r.day_before;

-- name: days_of_new
-- Days of service of the rows to insert. One row per day.
select r.service_date
from detail_row as r
group by r.service_date;

-- name: insert_new
-- Rows that their claims did not have before. One row per row.
insert into {target} (claim_id, {number}, {columns}, load_id)
select
    r.claim_id,
    r.{number},
    {columns_of_row},
    %(current_load_id)s
from detail_row as r
where {facts/5_partitions.is_wanted}
    and not exists (
        select 1
        from detail_before as b
        where b.claim_id = r.claim_id and b.{number} = r.{number}
    );

-- name: days_of_all
-- Days of service of all claims and sets. One row per day.
select f.service_date
from fact_claim as f
group by f.service_date
union
select s.service_date::date
from {staging} as s
where s.load_id = any(%(build_loads)s)
group by s.service_date;

-- name: insert_all
-- The rows of all claims, where there is none yet. One row per row.
insert into {target} (claim_id, {number}, {columns}, load_id)
select
    r.claim_id,
    r.{number},
    {columns_of_row},
    %(current_load_id)s
from ({facts/9_details.rows}) as r
where {facts/5_partitions.is_wanted};
