-- name: tell_loads
-- The loads of the feed that this build has in the dimension, and the one in hand, in the order
-- of their batches, which is not always that of their arrival. One row a load.
create temporary table told on commit drop as
select
    l.load_id,
    l.as_of at time zone 'UTC' as as_of_ts,
    f.kind = 'snapshot' as is_snapshot,
    f.columns,
    f.latest_effective_ts,
    coalesce(f.distinct_keys < f.rows_loaded, true) as may_repeat,
    f.rows_loaded,
    row_number() over (order by l.as_of, l.batch_id collate "C", l.load_id) as batch_rank
from load_file as f
inner join load as l on f.load_id = l.load_id
where f.feed = %(feed)s and f.status = 'loaded'
    and l.status = any(%(statuses)s) and (l.is_rebuild or not %(is_rebuild)s)
    and (
        l.load_id = %(load_id)s
        or exists (
            select 1
            from stage_run as done
            where done.load_id = l.load_id and done.stage = 'dims' and done.status = 'done'
        )
    );

-- name: watermark
-- What is known of the load in hand: the latest instant at which a row of the other loads of the
-- feed took effect, whether a later batch is among them, whether it may name a key twice, and its
-- rows. One row.
select
    max(t.latest_effective_ts) filter (where t.load_id <> %(load_id)s) as effective_ts,
    max(t.batch_rank) > max(t.batch_rank) filter (where t.load_id = %(load_id)s) as is_late,
    bool_or(t.may_repeat) filter (where t.load_id = %(load_id)s) as may_repeat,
    sum(t.rows_loaded) filter (where t.load_id = %(load_id)s)::bigint as rows_loaded
from told as t;

-- name: columns_told
-- Which columns the file of each load has. One row a load.
select
    load_id,
    columns
from told;

-- name: has_markers
-- Whether the load has a delete marker. One row.
select exists(select 1 from {staging} as s where s.load_id = %(load_id)s and {marked});

-- name: fill
-- An empty dimension with a version for every row of the load, beside the row for no key known;
-- surrogate keys are the places of the rows in the file. One row a version.
create table {filled} as
with versions as (
    select
        v.source_line - 1 as {sk},
        {value_columns},
        {lookup_named}
        timestamp '1900-01-01' as validity_start_ts,
        timestamp '9999-12-31' as validity_end_ts,
        true as current_flag,
        {hash_of_value} as attr_hash,
        %(hash_version)s::smallint as hash_version,
        false as is_inferred,
        %(load_id)s::bigint as load_id,
        now() as created_at,
        v.effective_ts as known_from_ts
    from (
        select
            source_line,
            {typed_columns},
            {effective} as effective_ts
        from {staging} as s
        where load_id = %(load_id)s
    ) as v
    {lookup_joins}
)

select {table_columns}
from {dim}
union all
select {table_columns}
from versions;

-- name: classify
-- What each row of the load means for the current version of its key, and of a snapshot which
-- keys it lacks, with the row's values; rows that mean nothing are left out. One row a staged row
-- or absent key.
--   absent    the key is current and a snapshot lacks it
--   new       no version of the key is current
--   inferred  the key has only the row that a fact made for it
--   late      something later is or may be known, or the row does not say all that others said:
--             the history of the key is made again
--   gone      a delete marker that is the latest word on its key
--   changed   a driver differs and the row is the latest word on its key
--   same      the drivers agree and a Type 1 attribute differs
create temporary table arrival on commit drop as
with arrived as (
    select
        s.source_line,
        {typed_columns},
        {marked} is true as is_deleted,
        {effective} as effective_ts
    from {staging} as s
    where s.load_id = %(load_id)s
),

held as (
    select *
    from {dim}
    where current_flag
),

judged as (
    select
        {keys_of_either},
        {values_arrived},
        a.source_line,
        a.is_deleted,
        coalesce(a.effective_ts, c.validity_start_ts) as effective_ts,
        c.{sk} as current_sk,
        case
            when a.source_line is null
                then case
                    when %(is_snapshot)s and c.{sk} > 0 and not c.is_inferred then 'absent'
                end
            when c.{sk} is null then 'new'
            when c.is_inferred then 'inferred'
            -- Before its values are known, too: then they are known since earlier than was said.
            when a.effective_ts < coalesce(c.known_from_ts, c.validity_start_ts)
                or %(out_of_order)s
                then 'late'
            when a.is_deleted or {drivers_said_differ_a_c}
                then case
                    when
                        a.effective_ts <= c.validity_start_ts
                        or a.effective_ts <= %(known_to)s
                        or %(is_uneven)s
                        then 'late'
                    when a.is_deleted then 'gone'
                    else 'changed'
                end
            when {type_1_said_differ_a_c}
                then case when %(is_uneven)s then 'late' else 'same' end
        end as class,
        {type_1_said_differ_a_c} as corrects
    from arrived as a
    {left_or_full_join} held as c on {key_a_c}
)

