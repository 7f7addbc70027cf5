-- name: snapshots_of_load
-- The snapshots that a load brought. One row per feed, with its file and checksum.
select
    feed,
    file_name,
    xxh3_128 as checksum
from load_file
where load_id = %(load_id)s and kind = 'snapshot' and status = 'loaded'
order by feed;

-- name: snapshots_after
-- The snapshot of each feed that a load brings which comes next after it in the order of batches,
-- if it is loaded already. One row per feed, with its file, checksum and load.
select distinct on (f.feed)
    f.feed,
    f.file_name,
    f.xxh3_128 as checksum,
    l.load_id,
    l.batch_id,
    l.as_of
from load_file as f
inner join load as l on f.load_id = l.load_id
inner join batch_order as o on l.load_id = o.load_id
where f.kind = 'snapshot' and f.status = 'loaded' and {ledger/build.is_of_build}
    and o.batch_rank > (select batch_rank from batch_order where load_id = %(load_id)s)
    and f.feed in (
        select own.feed
        from load_file as own
        where own.load_id = %(load_id)s and own.status = 'loaded'
    )
order by f.feed, o.batch_rank;

-- name: loads_before
-- The loads that say which keys of a feed are there just before a load in the order of batches:
-- the latest snapshot before it and what came after that. One row: their ids in that order, or
-- null, the most keys that one of them has, and when the first of them was true.
with earlier as (
    select
        l.load_id,
        l.as_of,
        o.batch_rank,
        bool_or(f.kind = 'snapshot') as is_snapshot,
        max(f.distinct_keys) as keys
    from load_file as f
    inner join load as l on f.load_id = l.load_id
    inner join batch_order as o on l.load_id = o.load_id
    where f.feed = %(feed)s and f.status = 'loaded' and {ledger/build.is_of_build}
        and o.batch_rank < (select batch_rank from batch_order where load_id = %(load_id)s)
    group by l.load_id, l.as_of, o.batch_rank
),

since as (
    select coalesce(max(batch_rank) filter (where is_snapshot), 0) as first_rank
    from earlier
)

select
    array_agg(r.load_id order by r.batch_rank) as loads,
    coalesce(max(r.keys), 0) as most_keys,
    min(r.as_of) as first_as_of
from earlier as r
inner join since as s on r.batch_rank >= s.first_rank;

-- name: other_rows_before
-- How many rows of the load before a snapshot does not have as they were, which is at least as many
-- as it can end: known of fingerprints, where that load alone came before and has no delete marker.
-- At most one row.
select b.rows_loaded - (own.rows_loaded - cardinality(r.other_lines)) as other_rows
from access.row_fingerprint as r
inner join load_file as own on r.load_id = own.load_id and r.feed = own.feed
inner join load_file as b on r.same_as_load_id = b.load_id and r.feed = b.feed
where r.load_id = %(load_id)s and r.feed = %(feed)s
    and %(loads)s::bigint[] = array[r.same_as_load_id]
    and not exists (
        select 1
        from {table} as s
        where s.load_id = r.same_as_load_id and {marked}
    );

-- name: count_missing
-- How many rows of these loads name a key that a snapshot lacks, which is as many as can end, and
-- how many say that theirs is deleted. Goes past the rows once, on all cores. One row.
with missing as (
    select count(*) as missing_rows
    from {table} as s
    where s.load_id = any(%(loads)s)
        and not exists (
            select 1
            from {table} as p
            where p.load_id = %(load_id)s and {key_p_s}
        )
),

deleted as (
    select count(*) as deleted_rows
    from {table} as s
    where s.load_id = any(%(loads)s) and {marked} is true
)

select
    missing.missing_rows,
    deleted.deleted_rows
from missing
cross join deleted;

-- name: name_key
-- Write down a key that a rejected row of a snapshot names. One row per load, feed and key.
insert into rejected_key (load_id, feed, key)
values (%(load_id)s, %(feed)s, %(key)s)
on conflict do nothing;

-- name: repeat_keys
-- Give a load the keys of another one whose file is the same, of rows that are not in staging.
-- One row per load, feed and key.
insert into rejected_key (load_id, feed, key, reversed_in_full)
select
    %(load_id)s,
    feed,
    key,
    reversed_in_full
from rejected_key
where load_id = %(same_as)s and feed = %(feed)s
on conflict do nothing;

-- name: count_ending
-- How many keys these loads leave there, in their order, and how many of them another load lacks,
-- which may lie in another table, and does not name in a rejected row where that counts. A key
-- counts as gone where the last load that names it only says that it is deleted. One row.
with held as (
    select
        {keys_of_row},
        max(2 * l.place + case when {marked} is true then 0 else 1 end) as latest
    from {held_table} as s
    inner join unnest(%(loads)s::bigint[]) with ordinality as l (load_id, place)
        on s.load_id = l.load_id
    group by {keys_of_row}
),

present as (
    select distinct {keys_of_row}
    from {table} as s
    where s.load_id = %(load_id)s
)

select
    count(*) as held,
    count(*) filter (where p.{first_key} is null and not {is_named}) as ending
from held as h
left join present as p on {key_p_h}
where mod(h.latest, 2) = 1;
