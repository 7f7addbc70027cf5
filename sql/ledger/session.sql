-- name: work_session
-- Settings of the session that does the work, before it makes its first temporary table. One row.
select set_config('temp_buffers', '128MB', false);

-- name: work_transaction
-- Settings of the transaction of a stage or of the checks: sets are large and one run is alone, so
-- both cores and some memory may be used; a reader's settings are untouched. A step on a few rows
-- is done before a worker has started, so that has its usual cost. More workers may be asked for
-- than there are cores: those of a step that has ended count until they are cleared away, and the
-- next step would go without. What the statistics say is asked again each time: a stage renews
-- them and then asks which are stale. One row.
select
    set_config('stats_fetch_consistency', 'none', true),
    set_config('work_mem', '192MB', true),
    set_config('maintenance_work_mem', '512MB', true),
    set_config('parallel_setup_cost', '1000', true),
    set_config('parallel_tuple_cost', '0', true),
    set_config('max_parallel_workers', '6', true),
    set_config('max_parallel_workers_per_gather', '2', true);

-- name: checks_transaction
-- Settings of the transaction of the checks, next to those of a stage: they group claims with their
-- day, so that each partition can be grouped by itself, side by side and in little memory. One row.
select set_config('enable_partitionwise_aggregate', 'on', true);

-- name: one_of_two
-- Settings of the transaction of one of two sessions that check side by side: each has half of the
-- cores, so on two of them a statement gets no workers, which cost more than they bring where the
-- other session keeps the second core busy. One row.
select set_config(
    'max_parallel_workers_per_gather', greatest(0, s.reset_val::integer / 2 - 1)::text, true
)
from pg_settings as s
where s.name = 'max_parallel_workers';

-- name: part_transaction
-- Settings of the transaction of a part of a stage that two sessions share: what refers to
-- dimensions locks them against the other session until it ends, which takes what it takes. One
-- row.
select set_config('lock_timeout', '0', true);

-- name: last_known
-- The last load before a load whose rows were known. One row.
select coalesce(max(l.load_id), 0)
from load as l
where l.load_id < %(load_id)s and l.status in ('loaded', 'running', 'rebuilt');

-- name: next_load
-- The load that comes next. One row.
select coalesce(max(l.load_id), 0) + 1
from load as l;

-- name: name_load
-- Say for the transaction which load changes rows; a cluster sends this text to its nodes, and
-- would not a call that does the same. No rows.
set local {setting} = {load_id};

-- name: waited_for
-- Whom sessions of the warehouse wait for at a lock of the database: others that have it or asked
-- for it before. What a role may not see of them is NULL. One row per session.
select distinct
    blocking.pid,
    {ledger/session.activity}
from pg_locks as waiting
inner join pg_stat_activity as ours on waiting.pid = ours.pid
cross join lateral unnest(pg_blocking_pids(waiting.pid)) as blocking (pid)
left join pg_stat_activity as a on blocking.pid = a.pid
where not waiting.granted and waiting.waitstart < clock_timestamp() - interval '500 milliseconds'
    and ours.datname = current_database() and ours.usename = current_user
    and ours.application_name like 'aca-warehouse%%'
    and coalesce(a.application_name, '') not like 'aca-warehouse%%'
order by since;

-- name: activity
-- What is seen of a session a: who, from where, since when and with what; NULL where the role may
-- not see it. A fragment.
a.usename as user_name,  -- noqa: PRS, columns of a select
a.application_name as program,
coalesce(host(a.client_addr), case when a.state is not null then 'this machine' end) as address,
a.xact_start as since,
a.state,
nullif(a.query, '<insufficient privilege>') as query

-- name: who_locks
-- Sessions that let nobody read a table of the warehouse. What a role may not see of them is NULL.
-- One row per session.
select distinct
    l.pid,
    {ledger/session.activity}
from pg_locks as l
inner join pg_database as d on l.database = d.oid and d.datname = current_database()
left join pg_stat_activity as a on l.pid = a.pid
where l.locktype = 'relation' and l.granted and l.mode = 'AccessExclusiveLock'
    and l.pid is distinct from pg_backend_pid()