select
    source_line,
    {columns},
    effective_ts,
    is_deleted,
    current_sk,
    class,
    class in ('same', 'changed') and corrects as corrects,
    case
        when class in ('new', 'inferred', 'changed') and not is_deleted then {hash_of_judged}
    end as attr_hash
from judged as j
where class is not null;

-- name: leave_named
-- A key that a rejected row of the snapshot names is not absent. One row an arrival taken out.
delete from arrival
using rejected_key as n
where arrival.class = 'absent'
    and n.load_id = %(load_id)s and n.feed = %(feed)s and n.key = array[{key_texts_of_arrival}];

-- name: create_suspect
-- Keys that the simple path might get wrong. One row a key and reason.
create temporary table suspect on commit drop as
select {keys}
from {dim}
with no data;

-- name: suspect_late
-- Rows that are not the latest word on their key. One row an arrival.
insert into suspect ({keys})
select {keys}
from arrival
where class = 'late'
    or %(out_of_order)s
    or (class = 'absent' and effective_ts >= %(as_of)s::timestamptz at time zone 'UTC');

-- name: suspect_repeated
-- Keys that come more than once; rows that mean nothing by themselves are not among the arrivals.
-- One row a key.
insert into suspect ({keys})
select {keys}
from arrival
where class <> 'absent'
group by {keys}
having count(*) > 1
union all
select {keys_of_arrival}
from arrival
where class in ('changed', 'same', 'gone')
    and exists (
        select 1
        from {staging} as s
        where s.load_id = %(load_id)s and {key_s_arrival}
            and s.source_line <> arrival.source_line
    );

-- name: suspect_returning
-- Keys that come again after a gap, and keys of which a delete marker came before they did.
-- One row an arrival.
insert into suspect ({keys})
select {keys_of_arrival}
from arrival
where class = 'new' and exists (select d.{sk} from {dim} as d where {key_d_arrival})
union all
select {keys_of_arrival}
from arrival
where class in ('new', 'inferred')
    and exists (
        select 1
        from {staging} as s
        where {marked} and {key_s_arrival}
    );

-- name: suspect_marked
-- A snapshot brings back what a marker took away, also where its row says nothing new, and ends
-- at its own time what was to end later. One row a key.
insert into suspect ({keys})
select {keys_of_row}
from {staging} as s
where {marked}
    and exists (
        select 1
        from {staging} as a
        where a.load_id = %(load_id)s and {key_a_s}
    )
union all
select {keys_of_dim}
from {dim} as d
where not d.current_flag
    and d.validity_end_ts > %(as_of)s::timestamptz at time zone 'UTC';

-- name: suspect_all
-- A snapshot that comes out of order may concern any key. One row a version.
insert into suspect ({keys})
select {keys_of_dim}
from {dim} as d
where d.{sk} > 0 and not d.is_inferred;

-- name: find_keys_to_rebuild
-- The keys whose history is made again from all that staging holds of them. One row a key.
create temporary table key_to_rebuild on commit drop as
select distinct {keys}
from suspect;

-- name: count_keys_to_rebuild
-- How many keys have their history made again. One row.
select count(*) from key_to_rebuild;

-- name: leave_keys_to_rebuild
-- Respliced keys take no part in the simple path. One row an arrival taken out.
delete from arrival
using key_to_rebuild as r
where {key_arrival_r};

-- name: count_arrivals
-- How many arrivals there are of each class. One row a class.
select
    class,
    count(*)
from arrival
group by class;

-- name: disable_overlap_guard
-- Let the guard rest while only first versions of new keys come, each of them current from 1900
-- on: the unique index on current versions says as much. No rows.
alter table {dim} disable trigger {guard};

-- name: enable_overlap_guard
-- Put the guard back. No rows.
alter table {dim} enable trigger {guard};

