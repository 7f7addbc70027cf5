-- Replicas of the embedded server, and the slots through which they read its log.

-- name: make_slot
-- Let the server keep its log from now on for a replica. One row.
select pg_create_physical_replication_slot(%(slot)s, true);

-- name: drop_slot
-- Keep no log for a replica any more. One row if it had a slot.
select pg_drop_replication_slot(s.slot_name)
from pg_replication_slots as s
where s.slot_name = %(slot)s;

-- name: release_slot
-- End the session that reads through a slot. One row if there is one.
select pg_terminate_backend(s.active_pid, 5000)
from pg_replication_slots as s
where s.slot_name = %(slot)s and s.active_pid is not null;

-- name: slots
-- Each replica as the server sees it: whether it reads the log, how much of it is kept for it, how
-- far it is behind, and since when and why it reads no more. Bytes and seconds are None where
-- nobody reads. One row per slot of a replica.
select
    split_part(s.slot_name, '_', 3)::integer as number,
    s.active,
    coalesce(s.wal_status, 'lost') = 'lost' as is_lost,
    pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn)::bigint as lag_bytes,
    case
        when r.replay_lsn is not null then coalesce(extract(epoch from r.replay_lag), 0)::float8
    end as lag_seconds,
    s.inactive_since
from pg_replication_slots as s
left join pg_stat_replication as r on s.active_pid = r.pid
where s.slot_name like 'aca\_replica\_%%' and not pg_is_in_recovery()
order by number;

-- name: least_settings
-- Settings that a replica needs to be as large as the server's. One row per setting.
select
    name,
    setting
from pg_settings
where name in (
    'max_connections', 'max_worker_processes', 'max_wal_senders', 'max_prepared_transactions',
    'max_locks_per_transaction'
);

-- name: bytes
-- What all databases of the server take together. One row.
select sum(pg_database_size(oid))::bigint
from pg_database;

-- name: is_standby
-- Whether the server is itself one that can only be read. One row.
select pg_is_in_recovery();

-- name: end_of_log
-- Where the log ends. One row.
select pg_current_wal_lsn();

-- name: replayed
-- How far a replica is. One row.
select pg_last_wal_replay_lsn();

-- name: has_replayed
-- Whether a replica is as far as a place of the log. One row.
select pg_last_wal_replay_lsn() >= %(lsn)s::pg_lsn;
