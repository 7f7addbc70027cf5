-- Runs of retention: from which day on rows are kept, and what went.

-- name: horizon
-- The day before which rows have gone and count as expired when they come again; empty if nobody
-- ever let any go. One row.
select max(horizon)
from retention_run;

-- name: day_to_count_from
-- The day from which years are counted back: that of the newest batch, or of the clock if that is
-- earlier. At most one row: none if nothing is loaded.
select least(newest.as_of, clock_timestamp()) at time zone 'UTC'
from (
    {ledger/ledger.newest_batch}
) as newest (as_of)
where newest.as_of is not null;

-- name: folders
-- Folders of the archive that runs have filled. One row per run.
select archive_folder
from retention_run;

-- name: note
-- Record a run of retention. One row.
insert into retention_run (
    horizon, years, counted_from, why, archive_folder, manifest_sha256, os_user
)
values (
    %(horizon)s,
    %(years)s,
    %(counted_from)s,
    %(why)s,
    %(archive_folder)s,
    %(manifest_sha256)s,
    %(os_user)s
)
returning retention_run_id;

-- name: cubes_are_stale
-- Let every cube be made again as a whole: no past row says what has gone. One row per cube.
update cube_refresh
set load_id = null
where schema_name = %(schema)s;

-- name: empty_months
-- Partitions of claims from before the horizon, and of what they consist of. One row per partition.
select b.relname
from ({facts/5_partitions.bounds}) as b
where b.next_day <= (
    select max(r.horizon)
    from retention_run as r
)
order by b.relname;

-- name: has_rows
-- Whether a partition has any row. One row.
select exists(select 1 from {partition});

-- name: drop_month
-- Drop a partition. No rows.
drop table {partition};

-- name: files_done_with
-- Files all of whose rows have expired. One row per file.
select
    l.batch_id,
    f.file_name
from load_file as f
inner join load as l on f.load_id = l.load_id
where l.status = 'loaded' and f.status = 'loaded' and f.rows_loaded = 0 and f.rows_expired > 0
order by l.load_id, f.feed;
