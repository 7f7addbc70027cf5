-- name: watermark
-- How far the history of a feed is known before this load: the latest batch and the latest
-- instant at which a row of it took effect. One row.
select
    max(l.as_of at time zone 'UTC') as as_of_ts,
    max(f.latest_effective_ts) as effective_ts
from load_file as f
inner join load as l on f.load_id = l.load_id
inner join stage_run as r on f.load_id = r.load_id and r.stage = 'dims' and r.status = 'done'
where f.feed = %(feed)s and f.status = 'loaded' and f.load_id <> %(load_id)s
    and l.status = any(%(statuses)s) and (l.is_rebuild or not %(is_rebuild)s);

-- name: classify
-- What each row of the load means for the current version of its key; rows that mean nothing
-- are left out. One row a staged row that is new, changed, late or a correction of Type 1.
--   new       no version of the key is current
--   inferred  the key has only the row that a fact made for it
--   changed   a driver differs and the row is the latest word on its key
--   late      something later is or may be known: the history of the key is made again
--   same      the drivers agree and a Type 1 attribute differs
create temporary table arrival on commit drop as
with arrived as (
    select
        s.source_line,
        {typed_columns},
        {effective} as effective_ts
    from {staging} as s
    where s.load_id = %(load_id)s
)

select
    a.source_line,
    {keys_of_arrived},
    a.effective_ts,
    c.{sk} as current_sk,
    {type_1_differ_a_c} as corrects,
    case
        when c.{sk} is null then 'new'
        when c.is_inferred then 'inferred'
        when a.effective_ts < c.validity_start_ts then 'late'
        when not {drivers_differ_a_c} then 'same'
        when a.effective_ts > c.validity_start_ts and a.effective_ts > %(known_to)s then 'changed'
        else 'late'
    end as class
from arrived as a
left join {dim} as c on {key_a_c} and c.current_flag
where c.{sk} is null or c.is_inferred or a.effective_ts < c.validity_start_ts
    or {drivers_differ_a_c} or {type_1_differ_a_c} or %(out_of_order)s;

-- name: index_arrival
-- Statistics for the joins that follow.
analyze arrival;

-- name: find_respliced
-- The keys whose history is made again from all that staging holds of them. One row a key.
create temporary table respliced on commit drop as
select {keys}
from arrival
where class = 'late' or %(out_of_order)s
union
select {keys}
from {staging}
where load_id = %(load_id)s and %(may_repeat)s
group by {keys}
having count(*) > 1
union
select {keys_of_arrival}
from arrival
where arrival.class = 'new' and exists (select d.{sk} from {dim} as d where {key_d_arrival})
union
select {keys_of_dim}
from {dim} as d
where %(is_snapshot)s and d.{sk} > 0 and not d.is_inferred
    and (
        %(out_of_order)s
        or (
            -- Gone before its latest change took effect.
            d.current_flag
            and d.validity_start_ts >= %(as_of)s::timestamptz at time zone 'UTC'
            and not exists (
                select 1
                from {staging} as s
                where s.load_id = %(load_id)s and {key_s_d}
            )
        )
    );

-- name: leave_respliced
-- Respliced keys take no part in the simple path. One row an arrival taken out.
delete from arrival
using respliced
where {key_arrival_respliced};

-- name: number_arrivals
-- The new versions of the simple path in the order of their keys, which is the order of their
-- surrogate keys. One row a version to make or complete.
create temporary table fresh on commit drop as
select
    row_number() over (order by {keys}) as position,
    source_line,
    current_sk,
    effective_ts,
    class
from arrival
where class in ('new', 'inferred', 'changed');

-- name: fresh_hash_input
-- The change drivers of the versions to make, for hashing. One row a version.
select
    f.position,
    {typed_drivers}
from fresh as f
inner join {staging} as s on f.source_line = s.source_line and s.load_id = {load_id};

-- name: create_hashes
-- Where Python puts the hashes it made. One row a version.
create temporary table version_hash (
    position bigint not null,
    attr_hash uuid not null
) on commit drop;

-- name: drop_hashes
-- Make room for the hashes of the next statement.
drop table version_hash;

-- name: complete_inferred
-- Fill the row that a fact made, now that its feed has come; its surrogate key stays.
-- One row a version.
update {dim} as d
set
    {assign_all},
    {lookup_assign}
    is_inferred = false,
    attr_hash = h.attr_hash,
    hash_version = %(hash_version)s,
    load_id = %(load_id)s
