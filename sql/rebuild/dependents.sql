-- What people built on a build of the warehouse, and what they put into its schemas.

-- name: needed
-- Whatever of a build others can depend on: a part of the statements below. One row per object.
select
    'pg_class'::regclass as class_id,
    oid
from pg_class
where relnamespace in (select oid from build)
union all
select
    'pg_type'::regclass,
    oid
from pg_type
where typnamespace in (select oid from build)
union all
select
    'pg_proc'::regclass,
    oid
from pg_proc
where pronamespace in (select oid from build)
union all
select
    'pg_constraint'::regclass,
    oid
from pg_constraint
where connamespace in (select oid from build);

-- name: views
-- Views outside a build that read from it, with their definitions and what may keep us from
-- replacing them: whose they are, columns whose type belongs to the build, and whether anything
-- else depends on them. Temporary views of sessions that are gone are left out. One row per view.
with build as (
    select oid
    from pg_namespace
    where nspname = any(%(schemas)s)
),

needed as (
    {rebuild/dependents.needed}
),

found as (
    select distinct w.ev_class as oid
    from needed as b
    inner join pg_depend as d on b.class_id = d.refclassid and b.oid = d.refobjid
    inner join pg_rewrite as w on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
)

select
    v.oid::bigint as view_oid,
    n.nspname as schema_name,
    v.relname as view_name,
    format('%%I.%%I', n.nspname, v.relname) as shown,
    quote_ident(n.nspname) as shown_schema,
    quote_ident(pg_get_userbyid(v.relowner)) as owner,
    pg_get_viewdef(v.oid) as definition,
    coalesce(array_to_string(v.reloptions, ', '), '') as options,
    n.nspname ~ '^pg_temp_' as is_temporary,
    pg_has_role(session_user, v.relowner, 'usage') as is_ours,
    o.rolsuper as is_of_superuser,
    has_schema_privilege(session_user, n.oid, 'create') as may_create,
    (
        select count(*) > 0
        from pg_attribute as a
        inner join pg_type as t on a.atttypid = t.oid
        left join pg_type as e on t.typelem = e.oid and t.typcategory = 'A'
        where a.attrelid = v.oid and a.attnum > 0
            and coalesce(e.typnamespace, t.typnamespace) in (select b.oid from build as b)
    ) as has_types_of_build,
    exists (
        select 1
        from pg_rewrite as w
        where w.ev_class = v.oid and w.rulename <> '_RETURN'
    )
    or exists (
        select 1
        from pg_trigger as g
        where g.tgrelid = v.oid
    )
    or exists (
        select 1
        from pg_attrdef as y
        where y.adrelid = v.oid
    )
    or exists (
        select 1
        from pg_depend as d
        where d.deptype = 'n'
            and (
                (d.refclassid = 'pg_class'::regclass and d.refobjid = v.oid)
                or (
                    d.refclassid = 'pg_type'::regclass
                    and d.refobjid in (
                        select unnest(array[y.oid, y.typarray])
                        from pg_type as y
                        where y.oid = v.reltype
                    )
                )
            )
            and not exists (
                select 1
                from pg_rewrite as w
                where d.classid = 'pg_rewrite'::regclass and w.oid = d.objid and w.ev_class = v.oid
            )
    ) as has_dependents
from found as f
inner join pg_class as v on f.oid = v.oid and v.relkind = 'v'
inner join pg_namespace as n on v.relnamespace = n.oid
inner join pg_roles as o on v.relowner = o.oid
where n.oid not in (select b.oid from build as b)
    and (
        n.nspname !~ '^pg_temp_'
        or pg_stat_get_backend_pid(substring(n.nspname, '\d+$')::integer) is not null
    )
order by n.nspname, v.relname;

-- name: replace
-- Let a view read from the build that is live now; its grants and its own readers stay.
create or replace view {view} {options} as {definition};

-- name: drop
-- Take a view away that is made again in the same transaction. No rows.
drop view {view};

