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
-- Views outside the build that read from it, with their definitions as they read before the swap
-- and their options. One row a view.
select distinct
    n.nspname as schema_name,
    v.relname as view_name,
    pg_get_viewdef(v.oid) as definition,
    coalesce(array_to_string(v.reloptions, ', '), '') as options
from pg_class as v
inner join pg_namespace as n on v.relnamespace = n.oid
inner join pg_rewrite as w on v.oid = w.ev_class
inner join pg_depend as d on w.oid = d.objid and d.classid = 'pg_rewrite'::regclass
inner join pg_class as t on d.refobjid = t.oid and d.refclassid = 'pg_class'::regclass
inner join pg_namespace as m on t.relnamespace = m.oid
where m.nspname = any(%(schemas)s) and v.relkind = 'v' and n.nspname <> all(%(schemas)s)
order by schema_name, view_name;

-- name: replace_view
-- Let a view read from the build that is live now; its grants and its own readers stay.
create or replace view {view} {options} as {definition};

-- name: blockers
-- What outside a retired build still depends on it: the build is kept until that is gone.
-- One row an object.
with gone as (
    select oid
    from pg_namespace
    where nspname = any(%(schemas)s)
),

needed as (
    select
        'pg_class'::regclass as class_id,
        oid
    from pg_class
    where relnamespace in (select oid from gone)
    union all
    select
        'pg_type'::regclass,
        oid
    from pg_type
    where typnamespace in (select oid from gone)
    union all
    select
        'pg_proc'::regclass,
        oid
    from pg_proc
    where pronamespace in (select oid from gone)
    union all
    select
        'pg_constraint'::regclass,
        oid
    from pg_constraint
    where connamespace in (select oid from gone)
)

select distinct pg_describe_object(d.classid, d.objid, 0) as object
from needed as n
inner join pg_depend as d on n.class_id = d.refclassid and n.oid = d.refobjid
-- Each is looked up by its number: the statistics of the catalogs are old after a rebuild.
cross join lateral (
    select t.typnamespace as namespace_id
    from pg_type as t
    where d.classid = 'pg_type'::regclass and t.oid = d.objid
    union all
    select p.pronamespace
    from pg_proc as p
    where d.classid = 'pg_proc'::regclass and p.oid = d.objid
    union all
    select k.connamespace
    from pg_constraint as k
    where d.classid = 'pg_constraint'::regclass and k.oid = d.objid
    union all
    select c.relnamespace
    from pg_class as c
    where c.oid = case d.classid
        when 'pg_class'::regclass then d.objid
        when 'pg_rewrite'::regclass then (select ev_class from pg_rewrite where oid = d.objid)
        when 'pg_trigger'::regclass then (select tgrelid from pg_trigger where oid = d.objid)
        when 'pg_attrdef'::regclass then (select adrelid from pg_attrdef where oid = d.objid)
        when 'pg_policy'::regclass then (select polrelid from pg_policy where oid = d.objid)
    end
) as needing
inner join pg_namespace as m on needing.namespace_id = m.oid
where m.nspname <> all(%(schemas)s) and m.nspname !~ '^pg_' and d.deptype in ('n', 'a')
order by object;

-- name: copy_schema_grants
-- Statements that give the new schema the grants of the old one. One row a grant.
select format(
    'grant %%s on schema %%I to %%s%%s',
    a.privilege_type,
    %(to_schema)s::text,
    case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
    case when a.is_grantable then ' with grant option' else '' end
) as statement
from pg_namespace as n
cross join lateral aclexplode(n.nspacl) as a
where n.nspname = %(from_schema)s and a.grantee <> n.nspowner;

-- name: copy_table_grants
-- Statements that give the new tables, views and columns the grants of the old ones.
-- One row a grant.
with grants as (
    select
        c.oid,
        null::name as column_name,
        a.*
    from pg_class as c
    cross join lateral aclexplode(c.relacl) as a
    union all
    select
        t.attrelid,
        t.attname,
        a.*
    from pg_attribute as t
    cross join lateral aclexplode(t.attacl) as a
)

select format(
    'grant %%s%%s on %%I.%%I to %%s%%s',
    g.privilege_type,
    ' (' || quote_ident(g.column_name) || ')',
    %(to_schema)s::text,
    c.relname,
    case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end,
    case when g.is_grantable then ' with grant option' else '' end
) as statement
from grants as g
inner join pg_class as c on g.oid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_namespace as m on m.nspname = %(to_schema)s
inner join pg_class as t on m.oid = t.relnamespace and c.relname = t.relname
where n.nspname = %(from_schema)s and c.relkind in ('r', 'p', 'm', 'v')
    and g.grantee <> c.relowner;

-- name: copy_function_grants
-- Statements that give the new functions the grants of the old ones, and take from everybody what
-- was taken from them; functions whose grants nobody changed have none. One row a statement.
with functions as (
    select
        p.oid,
        n.nspname as schema_name,
        p.proowner,
        p.proacl,
        format('%%I(%%s)', p.proname, oidvectortypes(p.proargtypes)) as signature
    from pg_proc as p
    inner join pg_namespace as n on p.pronamespace = n.oid
)

select
    format(
        case
            when a.grantee is null then 'revoke all on function %%2$I.%%3$s from public'
            else 'grant %%1$s on function %%2$I.%%3$s to %%4$s%%5$s'
        end,
        a.privilege_type,
        %(to_schema)s::text,
        old.signature,
        case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
        case when a.is_grantable then ' with grant option' else '' end
    ) as statement
from functions as old
inner join functions as new on old.signature = new.signature and new.schema_name = %(to_schema)s
cross join lateral (
    select
        null::oid as grantee,
        null::text as privilege_type,
        null::boolean as is_grantable
    union all
    select
        grantee,
        privilege_type,
        is_grantable
    from aclexplode(old.proacl)
) as a
where old.schema_name = %(from_schema)s and old.proacl is not null
    and a.grantee is distinct from old.proowner
order by old.signature, a.grantee nulls first;

-- name: lock_patience
-- How long to wait for a lock in this transaction. One row.
select set_config('lock_timeout', %(patience)s, true);

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
