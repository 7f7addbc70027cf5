-- What is exported: which relations a role reads, what their columns are, and their rows.

-- name: act_as
-- Read with the rights of a role from now on. One row.
select set_config('role', %(role)s, false);

-- name: own_role
-- The role of the warehouse that the login has, if it has one. No or one row.
select r.rolname
from pg_auth_members as m
inner join pg_roles as r on m.roleid = r.oid
inner join pg_roles as l on m.member = l.oid
where l.rolname = session_user and r.rolname = any(%(roles)s)
order by r.rolname
limit 1;

-- name: has_role
-- Whether the login was given a role. One row.
select exists(
    select 1
    from pg_auth_members as m
    inner join pg_roles as r on m.roleid = r.oid
    inner join pg_roles as l on m.member = l.oid
    where l.rolname = session_user and r.rolname = %(role)s
);

-- name: relations
-- The relations that the session may read in some schemas, each name where it is found first. One
-- row per name.
select distinct on (c.relname)
    c.relname,
    n.nspname,
    c.oid::bigint as relation_id,
    coalesce(obj_description(c.oid, 'pg_class'), '') as description
from unnest(%(schemas)s::text[]) with ordinality as s (name, place)
inner join pg_namespace as n on s.name = n.nspname and has_schema_privilege(n.oid, 'usage')
inner join pg_class as c on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
    and has_table_privilege(c.oid, 'select')
order by c.relname, s.place;

-- name: leads_to
-- The relation that a name leads to by now, which no snapshot holds back. One row.
select to_regclass(%(name)s)::oid::bigint;

-- name: is_there
-- Whether some schema of the warehouse has a relation of this name, whoever may read it. One row.
select exists(
    select 1
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where c.relname = %(name)s and n.nspname = any(%(schemas)s)
        and c.relkind in ('r', 'p', 'v', 'm')
);

-- name: columns
-- The columns of a relation in their order: name, type, and what it means, which masked views take
-- from the relation that they show. One row per column.
select
    a.attname,
    format_type(
        case when t.typtype = 'd' then t.typbasetype else a.atttypid end,
        case when t.typtype = 'd' then t.typtypmod else a.atttypmod end
    ) as stored,
    coalesce(col_description(a.attrelid, a.attnum), shown.description, '') as description
from pg_attribute as a
inner join pg_type as t on a.atttypid = t.oid
left join lateral (
    select col_description(o.attrelid, o.attnum) as description
    from unnest(%(shown)s::text[]) with ordinality as s (name, place)
    inner join pg_namespace as n on s.name = n.nspname
    inner join pg_class as c on n.oid = c.relnamespace and c.relname = %(name)s
    inner join pg_attribute as o on c.oid = o.attrelid and a.attname = o.attname
    where col_description(o.attrelid, o.attnum) is not null
    order by s.place
    limit 1
) as shown on true
where a.attrelid = %(relation_id)s::oid and a.attnum > 0 and not a.attisdropped
order by a.attnum;

-- name: rows
-- The rows of a relation, each column in the form that a file has. One row per row.
select {columns}
from {relation};

-- name: expected
-- What the planner expects of the rows: how many, and how long they are. One row.
explain (format json) {export/export.rows};

-- name: more_than
-- Whether a relation has more rows than so many. One row.
select count(*) > %(most)s
from (
    select 1
    from {relation}
    limit %(most)s + 1  -- noqa: AM09, any of them: they are counted
) as counted;

-- name: first_row
-- A row of a relation, by which it is known whether nodes answer. No or one row.
select 1
from {relation}
limit 1;  -- noqa: AM09, any of them

-- name: copy
-- The rows of a relation, as CSV.
copy (
    {export/export.rows}
) to stdout (format csv);

-- name: instant
-- An instant in UTC, without its zone.
{column} at time zone 'UTC'  -- noqa: PRS, a value

-- name: end_of_validity
-- When a version ended; nothing while nothing has ended it.
nullif({column}, {open_end})  -- noqa: PRS, a value

-- name: is_open
-- Whether nothing has ended a version yet.
{column} = {open_end}  -- noqa: PRS, a value

-- name: number
-- A number without a declared scale, with twenty digits after the point.
{column}::numeric(38, 20)  -- noqa: PRS, a value

-- name: as_known_at
-- Put the session at what was known after a load. One row.
select as_known_at(%(load_id)s::bigint);

-- name: newest_load
-- The newest load that is live: its number, its batch, and the day that the data speaks of. No or
-- one row.
select
    newest.load_id,
    newest.batch_id,
    (
        select {ledger/as_of.newest}
        from ledger.load as l
        where l.status = 'loaded'
    ) as as_of
from ledger.load as newest
where newest.status = 'loaded'
order by newest.load_id desc
limit 1;

-- name: load
-- A load: its number, its batch, and the day of the newest batch that its build had by then. No or
-- one row.
select
    known.load_id,
    known.batch_id,
    (
        select {ledger/as_of.newest}
        from ledger.load as l
        where l.build_id = known.build_id and l.load_id <= known.load_id
            and l.status in ('loaded', 'superseded')
    ) as as_of
from ledger.load as known
where known.load_id = %(load_id)s;
