-- The statements that make a cube, whichever it is, and bring it up to its definition.

-- name: held
-- Whether the cube is there as a table or, from before, as a materialized view (r, m), and its
-- comment, which says its definition and what it is made through. At most one row.
select
    c.relkind::text as kind,
    coalesce(obj_description(c.oid, 'pg_class'), '') as comment
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname = %(schema)s and c.relname = %(name)s and c.relkind in ('r', 'm');

-- name: create
-- Make a cube and fill it. One row a row of its grain.
create table {cube} as {definition};

-- name: add_grain
-- The grain, enforced; what changes is looked up by it.
create unique index {index} on {cube} ({grain});

-- name: comment_on_cube
-- What the cube is, the mark of its definition and the load that it is made through.
comment on table {cube} is {comment};

-- name: comment_on_column
-- What a column of the cube means.
comment on column {cube}.{column} is {comment};

-- name: analyze
-- Refresh the planner's statistics of the cube.
analyze {cube};

-- name: want
-- The rows that a cube has to hold; several workers make them, which a merge would not let them.
-- One row a row of its grain.
create temporary table wanted on commit drop as {definition};

-- name: analyze_wanted
-- Statistics for the join that follows. No rows.
analyze wanted;

-- name: merge
-- Bring the cube to the rows that it has to hold: only what differs is written, so readers go on
-- with what it held and an unchanged row stays as it is. One row a row written.
merge into {cube} as c  -- noqa: PRS, the linter does not know "by source"
using wanted as w
    on {same_grain}
when matched and {is_changed} then update set {assign}
when not matched then insert ({columns}) values ({values})
when not matched by source then delete;

-- name: drop_wanted
-- Make room for the next cube. No rows.
drop table wanted;

-- name: drop_table
-- Make room for the cube's new definition. Refused where views read from it.
drop table {cube};

-- name: drop_view
-- Make room for the table that a cube is now. Refused where views read from it.
drop materialized view {cube};

-- name: rename
-- Give a cube that was made beside the old one its name. No rows.
alter table {cube} rename to {name};

-- name: rename_index
-- The same for the index of its grain. No rows.
alter index {index} rename to {name};

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