-- name: complete_inferred
-- Fill the row that a fact made, now that its feed has come; its surrogate key stays.
-- One row a version.
update {dim} as d
set
    {assign_all},
    {lookup_assign}
    is_inferred = false,
    attr_hash = v.attr_hash,
    hash_version = %(hash_version)s,
    load_id = %(load_id)s,
    known_from_ts = v.effective_ts
from arrival as v
{lookup_joins}
where v.class = 'inferred' and not v.is_deleted and d.{sk} = v.current_sk;

-- name: close_replaced
-- End the versions that a change replaces or a delete marker takes away. One row a version ended.
update {dim} as d
set
    validity_end_ts = a.effective_ts,
    current_flag = false
from arrival as a
where a.class in ('changed', 'gone') and d.{sk} = a.current_sk;

-- name: close_absent
-- A snapshot that no longer names a key ends its current version at the snapshot's time.
-- One row a version ended.
update {dim} as d
set
    validity_end_ts = %(as_of)s::timestamptz at time zone 'UTC',
    current_flag = false
from arrival as a
where a.class = 'absent' and d.{sk} = a.current_sk;

-- name: insert_fresh
-- Make the new versions; their surrogate keys follow the lines of the file. One row a version.
insert into {dim} (
    {sk},
    {columns},
    {lookup_columns}
    validity_start_ts,
    validity_end_ts,
    current_flag,
    attr_hash,
    hash_version,
    load_id,
    known_from_ts
)
select
    %(last_sk)s + v.position,
    {value_columns},
    {lookup_values}
    case when v.class = 'changed' then v.effective_ts else timestamp '1900-01-01' end,
    timestamp '9999-12-31',
    true,
    v.attr_hash,
    %(hash_version)s,
    %(load_id)s,
    v.effective_ts
from (
    select
        *,
        row_number() over (order by source_line) as position
    from arrival
    where class in ('new', 'changed') and not is_deleted
) as v
{lookup_joins};

-- name: correct_type_1
-- Correct the Type 1 attributes on every version of the keys that the load corrects.
-- One row a version touched.
update {dim} as d
set {assign_type_1}
from arrival as v
where v.corrects and {key_d_v} and {type_1_differ_d_v};

-- name: collect
-- When and by whom the keys to rebuild were delivered, alive or marked as deleted.
-- One row a staged row.
create temporary table delivery on commit drop as
select
    {keys_of_row},
    {effective_of_load} as effective_ts,
    {marked} is true as is_deleted,
    t.batch_rank,
    t.as_of_ts,
    t.is_snapshot,
    s.source_line
from key_to_rebuild as r
inner join {staging} as s on {key_s_r}
inner join told as t on s.load_id = t.load_id;

-- name: observe
-- What was told of the keys to rebuild while they were there, one row a key and effective time: of
-- two rows for one instant that of the later batch counts, and within a file the later line.
create temporary table observation on commit drop as
select distinct on ({keys_of_row}, e.effective_ts)
    {typed_columns},
    e.effective_ts,
    e.effective_ts as known_from_ts,
    t.batch_rank,
    s.load_id,
    s.source_line
from key_to_rebuild as r
inner join {staging} as s on {key_s_r}
inner join told as t on s.load_id = t.load_id
cross join lateral (select {effective_of_load} as effective_ts) as e
where {marked} is not true
order by {keys_of_row}, e.effective_ts, t.batch_rank desc, s.source_line desc;

-- name: complete_driver
-- A driver that a row's file does not have was not said: it is what was said last before that
-- time, or else first after it. One row an observation completed.
with said as (
    select distinct on ({keys_of_row}, e.effective_ts)
        {keys_of_row},
        e.effective_ts,
        {typed_column} as value
    from key_to_rebuild as r
    inner join {staging} as s on {key_s_r}
    inner join told as t on s.load_id = t.load_id
    cross join lateral (select {effective_of_load} as effective_ts) as e
    where {name} = any(t.columns) and {marked} is not true
    order by {keys_of_row}, e.effective_ts, t.batch_rank desc, s.source_line desc
),

period as (
    select
        {keys},
        value,
        case when row_number() over by_time > 1 then effective_ts else '-infinity' end as from_ts,
        lead(effective_ts, 1, timestamp 'infinity') over by_time as until_ts
    from said
    window by_time as (partition by {keys} order by effective_ts)
)

