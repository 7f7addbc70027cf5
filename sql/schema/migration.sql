-- What autogenerate writes into a migration apart from tables, and asks before it writes.

-- name: create_schema
-- A schema, of the warehouse or of cubes in the making. No rows.
create schema {schema};

-- name: drop_schema
-- The way back. No rows.
drop schema {schema};

-- name: create_domain
-- A type of staging: a base type, narrowed. No rows.
create domain {domain} as {base} {nullable} constraint {rule_name} check ({rule});

-- name: drop_domain
-- The way back. No rows.
drop domain {domain};

-- name: drop_rule
-- The rule of a domain goes, for another one. No rows.
alter domain {domain} drop constraint {rule_name};

-- name: add_rule
-- The rule of a domain. No rows.
alter domain {domain} add constraint {rule_name} check ({rule});

-- name: allow_null
-- Whether values of a domain may be missing. No rows.
alter domain {domain} {set_or_drop} not null;

-- name: domains
-- The domains of staging, with what they are made of. One row per domain.
select
    t.typname as name,
    format_type(t.typbasetype, t.typtypmod) as base,
    t.typnotnull as not_null,
    pg_get_expr(k.conbin, 0) as rule
from pg_type as t
left join pg_constraint as k on t.oid = k.contypid and k.contype = 'c'
where t.typnamespace = to_regnamespace(%(schema)s) and t.typtype = 'd'
order by t.typname;

-- name: try_table
-- A table to try rules on, with the columns of another one. No rows.
create temporary table tried (like {table});

-- name: try_rule
-- A rule on it. No rows.
alter table pg_temp.tried add constraint {rule_name} check ({rule});

-- name: rules_differ
-- Whether the rules that were tried say different things. One row.
select count(distinct pg_get_constraintdef(oid)) > 1
from pg_constraint
where conrelid = 'pg_temp.tried'::regclass and contype = 'c';

-- name: present
-- Which of these schemas there are. One row per schema.
select nspname::text
from pg_namespace
where nspname = any(%(schemas)s)
order by nspname;

-- name: keep_revision
-- The next migration that runs is the first; which one ran last is kept with the ledger. No rows.
alter table public.alembic_version set schema {ledger};

-- name: drop_revision
-- What migrations of a new warehouse ran counts no more. No rows.
drop table if exists public.alembic_version;

-- name: restore_revision
-- What migrations of the old warehouse ran counts again. No rows.
alter table ledger.alembic_version set schema public;
