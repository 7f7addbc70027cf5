-- Settled partitions of staging in files: what goes, what has gone, and what comes back.
--
--   before    partition            loads  rows     file
--             claims_raw_000001    1      500      none yet
--             claims_raw_000002    2-33   900      none yet: load 33 may still come
--
--   after     claims_raw_000001    1        0      claims-1-1-….parquet, 500 rows
--             claims_raw_000002    2-33   900

-- name: settled
-- Partitions of a staging table that no load comes to any more, with rows of batches from before a
-- day alone. One row per partition, the oldest first.
with newest as (
    select max(load_id) as load_id
    from load
),

loaded as (
    select
        p.partition_name,
        p.first_load,
        p.end_load,
        f.rows_loaded,
        l.status,
        l.as_of
    from ({stage/load_ranges.ranges}) as p
    cross join newest as n
    inner join load as l on p.first_load <= l.load_id and p.end_load > l.load_id
    left join load_file as f
        on l.load_id = f.load_id and f.feed = %(feed)s and f.status = 'loaded'
    where p.end_load <= n.load_id + 1
)

select
    partition_name,
    sum(rows_loaded)::bigint as row_count,
    pg_total_relation_size(format('%%I.%%I', %(schema)s::text, partition_name)::regclass)
        as size_bytes
from loaded
group by partition_name, first_load
having sum(rows_loaded) > 0
    and not bool_or(status in ('running', 'rebuilt'))
    and max(as_of) filter (where rows_loaded > 0) < %(before)s::date::timestamp at time zone 'UTC'
order by first_load;

-- name: has_rows
-- Whether a partition has any row. One row.
select exists(select 1 from {partition});

-- name: begin
-- Say which file is going to be written, so that what a killed run leaves of it is found. One row.
insert into staging_archive (feed, partition_name, file_name, os_user)
values (%(feed)s, %(partition_name)s, %(file_name)s, %(os_user)s)
returning archive_id;

-- name: keep_writers_out
-- Let nobody change the rows of a partition until the transaction ends; readers go on. No rows.
lock table {partition} in share row exclusive mode;

-- name: measure
-- What a table has of each load: rows, sums of money, days of service, and a sum over a hash of
-- each whole row, which differs between tables with other rows. One row per load.
select
    s.load_id,
    count(*) as row_count,
    {totals} as money_totals,
    min(s.service_date::date) as first_day,
    max(s.service_date::date) as last_day,
    sum(hash_record_extended(s, 0)::numeric) as row_hashes
from {table} as s
group by s.load_id
order by s.load_id;

-- name: rows
-- The rows of a partition in the order in which they came, with their batch; instants in UTC. What
-- has no value is empty, and an empty text is in quotes. One row per line.
copy (
    select {columns}
    from {partition} as s
    inner join load as l on s.load_id = l.load_id
    order by s.load_id, s.source_line, {row_key}
) to stdout with (format csv);

-- name: create_read_back
-- A table for the rows of a file, read back. No rows.
create temporary table {table} (like {partition}) on commit drop;

-- name: fill
-- Stream rows of a file into a table. One row per line.
copy {table} ({columns}) from stdin with (format csv);

-- name: finish
-- Say that the rows are in the file alone, in the transaction in which they leave staging. No rows.
update staging_archive
set
    state = 'archived',
    row_count = %(row_count)s,
    first_day = %(first_day)s,
    last_day = %(last_day)s,
    size_bytes = %(size_bytes)s,
    sha256 = %(sha256)s
where archive_id = %(archive_id)s;

-- name: delete_rows
-- Let the rows of a partition leave staging. One row per line.
delete from {partition};

-- name: vacuum
-- Give the room of rows that have gone back to the disk, once no reader sees them. No rows.
vacuum {partition};

-- name: is_vacant
-- Whether a partition has no page of rows, so that nobody sees any, and still room for indexes.
-- One row.
select
    pg_relation_size(%(partition)s::regclass) = 0
    and pg_indexes_size(%(partition)s::regclass) > %(least_bytes)s;

-- name: truncate
-- Give the room of the indexes of rows that nobody sees back to the disk. No rows.
truncate table {partition};

-- name: files
-- Files of feeds whose rows are in no table: those with rows of some loads, or of days of service
-- from before a day, if these are named. One row per file.
select
    a.archive_id,
    a.feed,
    a.partition_name,
    a.file_name,
    a.row_count,
    a.first_day,
    a.last_day,
    a.size_bytes,
    a.sha256
from staging_archive as a
where a.state = 'archived' and a.feed = any(%(feeds)s)
    and (
        %(loads)s::bigint[] is null
        or exists (
            select 1
            from staging_archive_load as l
            where l.archive_id = a.archive_id and l.load_id = any(%(loads)s)
        )
    )
    and (%(horizon)s::date is null or a.first_day is null or a.first_day < %(horizon)s)
order by a.archive_id;

-- name: return
-- Say that the rows of files are in staging again, in the transaction in which they come. No rows.
update staging_archive
set
    state = 'returned',
    returned_at = clock_timestamp()
where archive_id = any(%(archive_ids)s);

-- name: return_all
-- Say so of all files: a full load has taken in what they were made of. One row per file.
update staging_archive
set
    state = 'returned',
    returned_at = clock_timestamp()
where state = 'archived';

-- name: to_remove
-- Files that nobody needs: half written, or with rows that are in staging again. One row per file.
select
    archive_id,
    file_name
from staging_archive
where state in ('writing', 'returned')
order by archive_id;

-- name: forget
-- Forget a file that was never whole. No rows.
delete from staging_archive
where archive_id = %(archive_id)s and state = 'writing';

-- name: note_removed
-- Say that a file is removed. No rows.
update staging_archive
set state = 'removed'
where archive_id = %(archive_id)s and state = 'returned';

-- name: summary
-- What is archived. One row.
select
    count(*) as files,
    coalesce(sum(row_count), 0)::bigint as row_count,
    coalesce(sum(size_bytes), 0)::bigint as size_bytes
from staging_archive
where state = 'archived';

-- name: claims_that_ask
-- Claims of loads of which rows that came before are asked for whether the load is late or not: by
-- a gate, of claims that it may reverse, and by the horizon, of days before it. One row per claim.
select r.claim_id::text as claim_id
from claims_raw as r
where r.load_id = any(%(loads)s)
    and (
        {r_is_reversal}
        or (
            %(horizon)s::date is not null
            and (r.service_date < %(horizon)s or r.service_date is null)
        )
    );

-- name: parts_that_ask
-- The same of the lines or diagnoses of a load. One row per row.
select r.claim_id::text as claim_id
from {staging} as r
where r.load_id = any(%(loads)s)
    and %(horizon)s::date is not null and r.service_date < %(horizon)s;

-- name: old_claims
-- Claims of a staging table with a row from before a day. One row per claim.
select distinct r.claim_id::text as claim_id
from {staging} as r
where r.service_date < %(horizon)s or r.service_date is null;
