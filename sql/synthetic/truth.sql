-- Checks of a synthetic warehouse against the truth that the generator wrote of its feeds.

-- name: dimension_counts
-- What a dimension contains, counted as the truth counts: keys, versions and current rows that a
-- feed brought, and inferred rows. The unknown row counts for nothing. One row.
select
    count(distinct row({key})) filter (where not is_inferred) as keys,
    count(*) filter (where not is_inferred) as versions,
    count(*) filter (where not is_inferred and current_flag) as current,
    count(*) filter (where is_inferred) as inferred
from {dim}
where {sk} <> -1;

-- name: dimension_counts_after
-- What a dimension contained after each of some loads, counted in the same way, from its rows and
-- those kept as they were: a row was known from the load that made it, or that had last changed it,
-- up to the one that changed it next. A key has one version that begins in 1900, so these count the
-- keys. One row per load, in order.
with rows_known as (
    select
        {sk},
        load_id,
        9223372036854775807 as known_to_load_id,
        validity_start_ts,
        current_flag,
        is_inferred
    from {dim}
    union all
    select
        {sk},
        load_id,
        known_to_load_id,
        validity_start_ts,
        current_flag,
        is_inferred
    from {past}
),

spans as (
    select
        greatest(
            r.load_id,
            lag(r.known_to_load_id) over (partition by r.{sk} order by r.known_to_load_id)
        ) as from_load_id,
        r.known_to_load_id as to_load_id,
        (not r.is_inferred and r.validity_start_ts = {beginning})::integer as keys,
        (not r.is_inferred)::integer as versions,
        (not r.is_inferred and r.current_flag)::integer as current,
        r.is_inferred::integer as inferred
    from rows_known as r
    where r.{sk} <> -1
),

changes as (
    select
        p.load_id,
        sum(p.sign * s.keys) as keys,
        sum(p.sign * s.versions) as versions,
        sum(p.sign * s.current) as current,
        sum(p.sign * s.inferred) as inferred
    from spans as s
    cross join lateral (
        values
        (s.from_load_id, 1),
        (s.to_load_id, -1)
    ) as p (load_id, sign)
    where s.from_load_id < s.to_load_id
    group by p.load_id
)

select
    coalesce(sum(c.keys), 0)::bigint as keys,
    coalesce(sum(c.versions), 0)::bigint as versions,
    coalesce(sum(c.current), 0)::bigint as current,
    coalesce(sum(c.inferred), 0)::bigint as inferred
from unnest(%(loads)s::bigint[]) as l (load_id)
left join changes as c on l.load_id >= c.load_id
group by l.load_id
order by l.load_id;

-- name: batches
-- The batches of the build in the order of their loads; batches come in the order of their names
-- where is_in_order. Only loads that have been live are included. One row per batch.
select
    last_of_batch.batch_id,
    case when last_of_batch.is_kept then last_of_batch.load_id end as kept_load_id,
    last_of_batch.first_load_id > lag(last_of_batch.load_id, 1, 0::bigint) over (
        order by last_of_batch.batch_id collate "C"
    ) as is_in_order
from (
    select
        l.batch_id,
        min(l.load_id) as first_load_id,
        max(l.load_id) as load_id,
        bool_and(l.live_at is not null) as is_kept
    from load as l
    where l.status = any(%(statuses)s)
        and exists (
            select 1
            from load_file as f
            where f.load_id = l.load_id and f.status = 'loaded'
        )
    group by l.batch_id
) as last_of_batch
order by last_of_batch.load_id;

-- name: files
-- The files of the build, as the ledger has them, without those of which people corrected
-- rows: the truth is about what was sent. One row per file.
select
    l.batch_id,
    f.feed,
    f.file_name,
    f.xxh3_128,
    f.rows_read,
    -- What has expired since was loaded as the truth says.
    f.rows_loaded + f.rows_expired as rows_loaded,
    f.rows_rejected,
    f.rows_duplicate,
    f.totals
from load_file as f
inner join load as l on f.load_id = l.load_id
where f.status = 'loaded' and l.status = any(%(statuses)s)
    and not exists (
        select 1
        from correction as c
        where c.feed = f.feed and c.xxh3_128 = f.xxh3_128
    );
