-- Checks of what the planner needs to find rows quickly: indexes, and statistics.

-- name: planner
-- Whether every declared index is there and valid, and whether every table with rows has statistics
-- of some column. Of a partition the indexes are those of its table. One row per rule.
--: table: planner
--: key: schema_name, relation_name
--: gate: arrivals
--: rule indexes_are_there: major, validity
--:   fails when: a declared index is missing or not valid, so that queries read whole tables
--:   advice: Create it again as etl/schema declares it (the migrations have the statement), or make
--:     full-load, which makes all that a build has. Find out who dropped it.
--: rule statistics_are_there: major, validity
--:   fails when: a table with rows has no statistics, so that the planner guesses
--:   advice: Run analyze on the tables by name as the owner. Find out what took them away.
with places as (
    select n.oid as schema_oid
    from pg_namespace as n
    where n.nspname = any(current_schemas(false))
),

indexes as (
    select
        d.index_name as relation_name,
        exists(
            select 1
            from pg_class as c
            inner join pg_index as i on c.oid = i.indexrelid and i.indisvalid
            inner join pg_namespace as n on c.relnamespace = n.oid
            where c.relname = d.index_name
                -- On a cluster unique keys of dimensions are where loads change these.
                and regexp_replace(n.nspname, '^history', 'warehouse')
                = any(current_schemas(false))
        ) as is_there
    from unnest({declared_indexes}::text[]) as d (index_name)
),

filled as (
    select
        n.nspname::text as schema_name,
        c.relname::text as relation_name,
        c.reltuples >= 0 and exists (
            select 1
            from pg_stats as s
            where s.schemaname = n.nspname and s.tablename = c.relname
        ) as is_known
    from pg_class as c
    inner join places as p on c.relnamespace = p.schema_oid
    inner join pg_namespace as n on c.relnamespace = n.oid
    where c.relkind in ('r', 'm') and c.relpersistence <> 't'
        and (c.reltuples > 0 or (c.reltuples < 0 and pg_relation_size(c.oid) > 0))
        and n.nspname !~ '^(ledger|quality|access|audit)$'
)

select
    'indexes_are_there' as rule,
    count(*) as rows_checked,
    count(*) filter (where not is_there) as rows_failed,
    some_keys(jsonb_build_object('relation_name', relation_name)) filter (where not is_there)
        as failing_keys
from indexes
union all
select
    'statistics_are_there',
    count(*),
    count(*) filter (where not is_known),
    some_keys(
        jsonb_build_object('schema_name', schema_name, 'relation_name', relation_name)
    ) filter (where not is_known)
from filled;