-- name: said_of_view
-- Statements that say again of a view what dropping it takes along: comments, grants and, last, its
-- owner. One row per statement.
select said.statement
from pg_class as v
inner join pg_namespace as n on v.relnamespace = n.oid
cross join lateral (
    select
        1 as place,
        case
            when d.objsubid = 0
                then format('comment on view %%I.%%I is %%L', n.nspname, v.relname, d.description)
            else
                format(
                    'comment on column %%I.%%I.%%I is %%L',
                    n.nspname, v.relname, a.attname, d.description
                )
        end as statement
    from pg_description as d
    left join pg_attribute as a on d.objoid = a.attrelid and d.objsubid = a.attnum
    where d.classoid = 'pg_class'::regclass and d.objoid = v.oid
    union all
    select
        2,
        format('grant %%s on %%I.%%I to %%s', g.may, n.nspname, v.relname, g.to_whom)
    from ({rebuild/swap.grants}) as g
    where g.oid = v.oid and g.grantee <> v.relowner
    union all
    select
        3,
        format(
            'alter view %%I.%%I owner to %%I',
            n.nspname, v.relname, pg_get_userbyid(v.relowner)
        )
) as said
where v.oid = %(view_oid)s
order by said.place;

-- name: foreign_objects
-- What somebody put into the schemas of a build: tables, columns, views, sequences, functions,
-- types and extensions that the warehouse does not make, with the command that takes them
-- elsewhere. One row per object.
with build as (
    select
        oid,
        nspname
    from pg_namespace
    where nspname = any(%(schemas)s)
),

made as (
    select
        m.schema_name,
        m.object_name
    from unnest(%(made_schemas)s::text[], %(made_names)s::text[]) as m (schema_name, object_name)
),

