-- What the ledger keeps of backups and drills.

-- name: enter_backup
-- Enter a backup, or what is new of one that is there. One row.
insert into ledger.backup as b (
    kind, started_at, finished_at, path, bytes, proven_at, parent_backup_id
)
values (
    %(kind)s, %(started_at)s, %(finished_at)s, %(path)s, %(bytes)s, %(proven_at)s,
    (select p.backup_id from ledger.backup as p where p.path = %(parent)s)
)
on conflict (path) do update
    set proven_at = excluded.proven_at, deleted_at = null
    where (b.proven_at, b.deleted_at) is distinct from (excluded.proven_at, null);

-- name: note_deleted
-- Enter that backups are gone: all but these. One row per backup.
update ledger.backup
set deleted_at = clock_timestamp()
where deleted_at is null and not (path = any(%(paths)s));

-- name: enter_drill
-- Enter how a drill ended. One row.
insert into ledger.drill (
    backup_id, started_at, finished_at, succeeded, rto_seconds, rpo_seconds, message
)
select
    b.backup_id,
    %(started_at)s,
    clock_timestamp(),
    %(succeeded)s,
    %(rto_seconds)s,
    %(rpo_seconds)s,
    %(message)s
from ledger.backup as b
where b.path = %(path)s;