from fresh as f
inner join version_hash as h on f.position = h.position
inner join (
    select
        source_line,
        {typed_columns}
    from {staging} as s
    where load_id = %(load_id)s
) as v on f.source_line = v.source_line
{lookup_joins}
where f.class = 'inferred' and d.{sk} = f.current_sk;

-- name: close_changed
-- End the versions that a change replaces. One row a version ended.
update {dim} as d
set
    validity_end_ts = f.effective_ts,
    current_flag = false
from fresh as f
where f.class = 'changed' and d.{sk} = f.current_sk;

-- name: insert_fresh
-- Make the new versions, in key order. One row a version.
insert into {dim} (
    {sk},
    {columns},
    {lookup_columns}
    validity_start_ts,
    validity_end_ts,
    current_flag,
    attr_hash,
    hash_version,
    load_id
)
select
    %(last_sk)s + row_number() over (order by f.position),
    {value_columns},
    {lookup_values}
    case when f.class = 'changed' then f.effective_ts else timestamp '1900-01-01' end,
    timestamp '9999-12-31',
    true,
    h.attr_hash,
    %(hash_version)s,
    %(load_id)s
from fresh as f
inner join version_hash as h on f.position = h.position
inner join (
    select
        source_line,
        {typed_columns}
    from {staging} as s
    where load_id = %(load_id)s
) as v on f.source_line = v.source_line
{lookup_joins}
where f.class in ('new', 'changed')
order by f.position;

-- name: correct_type_1
-- Correct the Type 1 attributes on every version of the keys that the load corrects.
-- One row a version touched.
update {dim} as d
set {assign_type_1}
from arrival as a
inner join (
    select
        source_line,
        {typed_columns}
    from {staging} as s
    where load_id = %(load_id)s
) as v on a.source_line = v.source_line
where a.corrects and a.class in ('same', 'changed') and {key_d_v} and {type_1_differ_d_v};

-- name: close_absent
-- A snapshot that no longer names a key ends its current version at the snapshot's time.
-- One row a version ended.
update {dim} as d
set
    validity_end_ts = %(as_of)s::timestamptz at time zone 'UTC',
    current_flag = false
where d.current_flag and d.{sk} > 0 and not d.is_inferred
    and d.validity_start_ts < %(as_of)s::timestamptz at time zone 'UTC'
    and not exists (
        select 1
        from {staging} as s
        where s.load_id = %(load_id)s and {key_s_d}
    )
    and not exists (
        select 1
        from respliced as r
        where {key_r_d}
    );

-- name: index_respliced
-- Statistics for the joins that follow.
analyze respliced;

-- name: has_respliced
-- How many keys have their history made again. One row.
select count(*) from respliced;

-- name: observe
-- All that staging holds of the respliced keys, one row a key and effective time: of two rows for
-- one instant the one delivered by the later batch counts, and within a file the later line.
create temporary table observation on commit drop as
select distinct on ({keys_of_row}, e.effective_ts)
    {typed_columns},
    e.effective_ts,
    l.as_of at time zone 'UTC' as as_of_ts,
    s.load_id,
    s.source_line
from respliced as r
inner join {staging} as s on {key_s_r}
inner join load as l on s.load_id = l.load_id
cross join lateral (select {effective_of_load} as effective_ts) as e
where s.load_id = %(load_id)s
    or exists (
        select 1
        from stage_run as done
        where done.load_id = s.load_id and done.stage = 'dims' and done.status = 'done'
    )
order by {keys_of_row}, e.effective_ts, l.as_of desc, s.load_id desc, s.source_line desc;

-- name: reach_back
-- What was observed first of a key counts from 1900 on, so that earlier facts find it.
-- One row a key.
update observation as o
set effective_ts = timestamp '1900-01-01'
where not exists (
    select 1
    from observation as earlier
    where {key_earlier_o} and earlier.effective_ts < o.effective_ts
);

-- name: find_gaps
-- When the respliced keys were gone: from a snapshot that lacks a key which an earlier batch had
-- to the next row that brings it back. One row a key and gap.
create temporary table gap on commit drop as
with snapshots as (
    select
        l.load_id,
        l.as_of at time zone 'UTC' as as_of_ts
    from load_file as f
    inner join load as l on f.load_id = l.load_id
    where f.feed = %(feed)s and f.kind = 'snapshot' and f.status = 'loaded'
        and l.status = any(%(statuses)s) and (l.is_rebuild or not %(is_rebuild)s)
        and (
            l.load_id = %(load_id)s
            or exists (
                select 1
                from stage_run as done
                where done.load_id = l.load_id and done.stage = 'dims' and done.status = 'done'
            )
        )
),

