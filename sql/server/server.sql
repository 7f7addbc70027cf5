-- name: database
-- How the database keeps text, whether it can only be read, and its size in bytes. One row.
select
    current_setting('server_encoding') as encoding,
    pg_is_in_recovery() as is_standby,
    pg_database_size(current_database()) as size_bytes;

-- name: has_database
-- Whether the server has a database of this name. One row if it has.
select 1
from pg_catalog.pg_database
where datname = %(database)s;

-- name: create_database
-- Make a database. No rows.
create database {database};

-- name: rights_lacking
-- What the role may not do that a run does: make schemas and temporary tables, keep the mark of the
-- migrations in schema public, alter the schemas that are there, and see every row of their tables.
-- With the role, the database and the statement that helps. One row per right that is lacking.
with names as (
    select
        quote_ident(current_user) as me,
        quote_ident(current_database()) as here,
        to_regnamespace('public') as place,
        to_regclass('public.alembic_version') as mark
)

select
    m.me,
    m.here,
    x.lack,
    x.remedy
from names as m
cross join lateral (
    select
        1 as place,
        'to create schemas' as lack,
        format('grant create on database %%s to %%s;', m.here, m.me) as remedy
    where not has_database_privilege(current_database(), 'create')
    union all
    select
        2,
        'to create temporary tables',
        format('grant temporary on database %%s to %%s;', m.here, m.me)
    where not has_database_privilege(current_database(), 'temporary')
    union all
    select
        3,
        'to create a table in schema public, which does not exist',
        format('create schema public authorization %%s;', m.me)
    where m.place is null
    union all
    select
        4,
        'to create a table in schema public',
        format('grant usage, create on schema public to %%s;', m.me)
    where m.mark is null and m.place is not null
        and not (has_schema_privilege(m.place, 'usage') and has_schema_privilege(m.place, 'create'))
    union all
    select
        5,
        'to change the table public.alembic_version',
        format('grant usage on schema public to %%1$s; '
            || 'grant select, insert, update, delete on public.alembic_version to %%1$s;', m.me)
    where m.mark is not null
        and not (
            has_schema_privilege('public', 'usage')
            and has_table_privilege(m.mark, 'select')
            and has_table_privilege(m.mark, 'insert')
            and has_table_privilege(m.mark, 'update')
            and has_table_privilege(m.mark, 'delete')
        )
    union all
    select
        6,
        format(
            'to alter %%s, which belongs to %%s',
            string_agg(quote_ident(n.nspname), ', ' order by n.nspname),
            pg_get_userbyid(n.nspowner)
        ),
        format('grant %%I to %%s;', pg_get_userbyid(n.nspowner), m.me)
    from pg_namespace as n
    where n.nspname = any(%(schemas)s) and not pg_has_role(current_user, n.nspowner, 'usage')
    group by n.nspowner
    union all
    select
        7,
        format(
            'to see every row of %%s, whose row security is forced',
            string_agg(format('%%I.%%I', n.nspname, c.relname), ', ' order by n.nspname, c.relname)
        ),
        string_agg(
            format('alter table %%I.%%I no force row level security;', n.nspname, c.relname), ' '
            order by n.nspname, c.relname
        )
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where c.relforcerowsecurity and n.nspname = any(%(schemas)s)
        and not exists (
            select 1
            from pg_roles as r
            where r.rolname = current_user and (r.rolsuper or r.rolbypassrls)
        )
    having count(*) > 0
) as x
order by x.place, x.lack;

-- name: connection_limits
-- How many sessions there may be, and are: for the role, the database and the server, as far as
-- they are limited; parallel workers of other roles may be among those in use. One row per limit.
select
    limits.what,
    limits.most,
    limits.used
from (
    select
        1 as place,
        'the role ' || r.rolname as what,
        r.rolconnlimit as most,
        (select count(*) from pg_stat_activity as a where a.usesysid = r.oid) as used
    from pg_roles as r
    where r.rolname = session_user
    union all
    select
        2,
        'the database ' || d.datname,
        d.datconnlimit,
        (select count(*) from pg_stat_activity as a where a.datid = d.oid)
    from pg_database as d
    where d.datname = current_database()
    union all
    select
        3,
        'the server',
        current_setting('max_connections')::integer
        - current_setting('superuser_reserved_connections')::integer
        - current_setting('reserved_connections')::integer,
        (select count(*) from pg_stat_activity as a where a.datid is not null)
) as limits
where limits.most >= 0
order by limits.place;

-- name: sees_other_sessions
-- Whether the login may see what sessions of other roles are doing. One row.
select pg_has_role(session_user, 'pg_read_all_stats', 'usage');

-- name: login
-- The login of the session, as it is written in SQL. One row.
select quote_ident(session_user);
