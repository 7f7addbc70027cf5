-- The role that loads and owns the tables: what it lacks, what belongs to others, and who loads.

-- name: lacking
-- What a login lacks to load as the role: statements that give it, and whether the login may run
-- each. One row per statement.
with login as (
    select
        l.rolsuper,
        l.rolcreaterole,
        r.oid as loader
    from pg_roles as l
    left join pg_roles as r on r.rolname = %(role)s
    where l.rolname = session_user
)

select
    x.statement,
    x.may_run
from login as m
inner join pg_database as d on d.datname = current_database()
left join pg_namespace as p on p.nspname = 'public'
cross join lateral (
    values
    (
        m.loader is null,
        format('create role %%I nologin;', %(role)s::text),
        m.rolsuper or m.rolcreaterole
    ),
    (
        not m.rolsuper and not coalesce(
            pg_has_role(session_user, m.loader, 'set')
            and pg_has_role(session_user, m.loader, 'usage'), false
        ),
        format('grant %%I to %%I with inherit true, set true;', %(role)s::text, session_user),
        case
            when m.loader is null then m.rolcreaterole
            else pg_has_role(session_user, m.loader, 'member with admin option')
        end
    ),
    (
        not coalesce(
            has_database_privilege(m.loader, d.oid, 'create')
            and has_database_privilege(m.loader, d.oid, 'temporary'), false
        ),
        format('grant create, temporary on database %%I to %%I;', d.datname, %(role)s::text),
        pg_has_role(session_user, d.datdba, 'usage')
    ),
    (
        -- Alembic keeps its mark there.
        not coalesce(
            has_schema_privilege(m.loader, p.oid, 'usage')
            and has_schema_privilege(m.loader, p.oid, 'create'), false
        ),
        format('grant usage, create on schema public to %%I;', %(role)s::text),
        coalesce(pg_has_role(session_user, p.nspowner, 'usage'), false)
    )
) as x (is_lacking, statement, may_run)
where x.is_lacking;

-- name: of_others
-- What is in schemas of the warehouse and belongs to the login, to a superuser or to whoever owns
-- the ledger and so loaded before: statements that give it to the role, schemas first. What others
-- made there stays theirs. One row per object.
with schemas as (
    select
        oid,
        nspname,
        nspowner
    from pg_namespace as n
    where nspname ~ %(schemas)s and (nspname !~ %(histories)s or {schema/layout.is_history})
),

found as (
    select
        1 as place,
        'schema' as kind,
        quote_ident(nspname) as identity,
        nspowner as owner
    from schemas
    union all
    select
        2,
        case c.relkind
            when 'v' then 'view'
            when 'm' then 'materialized view'
            when 'S' then 'sequence'
            when 'f' then 'foreign table'
            when 'c' then 'type'
            else 'table'
        end,
        format('%%I.%%I', s.nspname, c.relname),
        c.relowner
    from pg_class as c
    inner join schemas as s on c.relnamespace = s.oid
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')
        -- A sequence of a column goes with its table.
        and not exists (
            select 1
            from pg_depend as d
            where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
                and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0
        )
    union all
    select
        2,
        'routine',
        format('%%I.%%I(%%s)', s.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
        p.proowner
    from pg_proc as p
    inner join schemas as s on p.pronamespace = s.oid
    union all
    select
        2,
        'type',
        format('%%I.%%I', s.nspname, t.typname),
        t.typowner
    from pg_type as t
    inner join schemas as s on t.typnamespace = s.oid
    where t.typtype in ('d', 'e', 'r')
    union all
    select
        2,
        'statistics',
        format('%%I.%%I', s.nspname, x.stxname),
        x.stxowner
    from pg_statistic_ext as x
    inner join schemas as s on x.stxnamespace = s.oid
    union all
    select
        2,
        'table',
        'public.alembic_version',
        relowner
    from pg_class
    where oid = to_regclass('public.alembic_version')
)

select format('alter %%s %%s owner to %%I', f.kind, f.identity, %(role)s::text) as statement
from found as f
inner join pg_roles as o on f.owner = o.oid
where o.rolname <> %(role)s
    and (
        o.rolsuper
        or o.rolname = session_user
        or o.oid = (select s.nspowner from schemas as s where s.nspname = 'ledger')
    )
    and pg_has_role(session_user, o.oid, 'usage')
order by f.place;

-- name: is_superuser
-- Whether the role is a superuser or passes row security. One row.
select rolsuper or rolbypassrls
from pg_roles
where rolname = %(role)s;

-- name: who_loads
-- The login, whether it is a superuser, and whom the ledger belongs to, if there is one. One row.
select
    quote_ident(session_user) as login,
    l.rolsuper as is_superuser,
    pg_get_userbyid(n.nspowner)::text as owner
from pg_roles as l
left join pg_namespace as n on n.nspname = 'ledger'
where l.rolname = session_user;

-- name: acts_as
-- The role that the session acts as; none where it has the rights of its login. One row.
select current_setting('role');
