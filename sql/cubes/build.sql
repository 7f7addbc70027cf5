-- The statements that make a cube, whichever it is, and bring it up to its definition.

-- name: existing
-- The cubes that are there in a schema, as tables or views (r, m), the definition that each was
-- made by and the load that it is made through, where that is known. One row per cube.
select
    c.relname::text as name,
    c.relkind::text as kind,
    k.definition_hash,
    k.load_id
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
left join cube_refresh as k on n.nspname = k.schema_name and c.relname = k.cube_name
where n.nspname = %(schema)s and c.relkind in ('r', 'm');

-- name: sources
-- What the views among the cubes of a schema read: tables, and other cubes. A table of this build
-- has its bare name. One row per cube and table.
with recursive reads as (
    select
        c.oid as cube,
        c.oid as source
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where n.nspname = %(schema)s and c.relkind = 'm'
    union
    select
        r.cube,
        d.refobjid
    from reads as r
    -- A plain view is read through; another cube contains what it did when it was last made.
    inner join pg_class as c on r.source = c.oid and (c.relkind = 'v' or r.source = r.cube)
    inner join pg_rewrite as w on c.oid = w.ev_class
    inner join pg_depend as d
        on w.oid = d.objid and d.classid = 'pg_rewrite'::regclass
        and d.refclassid = 'pg_class'::regclass
)

select
    cube.relname::text as cube,
    c.oid::regclass::text as source
from reads as r
inner join pg_class as cube on r.cube = cube.oid
inner join pg_class as c on r.source = c.oid
where c.oid <> cube.oid and c.relkind <> 'v';

-- name: create
-- Make a cube and fill it. One row per row of its grain.
create {table_or_view} {cube} as {definition};

-- name: add_grain
-- The grain of a view, by which it is refreshed; a materialized view has no constraints.
create unique index {index} on {cube} ({grain});

-- name: add_key
-- The grain of a table, enforced: each of its columns has a value, and no row is there twice.
alter table {cube} add constraint {index} primary key ({grain});

-- name: comment_on_cube
-- What the cube is.
comment on {table_or_view} {cube} is {comment};

-- name: drop
-- Make room for a cube that is defined otherwise now. Refused where other views read from it.
drop {table_or_view} {cube};

-- name: put_in_place
-- Put a cube that is made into its schema, with its index and comments. No rows.
alter {table_or_view} {cube} set schema {schema};

-- name: refresh
-- Bring a view to its definition: only rows that differ are written, and nobody who reads waits.
refresh materialized view concurrently {cube};

-- name: rows_written
-- How many rows this session has put into a table and taken out of it, of which it has not reported
-- yet; a refresh that changes a row does both. One row.
select
    pg_stat_get_xact_tuples_inserted(%(cube)s::regclass) as inserted,
    pg_stat_get_xact_tuples_deleted(%(cube)s::regclass) as deleted;

-- name: touch
-- The members whose rows of a cube are made again, also for the gate. Of claims that name none the
-- member is '' in the dimension and (unknown) in cubes. One row per member.
create temporary table {members} on commit drop as
select n.member_id
from ({touched}) as t
cross join lateral (
    values (t.member_id), (case when t.member_id = '' then '(unknown)' end)
) as n (member_id)
where n.member_id is not null;

-- name: named_members
-- Members by their numbers. One row per member.
select n.member_id
from unnest(%(named)s::text[]) as n (member_id);

-- name: of_touched_members
-- What restricts a definition to these members. A fragment.
member_id in (  -- noqa: PRS, a condition
    select t.member_id
    from {members} as t
)

-- name: before
-- What the rows of these members came to before they are made again. One row per row of the grain.
create temporary table {before} on commit drop as {sums};

-- name: added_up
-- Sums as they were, with what these members come to now and without what they came to before.
-- Where nobody is left there is no row. One row per row of the grain.
select
    {grain},
    {signed_sums}
from (
    select
        1 as sign,
        {columns}
    from {cube}
    union all
    select
        1,
        {columns}
    from ({now}) as n
    union all
    select
        -1,
        {columns}
    from {before}
) as s
group by {grain}
having sum(sign * members) <> 0;

-- name: want
-- The rows that a cube has to contain; several workers make them, which a merge would not let them.
-- One row per row of its grain.
create temporary table wanted on commit drop as {definition};

-- name: drop_unchanged
-- Leave out what the cube has already. It reads the rows of the members made again and no others.
-- They are found first: that few rows are the same is what the planner takes for granted, and it would
-- look through the members for each of them. One row per row left out.
with of_members as materialized (
    select c.*
    from {members} as t
    inner join {cube} as c on t.member_id = c.member_id
)

delete from wanted as w
using of_members as c
where {same_grain} and not ({is_changed});

-- name: delete_gone
-- Rows of these members that the cube must not contain any more. One row per row deleted.
delete from {cube} as c
using {members} as t
where c.member_id = t.member_id
    and not exists (
        select 1
        from wanted as w
        where {same_grain}
    );

-- name: write
-- Write rows that are new or differ; readers go on with what the cube contained, and an unchanged
-- row stays as it is. One row per row written.
merge into {cube} as c
using wanted as w
    on {same_grain}
when matched and {is_changed} then update set {assign}
when not matched then insert ({columns}) values ({values});

-- name: merge
-- Bring the cube to the rows that it has to contain, and delete the others. One row per row written.
{cubes/build.write}
when not matched by source then delete;

-- name: record
-- Note by which definition a cube is made and through which load. One row.
insert into cube_refresh (schema_name, cube_name, definition_hash, load_id)
values (%(schema)s, %(cube)s, %(definition_hash)s, %(load_id)s)
on conflict (schema_name, cube_name) do update
    set
        definition_hash = excluded.definition_hash,
        load_id = excluded.load_id,
        made_at = excluded.made_at;

-- name: forget
-- What was noted of the cubes of a schema that another replaces. One row per cube.
delete from cube_refresh where schema_name = %(schema)s;

-- name: move
-- What was noted of the cubes of a schema that gets another name. One row per cube.
update cube_refresh set schema_name = %(to_schema)s where schema_name = %(from_schema)s;
