-- name: drop_schema
-- Clear away a build that is not live. No rows.
drop schema if exists {schema} cascade;

-- name: schema_exists
-- Whether a schema is there. One row.
select to_regnamespace(%(schema)s) is not null;

-- name: rename_schema
-- Give a schema another name; sessions that read it are not disturbed. No rows.
alter schema {schema} rename to {new_name};

-- name: dependent_views
-- Views outside the build that read from it, nearest first, with their definitions as they read
-- before the swap. One row a view.
with recursive reads as (
    select distinct
        v.oid,
        1 as depth
    from pg_class as v
    inner join pg_rewrite as w on v.oid = w.ev_class
    inner join pg_depend as d on w.oid = d.objid and d.classid = 'pg_rewrite'::regclass
    inner join pg_class as t on d.refobjid = t.oid and d.refclassid = 'pg_class'::regclass
    inner join pg_namespace as n on t.relnamespace = n.oid
    where n.nspname = any(%(schemas)s) and v.relkind = 'v'
        and v.relnamespace <> all(
            array(select s.oid from pg_namespace as s where s.nspname = any(%(schemas)s))
        )
)

select
    n.nspname as schema_name,
    c.relname as view_name,
    pg_get_viewdef(c.oid) as definition
from reads as r
inner join pg_class as c on r.oid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
order by n.nspname, c.relname;

-- name: replace_view
-- Let a view read from the build that is live now; its grants and its own readers stay.
create or replace view {view} as {definition};

-- name: blockers
-- What still reads from a retired build: it is kept until that is gone. One row an object.
select distinct c.oid::regclass::text as object
from pg_class as c
inner join pg_rewrite as w on c.oid = w.ev_class
inner join pg_depend as d on w.oid = d.objid and d.classid = 'pg_rewrite'::regclass
inner join pg_class as t on d.refobjid = t.oid and d.refclassid = 'pg_class'::regclass
inner join pg_namespace as n on t.relnamespace = n.oid
inner join pg_namespace as m on c.relnamespace = m.oid
where n.nspname = any(%(schemas)s) and m.nspname <> all(%(schemas)s);

-- name: copy_schema_grants
-- Statements that give the new schema the grants of the old one. One row a grant.
select format(
    'grant %%s on schema %%I to %%s',
    a.privilege_type,
    %(to_schema)s::text,
    case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end
) as statement
from pg_namespace as n
cross join lateral aclexplode(n.nspacl) as a
where n.nspname = %(from_schema)s and a.grantee <> n.nspowner;

-- name: copy_table_grants
-- Statements that give the new tables and views the grants of the old ones. One row a grant.
select format(
    'grant %%s on %%I.%%I to %%s',
    a.privilege_type,
    %(to_schema)s::text,
    c.relname,
    case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end
) as statement
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_namespace as m on m.nspname = %(to_schema)s
inner join pg_class as t on m.oid = t.relnamespace and c.relname = t.relname
cross join lateral aclexplode(c.relacl) as a
where n.nspname = %(from_schema)s and c.relkind in ('r', 'p', 'm', 'v')
    and a.grantee <> c.relowner;

-- name: lock_patience
-- How long to wait for the last readers of a retired build. One row.
select set_config('lock_timeout', '5s', true);

-- name: boundary
-- A transaction id that every snapshot taken from now on is later than. One row.
select pg_current_xact_id()::text;

-- name: older_snapshots
-- Sessions whose transaction may have begun before the boundary: to them the tables of the
-- rebuild would be empty. One row a session.
select pid
from pg_stat_activity
where datname = current_database() and backend_type = 'client backend'
    and pid <> pg_backend_pid() and backend_xmin is not null
    and age(backend_xmin) > age((%(boundary)s)::xid);
