-- Nodes of a cluster: the coordinator, which knows where shards are, and workers, which have them.

-- name: make_extension
-- Make the database that of a node.
create extension if not exists citus;

-- name: has_extension
-- Whether the database is that of a node. One row if it is.
select 1
from pg_extension
where extname = 'citus';

-- name: own_group
-- The number by which the coordinator knows this node: 0 before it does, and the coordinator's own.
-- One row.
select groupid
from pg_dist_local_group;

-- name: known
-- The nodes that the coordinator knows, by number: where each is, whether it is in use, and how
-- many shards it has, and how many that no other node has. One row per node.
select
    n.groupid,
    n.nodeid,
    n.nodename,
    n.nodeport,
    n.isactive and n.hasmetadata and n.metadatasynced as is_active,
    (select count(*) from pg_dist_placement as p where p.groupid = n.groupid) as shards,
    (
        select count(*)
        from pg_dist_placement as p
        where
            p.groupid = n.groupid
            and not exists (
                select from pg_dist_placement as o
                where o.shardid = p.shardid and o.groupid != p.groupid
            )
    ) as only_here
from pg_dist_node as n
where n.noderole = 'primary'
order by n.groupid;

-- name: set_coordinator
-- Say where the coordinator itself is, for the workers. One row.
select citus_set_coordinator_host(%(host)s, %(port)s);

-- name: add
-- Take a worker into use. One row: the number of its entry.
select citus_add_node(%(host)s, %(port)s);

-- name: move
-- A worker is somewhere else now. One row.
select citus_update_node(%(node)s, %(host)s, %(port)s);

-- name: remove
-- Forget a worker that has no shards. One row.
select citus_remove_node(%(host)s, %(port)s);

-- name: activate
-- Take a worker into use that is out of it. One row: the number of its entry.
select citus_activate_node(%(host)s, %(port)s);

-- name: sync
-- Let the workers know where all nodes are. One row.
select start_metadata_sync_to_all_nodes();

-- name: recover
-- End transactions that a killed node left prepared on others, as the coordinator decided them. One
-- row: how many.
select recover_prepared_transactions();

-- name: has_login
-- Whether there is such a role and it may log in. One row.
select count(*) > 0
from pg_roles
where rolname = %(role)s and rolcanlogin;

-- name: make_role
-- Have a role, on every node; one that is there stays as it is. No rows.
do $$
begin
    create role {role} nologin;
exception when duplicate_object or unique_violation then
    null;
end
$$;

-- name: let_log_in
-- Let a role log in to this node. No rows.
alter role {role} login;

-- name: logins
-- Logins of a worker, without superusers. One row per login.
select rolname
from pg_roles
where rolcanlogin and not rolsuper
order by rolname;
