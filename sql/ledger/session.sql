-- name: work_session
-- Settings of the session that does the work, before it makes its first temporary table. One row.
select set_config('temp_buffers', '128MB', false);

-- name: work_transaction
-- Settings of the transaction of a stage or of the checks: sets are large and one run is alone, so
-- both cores and some memory may be used; a reader's settings are untouched. More workers may be
-- asked for than there are cores: those of a step that has ended count until they are cleared
-- away, and the next step would go without. One row.
select
    set_config('work_mem', '192MB', true),
    set_config('maintenance_work_mem', '512MB', true),
    set_config('parallel_setup_cost', '0', true),
    set_config('parallel_tuple_cost', '0', true),
    set_config('max_parallel_workers', '6', true),
    set_config('max_parallel_workers_per_gather', '2', true);

-- name: is_migrated
-- Whether migrations ever ran here. One row.
select to_regclass('public.alembic_version') is not null;

-- name: revision
-- The newest migration that ran here. One row.
select version_num from public.alembic_version;

-- name: live_path
-- Where unqualified table names of the ledger's session resolve. One row.
select set_config('search_path', %(path)s, false);

-- name: are_stale
-- Whether more of a table has changed since its statistics were gathered than may, the rows of
-- this transaction among them; a table that was never looked at is stale. One row.
select
    reltuples <= 0
    or %(changed)s + pg_stat_get_mod_since_analyze(oid) > reltuples * %(stale_share)s
from pg_class
where oid = to_regclass(%(table)s);