found as (
    select
        'pg_class'::regclass as class_id,
        c.oid,
        b.nspname,
        c.relname as object_name,
        case c.relkind
            when 'v' then 'view'
            when 'm' then 'materialized view'
            when 'S' then 'sequence'
            when 'f' then 'foreign table'
            when 'c' then 'type'
            else 'table'
        end as kind,
        format('%%I.%%I', b.nspname, c.relname) as identity
    from pg_class as c
    inner join build as b on c.relnamespace = b.oid
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c') and not c.relispartition
        -- A sequence of a column goes where its table goes.
        and not exists (
            select 1
            from pg_depend as d
            where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
                and d.refclassid = 'pg_class'::regclass
        )
    union all
    select
        'pg_proc'::regclass,
        p.oid,
        b.nspname,
        p.proname,
        case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
        format('%%I.%%I(%%s)', b.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
    from pg_proc as p
    inner join build as b on p.pronamespace = b.oid
    union all
    select
        'pg_type'::regclass,
        t.oid,
        b.nspname,
        t.typname,
        'type',
        format('%%I.%%I', b.nspname, t.typname)
    from pg_type as t
    inner join build as b on t.typnamespace = b.oid
    where t.typtype in ('d', 'e', 'r')
    union all
    select
        'pg_extension'::regclass,
        x.oid,
        b.nspname,
        x.extname,
        'extension',
        quote_ident(x.extname)
    from pg_extension as x
    inner join build as b on x.extnamespace = b.oid
    union all
    select
        'pg_attribute'::regclass,
        c.oid,
        b.nspname,
        c.relname || '.' || a.attname,
        'column',
        format('%%I.%%I.%%I', b.nspname, c.relname, a.attname)
    from pg_attribute as a
    inner join pg_class as c on a.attrelid = c.oid
    inner join build as b on c.relnamespace = b.oid
    where c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped
        -- Of tables whose columns are declared.
        and exists (
            select 1
            from made as m
            where m.schema_name = b.nspname and m.object_name like c.relname || '.%%'
        )
)

select
    f.kind || ' ' || f.identity as object,
    case
        when f.kind = 'column'
            then format(
                'alter table %%I.%%I drop column %%I;',
                f.nspname, split_part(f.object_name, '.', 1), split_part(f.object_name, '.', 2)
            )
        else format('alter %%s %%s set schema ...;', f.kind, f.identity)
    end as remedy
from found as f
left join made as m on f.nspname = m.schema_name and f.object_name = m.object_name
where m.object_name is null
    and not exists (
        select 1
        from pg_depend as d
        where d.classid = f.class_id and d.objid = f.oid and d.deptype = 'e'
    )
order by object;

-- name: parts
-- Statements that drop the parts of a build which nothing else depends on: those that the warehouse
-- made, what reads before what is read. One row per part.
select parts.statement
from (
    select
        case when c.relkind in ('v', 'm') then 1 else 2 end as place,
        b.nspname,
        c.relname as object_name,
        format(
            'drop %%s if exists %%I.%%I restrict',
            case c.relkind
                when 'v' then 'view'
                when 'm' then 'materialized view'
                else 'table'
            end,
            b.nspname,
            c.relname
        ) as statement
    from pg_class as c
    inner join pg_namespace as b on c.relnamespace = b.oid
    where b.nspname = any(%(schemas)s) and c.relkind in ('r', 'p', 'v', 'm')
        and not c.relispartition
    union all
    select
        3,
        b.nspname,
        p.proname,
        format(
            'drop function if exists %%I.%%I(%%s) restrict',
            b.nspname, p.proname, pg_get_function_identity_arguments(p.oid)
        )
    from pg_proc as p
    inner join pg_namespace as b on p.pronamespace = b.oid
    where b.nspname = any(%(schemas)s) and p.prokind = 'f'
    union all
    select
        4,
        b.nspname,
        t.typname,
        format('drop domain if exists %%I.%%I restrict', b.nspname, t.typname)
    from pg_type as t
    inner join pg_namespace as b on t.typnamespace = b.oid
    where b.nspname = any(%(schemas)s) and t.typtype = 'd'
) as parts
inner join unnest(%(made_schemas)s::text[], %(made_names)s::text[]) as m (schema_name, object_name)
    on parts.nspname = m.schema_name and parts.object_name = m.object_name
order by parts.place, parts.statement;

-- name: kept_builds
-- Numbers of the retired builds that are kept for those who need them, the oldest first.
-- One row per build.
select distinct substring(nspname, '_kept_(\d+)$')::integer as number
from pg_namespace
where nspname ~ '^(staging|warehouse|cubes|as_known)_kept_\d+$'
order by number;

-- name: needing
-- What depends on a build outside it, with the schema that it is in, the relation that it is a part
-- of, and whether it only has a type of the build and values of its own: a part of the statements
-- below. One row per object and reason.
with build as (
    select oid
    from pg_namespace
    where nspname = any(%(schemas)s)
),

needed as (
    {rebuild/dependents.needed}
)

select
    d.classid as class_id,
    d.objid as oid,
    m.nspname as schema_name,
    o.relation_id,
    o.has_own_values
from needed as b
inner join pg_depend as d on b.class_id = d.refclassid and b.oid = d.refobjid
-- Each is looked up by its number: the statistics of the catalogs are old after a rebuild.
cross join lateral (
    select
        t.typnamespace as namespace_id,
        null::oid as relation_id,
        false as has_own_values
    from pg_type as t
    where d.classid = 'pg_type'::regclass and t.oid = d.objid
    union all
    select
        p.pronamespace,
        null,
        false
    from pg_proc as p
    where d.classid = 'pg_proc'::regclass and p.oid = d.objid
    union all
    select
        k.connamespace,
        null,
        false
    from pg_constraint as k
    where d.classid = 'pg_constraint'::regclass and k.oid = d.objid
    union all
    select
        c.relnamespace,
        c.oid,
        d.classid = 'pg_class'::regclass and d.refclassid = 'pg_type'::regclass
        and c.relkind in ('r', 'p', 'm')
    from pg_class as c
    where c.oid = case d.classid
        when 'pg_class'::regclass then d.objid
        when 'pg_rewrite'::regclass then (select ev_class from pg_rewrite where oid = d.objid)
        when 'pg_trigger'::regclass then (select tgrelid from pg_trigger where oid = d.objid)
        when 'pg_attrdef'::regclass then (select adrelid from pg_attrdef where oid = d.objid)
        when 'pg_policy'::regclass then (select polrelid from pg_policy where oid = d.objid)
    end
) as o
inner join pg_namespace as m on o.namespace_id = m.oid
where m.oid not in (select n.oid from build as n) and d.deptype in ('n', 'a');

-- name: others
-- What depends on a build outside it, apart from the views given and from columns that only have a
-- type of it, whose values are their own. One row per object.
select distinct regexp_replace(
    pg_describe_object(n.class_id, n.oid, 0), '^rule _RETURN on ', ''
) as object
from ({rebuild/dependents.needing}) as n
where n.schema_name !~ '^pg_'
    and not n.has_own_values
    and (n.relation_id is null or n.relation_id <> all(%(views)s::bigint[]::oid[]))
order by object;

-- name: blockers
-- What outside a retired build still depends on it: the build is kept until that is gone.
-- One row per object and reason.
select pg_describe_object(n.class_id, n.oid, 0) as object
from ({rebuild/dependents.needing}) as n
where n.schema_name !~ '^pg_'
    -- What is temporary counts as long as its session lives and is none of ours.
    or exists (
        select 1
        from pg_stat_activity as a
        where n.schema_name ~ '^pg_temp_' and a.application_name !~ '^aca-warehouse'
            and a.pid = pg_stat_get_backend_pid(substring(n.schema_name, '\d+$')::integer)
    );

-- name: drop_empty_schema
-- Clear away a schema of a retired build in which nothing is left. No rows.
drop schema if exists {schema} restrict;

-- name: additions
-- What somebody put on tables of a build that those of another do not have: indexes, triggers,
-- rules, policies and statistics, which the other build goes without. One row per object.
with builds as (
    select
        s.old_name,
        old.oid as old_oid,
        new.oid as new_oid
    from unnest(%(old)s::text[], %(new)s::text[]) as s (old_name, new_name)
    inner join pg_namespace as old on s.old_name = old.nspname
    inner join pg_namespace as new on s.new_name = new.nspname
),

tables as (
    select
        old.oid as old_oid,
        new.oid as new_oid,
        format('%%I.%%I', b.old_name, old.relname) as table_name
    from builds as b
    inner join pg_class as old on b.old_oid = old.relnamespace
    inner join pg_class as new on b.new_oid = new.relnamespace and old.relname = new.relname
    where old.relkind in ('r', 'p', 'm') and not old.relispartition
),

parts as (
    select
        'index' as kind,
        i.indrelid as table_oid,
        c.relname as part_name
    from pg_index as i
    inner join pg_class as c on i.indexrelid = c.oid
    union all
    select
        'trigger',
        tgrelid,
        tgname
    from pg_trigger
    where not tgisinternal
    union all
    select
        'rule',
        ev_class,
        rulename
    from pg_rewrite
    -- The query of a view, which nobody has where a cube becomes a table.
    where rulename <> '_RETURN'
    union all
    select
        'policy',
        polrelid,
        polname
    from pg_policy
    union all
    select
        'statistics',
        stxrelid,
        stxname
    from pg_statistic_ext
)

select format('%%s %%I on %%s', old.kind, old.part_name, t.table_name) as object
from tables as t
inner join parts as old on t.old_oid = old.table_oid
left join parts as new
    on t.new_oid = new.table_oid and old.kind = new.kind and old.part_name = new.part_name
group by old.kind, old.part_name, t.table_name
having count(new.part_name) = 0
order by object;