deliveries as (
    select
        {keys_of_row},
        s.load_id,
        l.as_of at time zone 'UTC' as as_of_ts,
        {effective_of_load} as effective_ts
    from respliced as r
    inner join {staging} as s on {key_s_r}
    inner join load as l on s.load_id = l.load_id
    where s.load_id = %(load_id)s
        or exists (
            select 1
            from stage_run as done
            where done.load_id = s.load_id and done.stage = 'dims' and done.status = 'done'
        )
),

absences as (
    select
        {keys_of_respliced},
        p.as_of_ts as gone_ts
    from respliced as r
    cross join snapshots as p
    where exists (
        select 1
        from deliveries as s
        where {key_s_r} and s.as_of_ts < p.as_of_ts
    )
    and not exists (
        select 1
        from deliveries as s
        where {key_s_r} and s.load_id = p.load_id
    )
)

select
    {keys_of_respliced},
    r.gone_ts,
    coalesce((
        select
            case
                when s.effective_ts > r.gone_ts then s.effective_ts
                else s.as_of_ts
            end
        from deliveries as s
        where {key_s_r} and s.as_of_ts > r.gone_ts
        order by s.as_of_ts, s.effective_ts
        limit 1
    ), timestamp '9999-12-31') as back_ts
from absences as r;

-- name: replay
-- The history of the respliced keys as it has to be: what was observed, in order, equal
-- neighbours as one, gaps left open, the first version from 1900. One row a version.
create temporary table replayed on commit drop as
with events as (
    select
        {observed_columns},
        o.effective_ts,
        false as is_gone
    from observation as o
    where not exists (
        select 1
        from gap as g
        where {key_o_g} and o.effective_ts >= g.gone_ts and o.effective_ts < g.back_ts
    )
    union all
    select
        {observed_columns},
        g.gone_ts,
        true as is_gone
    from gap as g
    cross join lateral (
        select *
        from observation as o
        where {key_o_g}
        order by o.effective_ts
        limit 1
    ) as o
    union all
    select
        {observed_columns},
        g.back_ts,
        false as is_gone
    from gap as g
    cross join lateral (
        select *
        from observation as o
        where {key_o_g} and o.effective_ts <= g.back_ts
        order by o.effective_ts desc
        limit 1
    ) as o
    where g.back_ts < timestamp '9999-12-31'
        and not exists (
            select 1
            from gap as h
            where {key_h_g} and g.back_ts >= h.gone_ts and g.back_ts < h.back_ts
        )
),

points as (
    select distinct on ({keys_of_event}, e.effective_ts) e.*
    from events as e
    order by {keys_of_event}, e.effective_ts, e.is_gone desc
),

compared as (
    select
        e.*,
        row(e.is_gone, {driver_row}) as content,
        lag(row(e.is_gone, {driver_row})) over history as content_before
    from points as e
    window history as (partition by {keys_of_event} order by e.effective_ts)
),

spans as (
    select
        e.*,
        e.effective_ts as validity_start_ts,
        coalesce(
            lead(e.effective_ts) over (partition by {keys_of_event} order by e.effective_ts),
            timestamp '9999-12-31'
        ) as validity_end_ts
    from compared as e
    where e.content is distinct from e.content_before
)

select
    row_number() over (order by {keys_of_event}, e.validity_start_ts) as position,
    {version_columns},
    e.validity_start_ts,
    e.validity_end_ts
from spans as e
inner join (
    select distinct on ({keys_of_observation}) o.*
    from observation as o
    order by {keys_of_observation}, o.as_of_ts desc, o.effective_ts desc, o.source_line desc
) as t on {key_t_e}
where not e.is_gone;

-- name: replayed_hash_input
-- The change drivers of the replayed versions, for hashing. One row a version.
select
    v.position,
    {drivers}
from replayed as v;

-- name: drop_unfounded
-- Versions that the replayed history no longer has. One row a version.
delete from {dim} as d
using respliced as r
where {key_d_r}
    and not exists (
        select 1
        from replayed as v
        where {key_v_d} and v.validity_start_ts = d.validity_start_ts
    );

