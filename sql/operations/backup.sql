-- What backups and restores ask of a server.

-- name: tables
-- Every table and materialized view whose rows outlive the server. One row per relation.
select
    n.nspname,
    c.relname
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where c.relkind in ('r', 'm') and c.relpersistence = 'p' and c.relispopulated
    and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
order by n.nspname, c.relname;

-- name: checksum
-- Rows of a table and the sum of their hashes, which no order of rows changes. One row.
select
    count(*),
    coalesce(sum(hash_record_extended(t, 0)::numeric), 0)::text as checksum
from {table} as t;

-- name: checksum_of_text
-- The same for a table with columns that cannot be hashed otherwise. One row.
select
    count(*),
    coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text as checksum
from {table} as t;

-- name: snapshot
-- Which transactions the caller's sees: the first that did not end, the first that did not begin,
-- and those between that did not end. One row.
select
    pg_snapshot_xmax(s),
    coalesce((select array_agg(x.id) from pg_snapshot_xip(s) as x (id)), '{{}}') as running
from pg_current_snapshot() as s;

-- name: keep_log
-- Let the server keep its log from now on until this session ends. One row.
select pg_create_physical_replication_slot(%(slot)s, true, true);

-- name: mark
-- Put a mark into the log; where it is, in which segment, and when. One row.
select
    m.lsn,
    pg_walfile_name(m.lsn) as segment,
    clock_timestamp() as made_at
from (select pg_create_restore_point(%(mark)s) as lsn) as m;

-- name: end_segment
-- End the current segment of the log, so that all before is on disk. One row.
select pg_switch_wal();

-- name: system
-- The database system, the line of its log, its bytes, and whether the log is kept. One row.
select
    (select s.system_identifier from pg_control_system() as s) as system,
    (select c.timeline_id from pg_control_checkpoint() as c) as timeline,
    (select sum(pg_database_size(d.oid)) from pg_database as d)::bigint as bytes,
    current_setting('archive_mode') = 'on' as keeps_log,
    (
        select count(*) > 0 from pg_tablespace as t
        where t.spcname not in ('pg_default', 'pg_global')
    ) as has_tablespaces;

-- name: build
-- The full load whose tables are live; 0 where there was none. One row.
select coalesce(max(l.build_id), 0)
from ledger.load as l
where l.live_at is not null;

-- name: is_recovering
-- Whether the server still reads a log. One row.
select pg_is_in_recovery();

-- name: last_replayed
-- When the last transaction ended that came from the log; NULL where none did. One row.
select pg_last_xact_replay_timestamp();

-- name: staging_files
-- Files whose rows are in no table of staging, with their checksums. One row per file.
select
    file_name,
    sha256
from ledger.staging_archive
where state = 'archived'
order by archive_id;