order by since;

-- name: who_runs
-- The sessions that have the lock of a warehouse: of this database, or of any on the server.
-- One row per run.
select
    l.pid,
    a.application_name,
    a.usename,
    to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') as since
from pg_locks as l
inner join pg_stat_activity as a on l.pid = a.pid
where l.locktype = 'advisory' and l.granted
    and l.classid = 0 and l.objid = %(key)s and l.objsubid = 1
    and (%(anywhere)s or a.datname = current_database())
order by l.pid;

-- name: is_migrated
-- Whether migrations ever ran here. One row.
select to_regclass('public.alembic_version') is not null;

-- name: revision
-- The newest migration that ran here. One row.
select version_num from public.alembic_version;

-- name: are_stale
-- Whether more of a table has changed since its statistics were gathered than may, by earlier
-- transactions or this one; a table that was never looked at is stale. The rows that a table was
-- made with count as changed although they were looked at in the same transaction, since that is
-- counted when it ends: they are taken off until a later look has set the count back. One row.
select
    c.reltuples <= 0
    or counted.changed_earlier
    - case when counted.changed_earlier = counted.changed_ever then c.reltuples else 0 end
    + counted.changed_now > c.reltuples * %(share)s
from pg_class as c
cross join lateral (
    select
        pg_stat_get_mod_since_analyze(c.oid) as changed_earlier,
        pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid)
        + pg_stat_get_tuples_deleted(c.oid) as changed_ever,
        pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
        + pg_stat_get_xact_tuples_deleted(c.oid) as changed_now
) as counted
where c.oid = to_regclass(%(table)s);

-- name: settle_counts
-- Send the session's pending counts of changed rows to the statistics when the
-- statement ends, so that the next transaction counts its own. One row.
select pg_stat_force_next_flush();

-- name: stale_tables
-- Tables of a build whose statistics the current transaction has left behind: it changed more than
-- a share of their rows and did not analyze them; or a partitioned table whose partitions have
-- come to have so many more than it knows, for autovacuum never looks at one as a whole. With
-- the columns by which rows are found and joined. One row per table.
with changed as (
    select
        relid,
        n_tup_ins + n_tup_upd + n_tup_del as changes
    from pg_stat_xact_user_tables
    where schemaname = any(%(schemas)s)
),

touched as (
    select
        relid,
        changes,
        null::double precision as rows_in_partitions
    from changed
    union all
    select
        i.inhparent,
        sum(coalesce(c.changes, 0)),
        sum(greatest(p.reltuples, 0))
    from pg_inherits as i
    inner join pg_class as p on i.inhrelid = p.oid and p.relkind in ('r', 'p')
    left join changed as c on i.inhrelid = c.relid
    group by i.inhparent
    having sum(c.changes) > 0
)

select
    n.nspname as schema_name,
    t.relname as table_name,
    t.relkind = 'p' as is_partitioned,
    array_agg(a.attname order by a.attnum) as columns
from touched as h
inner join pg_class as t on h.relid = t.oid and t.relkind in ('r', 'p')
inner join pg_namespace as n on t.relnamespace = n.oid
inner join pg_attribute as a on t.oid = a.attrelid
where n.nspname = any(%(schemas)s)
    and (
        h.changes > %(share)s * greatest(t.reltuples, 0)
        or abs(h.rows_in_partitions - t.reltuples) > %(share)s * h.rows_in_partitions
    )
    and coalesce(pg_stat_get_last_analyze_time(t.oid) < now(), true)
    and (
        exists (
            select 1
            from pg_index as i
            where i.indrelid = t.oid and a.attnum = any(i.indkey)
        )
        or exists (
            select 1
            from pg_constraint as k
            where k.conrelid = t.oid and a.attnum = any(k.conkey) and k.contype in ('p', 'u', 'f')
        )
    )
group by n.nspname, t.relname, t.relkind
order by n.nspname, t.relname;

-- name: renew_statistics
-- Refresh the planner's statistics of these columns of a table. No rows.
analyze {only} {table} ({columns});