update observation as o
set {filled} = p.value
from period as p
where {key_o_p}
    and o.effective_ts >= p.from_ts
    and o.effective_ts < p.until_ts
    and o.load_id = any(%(lacking)s);

-- name: complete_type_1
-- A Type 1 attribute that a row's file does not have is what was said of it last.
-- One row an observation completed.
with said as (
    select distinct on ({keys_of_row})
        {keys_of_row},
        {typed_column} as value
    from key_to_rebuild as r
    inner join {staging} as s on {key_s_r}
    inner join told as t on s.load_id = t.load_id
    cross join lateral (select {effective_of_load} as effective_ts) as e
    where {name} = any(t.columns) and {marked} is not true
    order by {keys_of_row}, t.batch_rank desc, e.effective_ts desc, s.source_line desc
)

update observation as o
set {filled} = p.value
from said as p
where {key_o_p} and o.load_id = any(%(lacking)s);

-- name: index_delivery
-- Deliveries are looked up by key. No rows.
create index on delivery ({keys});

-- name: index_observation
-- Observations are looked up by key and time. No rows.
create index on observation ({keys}, effective_ts);

-- name: analyze_arrival
-- Statistics of what arrivals are looked up by. No rows.
analyze arrival (source_line, {keys}, class, current_sk);

-- name: analyze_temporary
-- Statistics for the joins that follow. No rows.
analyze {name};

-- name: leave_unobserved
-- A key of which only delete markers came has no history to make. One row a key.
delete from key_to_rebuild as r
where not exists (
    select 1
    from observation as o
    where {key_o_r}
);

-- name: reach_back
-- What was observed first of a key counts from 1900 on, so that earlier facts find it; since when
-- it is known stays as it is. One row a key.
update observation as o
set effective_ts = timestamp '1900-01-01'
where not exists (
    select 1
    from observation as earlier
    where {key_earlier_o} and earlier.effective_ts < o.effective_ts
);

-- name: find_gaps
-- When the keys to rebuild were gone: from a snapshot that lacks a key which an earlier batch had,
-- and names it in no rejected row, or from a delete marker, until something brings the key back.
-- One row a key and gap.
create temporary table gap on commit drop as
with absences as (
    select
        {keys_of_rebuilt},
        p.as_of_ts as gone_ts,
        (
            select
                case
                    when s.effective_ts > p.as_of_ts then s.effective_ts
                    else s.as_of_ts
                end
            from delivery as s
            where {key_s_r} and s.batch_rank > p.batch_rank and not s.is_deleted
            order by s.batch_rank, s.effective_ts
            limit 1
        ) as back_ts
    from key_to_rebuild as r
    cross join told as p
    where p.is_snapshot
        and exists (
            select 1
            from delivery as s
            where {key_s_r} and s.batch_rank < p.batch_rank and not s.is_deleted
        )
        and not exists (
            select 1
            from delivery as s
            where {key_s_r} and s.batch_rank = p.batch_rank
        )
        and not exists (
            select 1
            from rejected_key as n
            where n.load_id = p.load_id and n.feed = %(feed)s
                and n.key = array[{key_texts_of_rebuilt}]
        )
),

markers as (
    select distinct on ({keys_of_marker}, m.effective_ts) m.*
    from delivery as m
    where m.is_deleted
    order by {keys_of_marker}, m.effective_ts, m.batch_rank desc, m.source_line desc
),

deletions as (
    select
        {keys_of_marker},
        -- The first version begins in 1900 and may not be empty.
        greatest(m.effective_ts, timestamp '1900-01-01 00:00:00.000001') as gone_ts,
        least(
            (
                select min(o.effective_ts)
                from observation as o
                where {key_o_m} and o.effective_ts > m.effective_ts
            ),
            (
                select min(s.as_of_ts)
                from delivery as s
                where {key_s_m} and s.is_snapshot and not s.is_deleted
                    and s.batch_rank > m.batch_rank and s.as_of_ts > m.effective_ts
            )
        ) as back_ts
    from markers as m
    where not exists (
        select 1
        from delivery as s
        where {key_s_m} and s.effective_ts = m.effective_ts and not s.is_deleted
            and (s.batch_rank, s.source_line) > (m.batch_rank, m.source_line)
    )
)

select
    {keys},
    gone_ts,
    coalesce(back_ts, timestamp '9999-12-31') as back_ts