-- name: shorten
-- Bring forward the ends that come earlier in the replayed history. One row a version.
update {dim} as d
set
    validity_end_ts = v.validity_end_ts,
    current_flag = false
from replayed as v
where {key_d_v} and d.validity_start_ts = v.validity_start_ts
    and v.validity_end_ts < d.validity_end_ts;

-- name: rewrite
-- Make the versions that stay agree with the replayed history. One row a version.
update {dim} as d
set
    {assign_all},
    {lookup_assign}
    validity_end_ts = v.validity_end_ts,
    current_flag = v.validity_end_ts = timestamp '9999-12-31',
    is_inferred = false,
    attr_hash = h.attr_hash,
    hash_version = %(hash_version)s,
    load_id = case
        when d.is_inferred or {drivers_differ_d_v} then %(load_id)s else d.load_id
    end
from replayed as v
inner join version_hash as h on v.position = h.position
{lookup_joins}
where {key_d_v} and d.validity_start_ts = v.validity_start_ts
    and (
        d.is_inferred
        or d.validity_end_ts <> v.validity_end_ts
        or {drivers_differ_d_v}
        or {type_1_differ_d_v}
    );

-- name: insert_replayed
-- Make the versions that the replayed history adds. One row a version.
insert into {dim} (
    {sk},
    {columns},
    {lookup_columns}
    validity_start_ts,
    validity_end_ts,
    current_flag,
    attr_hash,
    hash_version,
    load_id
)
select
    %(last_sk)s + row_number() over (order by v.position),
    {value_columns},
    {lookup_values}
    v.validity_start_ts,
    v.validity_end_ts,
    v.validity_end_ts = timestamp '9999-12-31',
    h.attr_hash,
    %(hash_version)s,
    %(load_id)s
from replayed as v
inner join version_hash as h on v.position = h.position
{lookup_joins}
where not exists (
    select 1
    from {dim} as d
    where {key_d_v} and d.validity_start_ts = v.validity_start_ts
)
order by v.position;

-- name: create_moved
-- Versions that gave up part of their time: facts of that time have to find another.
-- One row a version, with the instant from which on its facts may be concerned.
create temporary table moved on commit drop as
select
    d.{sk} as old_sk,
    {keys_of_dim},
    f.effective_ts as from_ts
from fresh as f
inner join {dim} as d on f.current_sk = d.{sk}
where f.class = 'changed'
union all
select
    d.{sk} as old_sk,
    {keys_of_dim},
    timestamp '1900-01-01' as from_ts
from respliced as r
inner join {dim} as d on {key_d_r};

-- name: earliest_moved
-- From which date on facts may be concerned; nothing if none are. One row.
select
    count(*) as versions,
    min(from_ts)::date as from_date
from moved;

-- name: rekey
-- Point the facts of moved versions at the version in force on their own date, or, where the key
-- was gone on that date, at the last one before it. One row a fact re-keyed.
update {fact} as f
set {sk} = n.new_sk
from moved as m
cross join lateral (
    select
        d.{sk} as new_sk,
        d.validity_start_ts,
        lead(d.validity_start_ts, 1, 'infinity') over (order by d.validity_start_ts) as next_ts
    from {dim} as d
    where {key_d_m}
) as n
where f.{sk} = m.old_sk and f.{date} >= %(from_date)s
    and f.{date} >= m.from_ts::date
    and f.{date} >= n.validity_start_ts and f.{date} < n.next_ts
    and f.{sk} <> n.new_sk;

-- name: last_sk
-- The highest surrogate key given so far. One row.
select greatest(max({sk}), 0) from {dim};

-- name: ensure_unknown
-- The row that facts without a key point at. One row, once.
insert into {dim} (
    {sk},
    {keys},
    validity_start_ts,
    validity_end_ts,
    current_flag,
    attr_hash,
    hash_version,
    load_id
)
select
    -1,
    {unknown_key},
    timestamp '1900-01-01',
    timestamp '9999-12-31',
    true,
    %(attr_hash)s::uuid,
    %(hash_version)s,
    0
where not exists (select 1 from {dim} where {sk} = -1);

-- name: analyze
-- Refresh the planner's statistics of a dimension.
analyze {dim};

-- name: defer_keys
-- A version may go before its facts are re-keyed: by the commit they are. No rows.
set constraints all deferred;

-- name: drop_temporary
-- Make room for the next dimension. No rows.
drop table {name};
