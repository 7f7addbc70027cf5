-- What transactions on replicas see, when a complete rebuild is to go live.

-- name: next_transaction
-- The first transaction that a snapshot taken now does not see, nor any later one. One row.
select (pg_snapshot_xmax(pg_current_snapshot())::xid)::text;

-- name: older_readers
-- Replicas on which a transaction has a snapshot from before another one, as they say each second;
-- also those that are not that far. One row per replica.
select split_part(s.slot_name, '_', 3)::integer as number
from pg_replication_slots as s
where s.slot_name like 'aca\_replica\_%%' and s.active
    and age(s.xmin) > age(%(boundary)s::xid)
order by number;

-- name: end_older_readers
-- End transactions on a replica whose snapshot is from before another one: a statement is canceled,
-- a session that waits within a transaction is ended. One row per transaction.
select
    case
        when a.state = 'active' then pg_cancel_backend(a.pid)
        else pg_terminate_backend(a.pid)
    end as is_ended
from pg_stat_activity as a
where a.datname = current_database() and a.backend_type = 'client backend'
    and a.pid <> pg_backend_pid() and age(a.backend_xmin) > age(%(boundary)s::xid);