from (
    select *
    from absences
    union all
    select *
    from deletions
) as gone
where coalesce(back_ts > gone_ts, true);

-- name: replay
-- The history of the keys to rebuild as it has to be: what was observed, in order, equal
-- neighbours as one, gaps left open, the first version from 1900. One row a version.
create temporary table replayed on commit drop as
with events as (
    select
        {observed_columns},
        o.effective_ts,
        o.known_from_ts,
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
        g.gone_ts as known_from_ts,
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
        g.back_ts as known_from_ts,
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
    e.validity_end_ts,
    e.known_from_ts
from spans as e
inner join (
    select distinct on ({keys_of_observation}) o.*
    from observation as o
    order by {keys_of_observation}, o.batch_rank desc, o.effective_ts desc, o.source_line desc
) as t on {key_t_e}
where not e.is_gone;

-- name: drop_orphaned_versions
-- Versions that the replayed history no longer has. One row a version.
delete from {dim} as d
using key_to_rebuild as r
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
    attr_hash = {hash_of_value},
    hash_version = %(hash_version)s,
    load_id = case
        when d.is_inferred or {drivers_differ_d_v} then %(load_id)s else d.load_id
    end,
    known_from_ts = v.known_from_ts
from replayed as v
{lookup_joins}
where {key_d_v} and d.validity_start_ts = v.validity_start_ts
    and (
        d.is_inferred
        or d.validity_end_ts <> v.validity_end_ts
        or d.known_from_ts is distinct from v.known_from_ts
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
    load_id,
    known_from_ts
)
select
    %(last_sk)s + row_number() over (order by v.position),
    {value_columns},
    {lookup_values}
    v.validity_start_ts,
    v.validity_end_ts,
    v.validity_end_ts = timestamp '9999-12-31',
    {hash_of_value},
    %(hash_version)s,
    %(load_id)s,
    v.known_from_ts
from replayed as v
{lookup_joins}
where not exists (
    select 1
    from {dim} as d
    where {key_d_v} and d.validity_start_ts = v.validity_start_ts
)
order by v.position;

-- name: create_moved
-- Versions that give up part of their time: facts of that time have to find another.
-- One row a version, with the instant from which on its facts may be concerned, and why.
create temporary table moved on commit drop as
select
    {sk} as old_sk,
    {keys},
    validity_start_ts as from_ts,
    ''::text as reason
from {dim}
with no data;

-- name: move_changed
-- Versions that a change replaces. One row a version.
insert into moved (old_sk, {keys}, from_ts, reason)
select
    current_sk,
    {keys},
    effective_ts,
    'changed'
from arrival
where class = 'changed';

-- name: move_rebuilt
-- Versions whose key has its history made again. One row a version.
insert into moved (old_sk, {keys}, from_ts, reason)
select
    d.{sk},
    {keys_of_dim},
    %(moved_from_ts)s,
    case when d.is_inferred then 'completed' else %(reason)s end
from key_to_rebuild as r
inner join {dim} as d on {key_d_r};

-- name: earliest_moved
-- From which date on facts may be concerned; nothing if none are. One row.
select
    count(*) as versions,
    min(from_ts)::date as from_date
from moved;

-- name: rekey
-- Point the facts of moved versions at the version in force on their own date, or, where the key
-- was gone on that date, at the last one before it, and enter in the ledger how many and why.
-- One row a reason.
with rekeyed as (
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
        and f.{sk} <> n.new_sk
    returning
        m.reason,
        f.{date} as fact_date
)

insert into fact_rekey (load_id, fact, dimension, reason, facts, first_date, last_date)
select
    %(load_id)s,
    %(fact)s,
    %(dimension)s,
    reason,
    count(*),
    min(fact_date),
    max(fact_date)
from rekeyed
group by reason
returning facts;

-- name: find_all
-- Every key of which staging or the dimension holds anything. One row a key.
create temporary table key_to_rebuild on commit drop as
select {keys_of_row}
from {staging} as s
inner join told as t on s.load_id = t.load_id
union
select {keys_of_dim}
from {dim} as d
where d.{sk} > 0;

-- name: find_corrected
-- The keys that rows name which were corrected in staging. One row a key.
create temporary table key_to_rebuild on commit drop as
select distinct {keys_of_row}
from {staging} as s
where s.load_id = any(%(loads)s) and s.source_line = any(%(lines)s);

-- name: keep_earlier
-- The replayed history from an instant on, and before it the history that the dimension holds;
-- a key of which it holds nothing so early has the replayed history alone. One row a version.
create temporary table restated on commit drop as
with kept as (
    select
        {columns_of_dim},
        d.validity_start_ts,
        least(d.validity_end_ts, %(since)s) as validity_end_ts,
        d.known_from_ts
    from {dim} as d
    inner join key_to_rebuild as r on {key_d_r}
    where d.validity_start_ts < %(since)s and not d.is_inferred
),

pieces as (
    select *
    from kept
    union all
    select
        {value_columns},
        case
            when k.has_earlier then greatest(v.validity_start_ts, %(since)s)
            else v.validity_start_ts
        end as validity_start_ts,
        v.validity_end_ts,
        case
            when k.has_earlier then greatest(v.known_from_ts, %(since)s) else v.known_from_ts
        end as known_from_ts
    from replayed as v
    cross join lateral (
        select exists(select 1 from kept as d where {key_d_v}) as has_earlier
    ) as k
    where v.validity_end_ts > %(since)s or not k.has_earlier
),

compared as (
    select
        e.*,
        (
            lag(e.validity_end_ts) over history is distinct from e.validity_start_ts
            or lag({driver_row}) over history is distinct from {driver_row}
        )::integer as begins
    from pieces as e
    window history as (partition by {keys_of_event} order by e.validity_start_ts)
),

numbered as (
    select
        e.*,
        sum(e.begins) over (
            partition by {keys_of_event}
            order by e.validity_start_ts
        ) as stretch
    from compared as e
),

stretches as (
    select
        e.*,
        max(e.validity_end_ts) over (partition by {keys_of_event}, e.stretch) as last_end_ts
    from numbered as e
)

select
    row_number() over (order by {keys_of_event}, e.validity_start_ts) as position,
    {version_columns},
    e.validity_start_ts,
    e.last_end_ts as validity_end_ts,
    e.known_from_ts
from stretches as e
inner join (
    select distinct on ({keys_of_value}) v.*
    from replayed as v
    order by {keys_of_value}
) as t on {key_t_e}
where e.begins = 1;

-- name: use_restated
-- Let the restated history be the one to apply. No rows.
alter table restated rename to replayed;

-- name: find_differing
-- Keys whose history is not as it has to be: a version is missing, or is not as it should be, or
-- should not be. One row a key.
create temporary table differing on commit drop as
select {keys_of_value}
from replayed as v
left join {dim} as d on {key_d_v} and v.validity_start_ts = d.validity_start_ts
where d.{sk} is null
    or d.is_inferred
    or d.validity_end_ts <> v.validity_end_ts
    or d.known_from_ts is distinct from v.known_from_ts
    or {drivers_differ_d_v}
    or {type_1_differ_d_v}
union
select {keys_of_dim}
from {dim} as d
inner join key_to_rebuild as r on {key_d_r}
where not exists (
    select 1
    from replayed as v
    where {key_v_d} and v.validity_start_ts = d.validity_start_ts
);

-- name: leave_unchanged
-- Keys whose history is as it has to be are left alone. One row a key.
delete from key_to_rebuild as r
where not exists (
    select 1
    from differing as d
    where {key_d_r}
);

-- name: leave_their_versions
-- Versions of keys that are left alone need not be made. One row a version.
delete from replayed as v
where not exists (
    select 1
    from key_to_rebuild as r
    where {key_r_v}
);

-- name: hash_version
-- By which definition the hashes of the dimension were made. At most one row.
select hash_version from {dim}
where {sk} = -1;

-- name: rehash
-- Give the versions the hashes of the new definition; no version is made. One row a version.
update {dim} as d
set
    attr_hash = {hash_of_dim},
    hash_version = %(hash_version)s;

-- name: last_sk
-- The highest surrogate key ever given. One row.
select greatest(
    0,
    (select max({sk}) from {dim}),
    (select max({sk}) from {past})
);

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
    {hash_of_nothing},
    %(hash_version)s,
    0
where not exists (select 1 from {dim} where {sk} = -1);

-- name: analyze
-- Refresh the planner's statistics of the columns by which versions are found. No rows.
analyze {dim} ({looked_up});

-- name: defer_keys
-- A version may go before its facts are re-keyed: by the commit they are. No rows.
set constraints all deferred;

-- name: drop_temporary
-- Make room for the next dimension. No rows.
drop table {name};
