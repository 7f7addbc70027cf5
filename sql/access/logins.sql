-- People's logins: which role each has, which states it may see, and the limits of its sessions.

-- name: is_ready
-- Whether the schema has what logins need, and roles may be made. One row.
select
    to_regclass('access.login_state') is not null
    and (select count(*) from pg_roles where rolname = any(%(roles)s)) = cardinality(%(roles)s)
    as is_migrated,
    r.rolcreaterole or r.rolsuper as makes_roles,
    r.rolsuper as is_superuser
from pg_roles as r
where r.rolname = current_user;

-- name: exists
-- Whether a role is a login, if only one that was kept out, and whether it is a superuser. One row
-- if it is there.
select
    r.rolcanlogin
    or not exists (select 1 from pg_auth_members as m where m.roleid = r.oid) as is_login,
    r.rolsuper
from pg_roles as r
where r.rolname = %(login)s;

-- name: create
-- A login that may do nothing yet. No rows.
create role {login} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls
password {verifier};

-- name: allow
-- Let a login in again, with so many sessions at once. No rows.
alter role {login} login connection limit {sessions};  -- noqa: PRS

-- name: keep_out
-- Let a login in no more. No rows.
alter role {login} nologin;

-- name: drop
-- Drop a login that owns nothing. No rows.
drop role {login};

-- name: settings
-- What a login's sessions in this database have set, as the statements that set it. One row per
-- setting.
alter role {login} in database {database} set {name} to {value};

-- name: search_path
-- Where names without a schema are looked for by a login in this database. No rows.
alter role {login} in database {database} set search_path to {path};

-- name: lacks_path
-- Whether nothing says where our own sessions in this database look for names without a schema.
-- One row.
select not exists (
    select 1
    from pg_db_role_setting as s
    cross join unnest(s.setconfig) as c (setting)
    where c.setting like 'search_path=%%'
        and s.setrole in (0, (select oid from pg_roles where rolname = session_user))
        and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
);

-- name: marts_first
-- Find the marts before all else for the rest of the session, if it may read them as they are: masked
-- roles have marts of their own, which they find already. One row then.
select set_config('search_path', concat_ws(', ', n.nspname, current_setting('search_path')), false)
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname = 'mart' and c.relname = 'claim' and has_table_privilege(c.oid, 'select');

-- name: shortcuts
-- The documented reports, with the question that each answers. One row per report.
select *
from (values {rows}) as r (shortcut, question);

-- name: roles_of
-- Which of these roles a login has. One row per role.
select g.rolname::text as role_name
from pg_auth_members as m
inner join pg_roles as g on m.roleid = g.oid
inner join pg_roles as l on m.member = l.oid
where l.rolname = %(login)s and g.rolname = any(%(roles)s)
order by g.rolname;

-- name: grant_role
-- Give a login a role. No rows.
grant {role} to {login};

-- name: revoke_role
-- Take a role from a login. No rows.
revoke {role} from {login};

-- name: forget_states
-- The states that a login might see. One row per state.
delete from access.login_state where login = %(login)s;

-- name: add_states
-- States whose members a login may see. One row per state.
insert into access.login_state (login, state)
select
    %(login)s,
    s.state
from unnest(%(states)s::text[]) as s (state);

-- name: end_sessions
-- End the sessions of a login. One row per session.
select pg_terminate_backend(pid) as ended
from pg_stat_activity
where usename = %(login)s and datname = current_database();

-- name: logins
-- The logins that have one of these roles. One row per login and role.
select
    l.rolname::text as login,
    g.rolname::text as role_name,
    l.rolcanlogin as may_log_in,
    coalesce(
        (
            select string_agg(s.state, ', ' order by s.state)
            from access.login_state as s
            where s.login = l.rolname
        ), ''
    ) as states,
    count(a.pid) as sessions
from pg_auth_members as m
inner join pg_roles as g on m.roleid = g.oid
inner join pg_roles as l on m.member = l.oid
left join pg_stat_activity as a on l.rolname = a.usename and a.datname = current_database()
where g.rolname = any(%(roles)s)
group by l.rolname, g.rolname, l.rolcanlogin
order by l.rolname, g.rolname;

-- name: state_of_most
-- The state with the most members. One row, if there are any.
select state
from warehouse.dim_member
where current_flag and state is not null
group by state
order by count(*) desc, state
limit 1;
