-- What dumps, and restores of them, ask of a server.

-- name: snapshot
-- The transaction's snapshot, for others to read in, and when it was taken. One row.
select
    pg_export_snapshot(),
    transaction_timestamp() as taken_at;

-- name: size
-- Bytes of the database. One row.
select pg_database_size(current_database());

-- name: create_database
-- An empty database as the warehouse needs it. No row.
create database {database} encoding 'UTF8' template template0;

-- name: drop_database
-- Drop a database if it is there, with the sessions on it. No row.
drop database if exists {database} with (force);

-- name: rename_database
-- Give a database another name. No row.
alter database {database} rename to {name};

-- name: end_sessions
-- End the sessions on some databases that the role may end. One row per session.
select pg_terminate_backend(a.pid)
from pg_stat_activity as a
inner join pg_roles as theirs on a.usesysid = theirs.oid
inner join pg_roles as ours on ours.rolname = current_user
where a.datname = any(%(databases)s) and a.pid <> pg_backend_pid()
    and (ours.rolsuper or not theirs.rolsuper)
    and (pg_has_role(a.usesysid, 'usage') or pg_has_role('pg_signal_backend', 'usage'));

-- name: kept
-- Databases whose name begins so. One row per database.
select d.datname
from pg_database as d
where starts_with(d.datname, %(prefix)s)
order by d.datname;
