-- Who reads what: statements of readers as pg_stat_statements counts them, by relation.

-- name: counting
-- Whether the server counts statements, whether the extension that shows the counts is there, and
-- whether we may make it. One row.
select
    'pg_stat_statements' = any(
        string_to_array(replace(current_setting('shared_preload_libraries'), ' ', ''), ',')
    ) as counts,
    exists(select 1 from pg_extension where extname = 'pg_stat_statements') as is_shown,
    (select rolsuper from pg_roles where rolname = current_user) as may_make;

-- name: make_extension
-- Show what the server counts. No rows.
create extension if not exists pg_stat_statements schema public;

-- name: new_calls
-- Statements of readers that ran again since they were counted last: how often, the rows and
-- seconds of these calls, and the search path that the login begins with. Our own login, the loader
-- and its members are no readers. One row per login and statement, those with the most calls first.
select
    r.rolname::text as role,
    s.queryid as query_id,
    s.toplevel as is_top,
    s.stats_since as counted_since,
    s.query,
    s.calls,
    s.rows,
    s.total_exec_time / 1000 as seconds,
    s.calls - coalesce(c.calls, 0) as new_calls,
    s.rows - coalesce(c.rows, 0) as new_rows,
    s.total_exec_time / 1000 - coalesce(c.seconds, 0) as new_seconds,
    coalesce(p.search_path, 'public') as search_path
from public.pg_stat_statements as s
inner join pg_roles as r on s.userid = r.oid
inner join pg_database as d on s.dbid = d.oid and d.datname = current_database()
left join statement_counted as c
    on r.rolname = c.role and s.queryid = c.query_id and s.toplevel = c.is_top
    and s.stats_since = c.counted_since
left join lateral (
    select substring(v.setting from '=(.*)') as search_path
    from pg_db_role_setting as o
    cross join lateral unnest(o.setconfig) as v (setting)
    where o.setrole in (r.oid, 0) and o.setdatabase in (d.oid, 0)
        and v.setting like 'search_path=%%'
    order by o.setrole desc, o.setdatabase desc
    limit 1
) as p on true
where r.rolname not in (session_user, %(loader)s)
    and not exists (
        select 1
        from pg_auth_members as m
        inner join pg_roles as loader on m.roleid = loader.oid
        where m.member = r.oid and loader.rolname = %(loader)s
    )
    and s.query is not null
    and s.calls > coalesce(c.calls, 0)
order by new_calls desc
limit %(most)s;

-- name: plan
-- Plan a statement whose values are not known, which takes a lock on each relation that it reads:
-- tables, views and what these read. One row.
explain (generic_plan, format json) {query};  -- noqa: PRS

-- name: locked
-- The relations that this transaction has locked to read, apart from those of the server; of a
-- partition the whole. One row per relation.
select distinct
    n.nspname::text as schema_name,
    w.relname::text as relation_name
from pg_locks as l
inner join pg_class as c on l.relation = c.oid
inner join pg_class as w on coalesce(pg_partition_root(c.oid), c.oid) = w.oid
inner join pg_namespace as n on w.relnamespace = n.oid
where l.pid = pg_backend_pid() and l.locktype = 'relation'
    and w.relkind in ('r', 'p', 'v', 'm', 'f')
    and n.nspname !~ '^pg_' and n.nspname <> 'information_schema';

-- name: add
-- Add reads to those of the day. No rows.
insert into relation_use as u (role, schema_name, relation_name, day, calls, rows, seconds)
values (
    %(role)s, %(schema_name)s, %(relation_name)s,
    (clock_timestamp() at time zone 'UTC')::date, %(calls)s, %(rows)s, %(seconds)s
)
on conflict (role, schema_name, relation_name, day) do update
set
    calls = u.calls + excluded.calls,
    rows = u.rows + excluded.rows,
    seconds = u.seconds + excluded.seconds;

-- name: note_counted
-- Note how far a statement is counted. No rows.
insert into statement_counted (role, query_id, is_top, counted_since, calls, rows, seconds)
values (
    %(role)s, %(query_id)s, %(is_top)s, %(counted_since)s, %(calls)s, %(rows)s, %(seconds)s
)
on conflict (role, query_id, is_top) do update
set
    counted_since = excluded.counted_since,
    calls = excluded.calls,
    rows = excluded.rows,
    seconds = excluded.seconds;

-- name: forget_counted
-- Forget statements that the server has forgotten. No rows.
delete from statement_counted as c
where not exists (
    select 1
    from public.pg_stat_statements(false) as s
    inner join pg_roles as r on s.userid = r.oid
    where r.rolname = c.role and s.queryid = c.query_id and s.toplevel = c.is_top
);

-- name: forget_calls
-- Let a replica forget the calls of a statement by a login, which are counted. One row.
select public.pg_stat_statements_reset(r.oid, d.oid, %(query_id)s) as reset_at
from pg_roles as r
cross join pg_database as d
where r.rolname = %(role)s and d.datname = current_database();

-- name: used
-- Who read what in so many days. One row per relation and login.
select
    u.schema_name,
    u.relation_name,
    u.role,
    sum(u.calls)::bigint as calls,
    sum(u.rows)::bigint as rows,
    sum(u.seconds) as seconds,
    max(u.day) as last_day
from relation_use as u
where u.day > (clock_timestamp() at time zone 'UTC')::date - %(days)s
group by u.schema_name, u.relation_name, u.role
order by u.schema_name, u.relation_name, calls desc, u.role;

-- name: first_day
-- The day from which on reads are counted. One row.
select min(day) from relation_use;

-- name: cube
-- A cube in the database: its kind and its comment. One row or none.
select
    c.relkind::text as kind,
    obj_description(c.oid, 'pg_class') as comment
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname = %(schema)s and c.relname = %(cube)s and c.relkind in ('r', 'm');

-- name: drop_view
-- Drop a masked view on a cube. No rows.
drop view if exists {view};

-- name: forget_cube
-- Forget through which load a cube is made. No rows.
delete from cube_refresh
where schema_name = %(schema)s and cube_name = %(cube)s;
