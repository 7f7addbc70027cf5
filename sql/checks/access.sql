-- Checks of who may see what.
--: advice: make migrate brings the rights of the warehouse's roles to what etl/access/roles.py
--:     declares. A right that everybody has, or a role has through another one, must be revoked by
--:     hand.

-- name: rights
-- Whether each role may see of each relation what is declared, whoever gave it the right, may write
-- nothing and sees no part of a partitioned table by its own name. One row per rule; a row checked
-- is a role and a relation.
--: table: access
--: key: role, schema_name, relation_name
--: rule as_declared: critical, validity
--:   fails when: a role may see more or less of a relation than is declared, or change it, or a
--:     relation or column is not declared
--:   source: 45 CFR 164.308(a)(4), 164.312(a)(1)
with build as (
    -- What a schema of this build is called after it has gone live.
    select regexp_replace(current_schema(), '^warehouse', '') as suffix
),

relations as (
    select
        c.oid,
        c.relispartition as is_part,
        c.relname::text as relation_name,
        n.oid as schema_oid,
        case
            when s.schema_name in ('ledger', 'quality', 'access', 'audit') then n.nspname::text
            else left(n.nspname, length(n.nspname) - length(b.suffix))
        end as schema_name
    from build as b
    inner join (
        select distinct schema_name from access.declared_right
    ) as s on true
    inner join pg_namespace as n
        on n.nspname = s.schema_name || case
            when s.schema_name in ('ledger', 'quality', 'access', 'audit') then '' else b.suffix
        end
    inner join pg_class as c on n.oid = c.relnamespace and c.relkind in ('r', 'p', 'v', 'm')
),

-- What shows a person, of the columns that roles may see masked.
identifying as (
    select
        r.oid,
        a.attnum
    from relations as r
    inner join pg_attribute as a on r.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
    left join access.classification as k
        on r.schema_name = k.schema_name and r.relation_name = k.relation_name
        and a.attname = k.column_name
    where r.schema_name not in ('limited', 'limited_as_known', 'scoped', 'safe_harbor')
        and coalesce(k.identifier, 'unclassified') <> 'none'
),

judged as (
    select
        g.rolname::text as role,
        r.schema_name,
        r.relation_name,
        not coalesce(
            not has_table_privilege(g.oid, r.oid, 'insert, update, delete, truncate, trigger')
            and case
                when r.is_part then not has_any_column_privilege(g.oid, r.oid, 'select')
                when d.access = 'refused' then
                    not has_schema_privilege(g.oid, r.schema_oid, 'usage')
                    or not has_any_column_privilege(g.oid, r.oid, 'select')
                when not has_schema_privilege(g.oid, r.schema_oid, 'usage') then false
                when d.access = 'read' then has_table_privilege(g.oid, r.oid, 'select')
                when d.access = 'masked' then
                    has_any_column_privilege(g.oid, r.oid, 'select')
                    and not exists (
                        select 1
                        from identifying as i
                        where i.oid = r.oid
                            and has_column_privilege(g.oid, r.oid, i.attnum, 'select')
                    )
            end, false
        ) as is_broken
    from relations as r
    cross join (
        select distinct role from access.declared_right
    ) as n
    inner join pg_roles as g on n.role = g.rolname
    left join access.declared_right as d
        on n.role = d.role and r.schema_name = d.schema_name and r.relation_name = d.relation_name
)

select
    'as_declared' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys({key_of_row}) filter (where is_broken) as failing_keys
from judged;
