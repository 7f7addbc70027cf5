-- name: drop_schema
-- Clear away a build that is not live. No rows.
drop schema if exists {schema} cascade;

-- name: schema_exists
-- Whether a schema is there. One row.
select to_regnamespace(%(schema)s) is not null;

-- name: rename_schema
-- Give a schema another name; sessions that read it are not disturbed. No rows.
alter schema {schema} rename to {new_name};

-- name: copy_schema_grants
-- Statements that give the new schema the grants of the old one, but for roles whose rights are
-- declared. One row per grant.
select format(
    'grant %%s on schema %%I to %%s%%s',
    a.privilege_type,
    %(to_schema)s::text,
    case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
    case when a.is_grantable then ' with grant option' else '' end
) as statement
from pg_namespace as n
cross join lateral aclexplode(n.nspacl) as a
where n.nspname = %(from_schema)s and a.grantee <> n.nspowner
    and a.grantee::regrole::text <> all(%(declared_roles)s);

-- name: grants
-- Who may do what with tables and views, and with single columns: a part of statements that grant
-- it again. One row per grant.
select
    acls.oid,
    acls.column_name,
    a.grantee,
    a.privilege_type || coalesce(' (' || quote_ident(acls.column_name) || ')', '') as may,
    case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end
    || case when a.is_grantable then ' with grant option' else '' end as to_whom
from (
    select
        oid,
        null::name as column_name,
        relacl as acl
    from pg_class
    union all
    select
        attrelid,
        attname,
        attacl
    from pg_attribute
) as acls
cross join lateral aclexplode(acls.acl) as a;

-- name: copy_table_grants
-- Statements that give the new tables, views and columns the grants of the old ones, but for roles
-- whose rights are declared.
-- One row per grant.
select format(
    'grant %%s on %%I.%%I to %%s', g.may, %(to_schema)s::text, c.relname, g.to_whom
) as statement
from ({rebuild/swap.grants}) as g
inner join pg_class as c on g.oid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_namespace as m on m.nspname = %(to_schema)s
inner join pg_class as t on m.oid = t.relnamespace and c.relname = t.relname
left join pg_attribute as a
    on t.oid = a.attrelid and g.column_name = a.attname and not a.attisdropped
where n.nspname = %(from_schema)s and c.relkind in ('r', 'p', 'm', 'v')
    and g.grantee <> c.relowner and (g.column_name is null or a.attname is not null)
    and g.grantee::regrole::text <> all(%(declared_roles)s);

-- name: copy_function_grants
-- Statements that give the new functions the grants of the old ones, and take from everybody what
-- was taken from them; functions whose grants nobody changed have none. One row per statement.
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

-- name: make_boundary
-- A table that nobody reads, for the index that finds older snapshots. No rows.
create table if not exists ledger.older_snapshots (id integer);

-- name: await_older_snapshots
-- Wait until every transaction in the database has ended whose snapshot is older than this
-- statement. The server sees the snapshots of all roles, which the role of a loader may not, and
-- waits for them before an index may be used that was made concurrently. No rows.
create index concurrently on ledger.older_snapshots (id);

-- name: drop_boundary
-- Clear that table away. No rows.
drop table if exists ledger.older_snapshots;

-- name: older_snapshots
-- Sessions that may have a snapshot that the swap waits for: those seen to have one, and those of
-- other roles that are in a transaction of which no more can be seen. The server's own processes,
-- such as autovacuum, have no user and are not waited for. The longest first.
-- One row per session.
select
    a.pid,
    a.usename,
    a.application_name
from pg_stat_activity as a
where a.datname = current_database() and a.usename is not null
    and a.application_name !~ '^aca-warehouse'
    and (
        a.backend_xmin is not null
        or (
            a.query = '<insufficient privilege>'
            and exists (
                select 1
                from pg_locks as l
                where l.pid = a.pid and l.locktype = 'virtualxid' and l.granted
            )
        )
    )
order by a.xact_start nulls last, a.pid;

-- name: tables
-- The tables of a build, their partitions apart. One row per table.
select
    n.nspname as schema_name,
    t.relname as table_name
from pg_class as t
inner join pg_namespace as n on t.relnamespace = n.oid
where n.nspname = any(%(schemas)s) and t.relkind in ('r', 'p') and not t.relispartition
order by n.nspname, t.relname;

-- name: lock_tables
-- Have these tables, with their partitions, while nobody reads them. No rows.
lock table {tables} in access exclusive mode;

-- name: materialized_views
-- The materialized views of a build, with their owners. One row per view.
select
    n.nspname as schema_name,
    v.relname as view_name,
    pg_get_userbyid(v.relowner) as owner
from pg_class as v
inner join pg_namespace as n on v.relnamespace = n.oid
where n.nspname = any(%(schemas)s) and v.relkind = 'm'
order by v.relname;

-- name: lock_materialized_view
-- Have a materialized view while nobody reads it. There is no statement that only locks one; this
-- takes an access exclusive lock and changes nothing. No rows.
alter materialized view {view} owner to {owner};

-- name: reports_go_on
-- Whether a session has a snapshot in a transaction that began before its latest statement: it
-- may have read tables before and read others later. One row.
select count(*) > 0 as go_on
from pg_stat_activity as a
where a.datname = current_database() and a.application_name !~ '^aca-warehouse'
    and a.backend_type = 'client backend' and a.backend_xmin is not null
    and (a.state <> 'active' or a.xact_start < a.query_start);
