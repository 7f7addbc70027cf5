-- The statements that make and refresh a cube, whichever it is.

-- name: held_comment
-- The comment of the cube as it is held, which ends with the mark of its definition; no row if
-- the cube is not there. At most one row.
select coalesce(obj_description(c.oid, 'pg_class'), '')
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname = %(schema)s and c.relname = %(name)s and c.relkind = 'm';

-- name: create
-- Make a cube and fill it. One row a row of its grain.
create materialized view {cube} as {definition};

-- name: add_grain
-- The grain, enforced; a concurrent refresh needs it.
create unique index {index} on {cube} ({grain});

-- name: comment_on_cube
-- What the cube is, and the mark of its definition.
comment on materialized view {cube} is {comment};

-- name: comment_on_column
-- What a column of the cube means.
comment on column {cube}.{column} is {comment};

-- name: count
-- How many rows the cube holds. One row.
select count(*) from {cube};

-- name: analyze
-- Refresh the planner's statistics of the cube.
analyze {cube};

-- name: refresh
-- Bring the cube up to date while readers go on reading what it held.
refresh materialized view concurrently {cube};

-- name: drop
-- Make room for the cube's new definition. Refused where views read from it.
drop materialized view {cube};

-- name: grants
-- Statements that give others what they may do with the held cube, or with one column of it.
-- One row a grant.
select
    a.column_name,
    format(
        'grant %%s%%s on %%I.%%I to %%s%%s',
        a.privilege_type,
        ' (' || quote_ident(a.column_name) || ')',
        n.nspname,
        c.relname,
        case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
        case when a.is_grantable then ' with grant option' end
    ) as statement
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
    select
        null::text as column_name,
        r.*
    from aclexplode(c.relacl) as r
    union all
    select
        t.attname::text as column_name,
        r.*
    from pg_attribute as t
    cross join lateral aclexplode(t.attacl) as r
    where t.attrelid = c.oid and t.attnum > 0 and not t.attisdropped
) as a
where n.nspname = %(schema)s and c.relname = %(name)s and a.grantee <> c.relowner;
