-- How views, functions, triggers and rights are made again when their text has changed.

-- name: made
-- What was made from sql/ in some schemas: kind, name, and the mark of the text, which is the end
-- of its comment. What was made last comes first. One row per object.
select
    i.type as kind,
    i.identity,
    left(right(d.description, 17), 16) as mark
from pg_description as d
cross join lateral pg_identify_object(d.classoid, d.objoid, 0) as i
-- What comes with the server has numbers below. An expression is looked for at the end alone: in
-- the whole of each comment it would take longer than all else here.
where d.objoid >= 16384 and d.objsubid = 0
    and case left(right(d.description, 28), 11)
        when 'Definition ' then right(d.description, 17) ~ '^[0-9a-f]{{16}}\.$'
    end
    and i.type in ('view', 'function', 'aggregate', 'trigger', 'policy', 'schema')
    and split_part(regexp_replace(i.identity, '^.* on ', ''), '.', 1) = any(%(schemas)s)
order by d.objoid desc;

-- name: create_view
-- Make a view, or make it again where its columns are the same or come after them. No rows.
create or replace view {view} {options} as {definition};

-- name: describe
-- Say in the catalog what an object is, with the mark of its text. No rows.
comment on {object} is {comment};

-- name: describe_columns
-- Say in the catalog what the columns of a table or view mean; a name that is no column is passed
-- over. No rows.
do $describe$
declare
    said record;
begin
    for said in
        select
            a.attname,
            m.value as meaning
        from jsonb_each_text({meanings}::jsonb) as m
        inner join pg_attribute as a on m.key = a.attname
        where a.attrelid = {relation}::regclass and a.attnum > 0 and not a.attisdropped
    loop
        execute format('comment on column %s.%I is %L', {relation}, said.attname, said.meaning);
    end loop;
end
$describe$;

-- name: drop
-- Drop an object that nothing needs. No rows.
drop {object} restrict;

-- name: drop_view
-- Drop a view that may be there. No rows.
drop view if exists {view};

-- name: has_all
-- Whether a schema has all the tables and materialized views of these names. One row.
select count(*) = cardinality(%(names)s::text[])
from pg_class
where relnamespace = to_regnamespace(%(schema)s) and relname = any(%(names)s)
    and relkind in ('r', 'm');

-- name: grants
-- Who may use views and functions, as statements that grant it again. One row per statement.
with acls as (
    select
        pg_identify_object('pg_class'::regclass, c.oid, 0) as object,
        'table' as kind,
        c.relowner as owner_id,
        c.relacl as acl
    from pg_class as c
    where c.relnamespace = any(%(schemas)s::regnamespace[]) and c.relkind = 'v'
    union all
    select
        pg_identify_object('pg_proc'::regclass, p.oid, 0),
        'function',
        p.proowner,
        p.proacl
    from pg_proc as p
    where p.pronamespace = any(%(schemas)s::regnamespace[]) and p.prokind = 'f'
)

select format('revoke all on function %%s from public', (a.object).identity) as statement
from acls as a
where a.kind = 'function' and a.acl is not null
union all
select format(
    'grant %%s on %%s %%s to %%s%%s',
    g.privilege_type,
    a.kind,
    (a.object).identity,
    case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end,
    case when g.is_grantable then ' with grant option' else '' end
)
from acls as a
cross join lateral aclexplode(a.acl) as g
where g.grantee <> a.owner_id
order by statement desc;
