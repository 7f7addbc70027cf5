-- What roles may read, as declared in etl/access/roles.py: found, granted and taken back.

-- name: make_role
-- A group role. Whoever may create roles makes it; without it nobody but the owner reads what it
-- may. No rows.
do $$
begin
    create role {role} nologin;
exception
    when duplicate_object or unique_violation then null;
    when insufficient_privilege then
        raise notice 'a role was not created: a superuser may create it';
end;
$$;

-- name: roles
-- Which of these roles there are. One row per role.
select rolname::text as role_name
from pg_roles
where rolname = any(%(roles)s);

-- name: relations
-- The tables, views and materialized views of some schemas with their columns in order; of a
-- partitioned table the whole. One row per relation.
select
    n.nspname::text as schema_name,
    c.relname::text as relation_name,
    array(
        select a.attname::text
        from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        order by a.attnum
    ) as columns
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname = any(%(schemas)s) and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
order by n.nspname, c.relname;

-- name: granted
-- What these roles may do with relations of some schemas. Without a column the whole relation is
-- meant, without a relation the schema. One row per role, relation, column and privilege.
with acls as (
    select
        c.relnamespace as schema_oid,
        c.relname::text as relation_name,
        null::text as column_name,
        c.relacl as acl
    from pg_class as c
    where c.relkind in ('r', 'p', 'v', 'm')
    union all
    select
        c.relnamespace,
        c.relname::text,
        a.attname::text,
        a.attacl
    from pg_attribute as a
    inner join pg_class as c on a.attrelid = c.oid
    where a.attacl is not null
    union all
    select
        n.oid,
        null,
        null,
        n.nspacl
    from pg_namespace as n
)

select
    r.rolname::text as role_name,
    n.nspname::text as schema_name,
    o.relation_name,
    o.column_name,
    lower(g.privilege_type) as privilege
from acls as o
inner join pg_namespace as n on o.schema_oid = n.oid
cross join lateral aclexplode(o.acl) as g
inner join pg_roles as r on g.grantee = r.oid
where n.nspname = any(%(schemas)s) and r.rolname = any(%(roles)s);

-- name: grant_relations
-- Let a role read relations. No rows.
grant select on {relations} to {role};

-- name: grant_columns
-- Let a role read some columns of a relation. No rows.
grant select ({columns}) on {relation} to {role};

-- name: grant_schemas
-- Let a role use names in schemas. No rows.
grant usage on schema {schemas} to {role};

-- name: revoke_relation
-- Take from a role what it may do with a relation. No rows.
revoke all on {relation} from {role};

-- name: revoke_columns
-- Take from a role what it may do with a column. No rows.
revoke all ({column}) on {relation} from {role};  -- noqa: PRS

-- name: revoke_schema
-- Take from a role what it may do with a schema. No rows.
revoke all on schema {schema} from {role};

-- name: forget_rights
-- Forget what is no longer declared. One row per role and relation.
delete from access.declared_right
where (role, schema_name, relation_name) in (
    select *
    from unnest(%(roles)s::text[], %(schemas)s::text[], %(relations)s::text[])
);

-- name: note_rights
-- Note what each role may see of each relation. One row per role and relation.
insert into access.declared_right (role, schema_name, relation_name, access)
select *
from unnest(%(roles)s::text[], %(schemas)s::text[], %(relations)s::text[], %(rights)s::text[]);

-- name: rights_noted
-- What was noted. One row per role and relation.
select
    role,
    schema_name,
    relation_name,
    access
from access.declared_right;

-- name: forget_classes
-- Forget what is no longer declared. One row per column.
delete from access.classification
where (schema_name, relation_name, column_name) in (
    select *
    from unnest(%(schemas)s::text[], %(relations)s::text[], %(columns)s::text[])
);

-- name: note_classes
-- Note which identifier each column is and what masked schemas make of it. One row per column.
insert into access.classification
(schema_name, relation_name, column_name, identifier, limited, safe_harbor)
select *
from unnest(
    %(schemas)s::text[],
    %(relations)s::text[],
    %(columns)s::text[],
    %(identifiers)s::text[],
    %(limited)s::text[],
    %(safe_harbor)s::text[]
);

-- name: classes_noted
-- What was noted. One row per column.
select
    schema_name,
    relation_name,
    column_name,
    identifier,
    limited,
    safe_harbor
from access.classification;
