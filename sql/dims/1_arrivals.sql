-- Arrivals: what each row of a load means for the current version of its key.
--
-- before:
--   member_id | last_name | valid_from | valid_until
--   A         | Ames      | 1900-01-01 | 9999-12-31
--   B         | Bell      | 1900-01-01 | 9999-12-31
--
-- arrivals, snapshot as of 2025-02-01:
--   member_id | last_name
--   A         | Archer
--   C         | Cole
--
-- after, the table arrival:
--   member_id | class
--   A         | changed
--   B         | absent
--   C         | new

-- name: create_build_load
-- The loads of the feed that this build has in the dimension, and the current one, in the order
-- of their batches, which is not always that of their arrival. One row per load.
create temporary table build_load on commit drop as
select
    l.load_id,
    l.as_of at time zone 'UTC' as as_of_ts,
    f.kind = 'snapshot' as is_snapshot,
    f.columns as file_columns,
    f.latest_effective_ts,
    coalesce(f.distinct_keys < f.rows_loaded, true) as may_repeat,
    f.rows_loaded,
    o.batch_rank
from load_file as f
inner join load as l on f.load_id = l.load_id
inner join batch_order as o on l.load_id = o.load_id
where f.feed = %(feed)s and f.status = 'loaded'
    and {ledger/build.is_of_build}
    and (
        l.load_id = %(load_id)s
        or exists (
            select 1
            from stage_run as done
            where done.load_id = l.load_id and done.stage = 'dims' and done.status = 'done'
        )
    );

-- name: watermark
-- How the current load compares with the others of the feed: the latest instant at which a row of
-- them took effect, whether one of them has a later batch, whether the current one may name a key
-- twice, and its rows. One row.
select
    max(l.latest_effective_ts) filter (where l.load_id <> %(load_id)s) as effective_ts,
    max(l.batch_rank) > max(l.batch_rank) filter (where l.load_id = %(load_id)s) as is_late,
    bool_or(l.may_repeat) filter (where l.load_id = %(load_id)s) as may_repeat,
    sum(l.rows_loaded) filter (where l.load_id = %(load_id)s)::bigint as rows_loaded
from build_load as l;

-- name: unchanged_rows
-- How many rows of a snapshot the one before it lacks and has, if a row that both have means
-- nothing: the one before is the latest load in the order of batches and in that of arrival, and
-- nothing came after it that a row could meet: no row that takes effect later, no delete marker, no
-- rows by another way. Each row has a key of its own. At most one row.
select
    cardinality(r.other_lines) as other_rows,
    own.rows_loaded - cardinality(r.other_lines) as same_rows
from access.row_fingerprint as r
inner join build_load as own on r.load_id = own.load_id
inner join build_load as earlier on r.same_as_load_id = earlier.load_id
where r.load_id = %(load_id)s and r.feed = %(feed)s
    and own.is_snapshot
    and own.batch_rank > earlier.batch_rank
    and not own.may_repeat
    and not earlier.may_repeat
    and not exists (
        select 1
        from build_load as o
        where o.file_columns @> array['is_deleted']
            or (
                o.load_id <> own.load_id
                and (
                    o.load_id > earlier.load_id
                    or o.batch_rank > earlier.batch_rank
                    or o.latest_effective_ts > earlier.as_of_ts
                )
            )
    )
    and not exists (
        select 1
        from load as l
        where l.load_id > earlier.load_id and l.load_id <= own.load_id and l.kind <> 'batch'
    );

-- name: file_columns
-- Which columns the file of each load has. One row per load.
select
    load_id,
    file_columns
from build_load;

-- name: classify
-- What each row of the load means for the current version of its key, and of a snapshot which
-- keys it lacks, with the row's values; rows that mean nothing are left out. One row per staged row
-- or absent key.
--   absent    the key is current and a snapshot lacks it
--   new       no version of the key is current
--   inferred  the key has only the row that a fact made for it
--   late      something later is or may be known, or the row lacks columns that other files have:
--             the history of the key is rebuilt
--   gone      a delete marker, and no row of its key is later
--   changed   a driver differs, and no row of its key is later
--   same      the drivers agree and a Type 1 attribute differs
create temporary table arrival on commit drop as
with arrived as (
    select
        s.source_line,
        {typed_columns},
        {marked} is true as is_deleted,
        {effective} as effective_ts
    from {staging} as s
    where s.load_id = %(load_id)s and {can_differ}
),

current_version as (
    select *
    from {dim}
    where current_flag
),

classified as (
    select
        {keys_of_either},
        {values_of_a},
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
            -- Also a row that agrees but is earlier: the values are known since then.
            when a.effective_ts < coalesce(c.known_from_ts, c.validity_start_ts)
                or %(out_of_order)s
                then 'late'
            when a.is_deleted or {file_drivers_differ}
                then case
                    when
                        a.effective_ts <= c.validity_start_ts
                        or a.effective_ts <= %(known_until)s
                        or %(columns_vary)s
                        then 'late'
                    when a.is_deleted then 'gone'
                    else 'changed'
                end
            when {file_type_1_differ}
                then case when %(columns_vary)s then 'late' else 'same' end
        end as class,
        {file_type_1_differ} as corrects
    from arrived as a
    {left_or_full_join} current_version as c on {same_key_a_c}
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
        when class in ('new', 'inferred', 'changed') and not is_deleted then {hash_of_v}
    end as attr_hash
from classified as v
where class is not null;

-- name: any_row
-- Every row can differ from the current version. A fragment.
true  -- noqa: PRS, part of a where clause

-- name: other_row
-- Only a row that the snapshot before lacks can differ from the current version. A fragment.
s.source_line in (  -- noqa: PRS, part of a where clause
    select unnest(r.other_lines)
    from access.row_fingerprint as r
    where r.load_id = %(load_id)s and r.feed = %(feed)s
)

-- name: count_current
-- How many keys have a current version that their feed brought. One row.
select count(*)
from {dim}
where current_flag and not is_inferred and {sk} > 0;

-- name: add_absent
-- The keys that a snapshot lacks, where only rows that can differ were compared. One row per key.
insert into arrival ({keys}, effective_ts, current_sk, class)
select
    {keys_of_c},
    c.validity_start_ts,
    c.{sk},
    'absent'
from {dim} as c
where c.current_flag and not c.is_inferred and c.{sk} > 0
    and not exists (
        select 1
        from {staging} as s
        where s.load_id = %(load_id)s and {same_key_s_c}
    );

-- name: remove_rejected_keys
-- A key that a rejected row of the snapshot names is not absent. One row per arrival removed.
delete from arrival as a
where a.class = 'absent' and {is_named_a};

-- name: count_classes
-- How many arrivals there are of each class. One row per class.
select
    class,
    count(*)
from arrival
group by class;

-- name: analyze_arrival
-- Statistics of the columns by which arrivals are looked up. No rows.
analyze arrival (source_line, {keys}, class, current_sk);
