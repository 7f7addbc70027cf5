-- What the catalog says of relations, for the dictionary.

-- name: relations
-- Tables, views and materialized views of schemas, with their columns and, of a view, its query.
-- Partitions are part of their table. One row per relation.
select
    n.nspname as schema_name,
    r.relname as relation_name,
    r.relkind::text as kind,
    regexp_replace(
        coalesce(obj_description(r.oid, 'pg_class'), ''), ' *Definition [0-9a-f]+\.$', ''
    ) as comment,
    case when r.relkind = 'v' then pg_get_viewdef(r.oid) end as query,
    array_agg(a.attname::text order by a.attnum) as columns,
    array_agg(format_type(a.atttypid, a.atttypmod) order by a.attnum) as types,
    array_agg(coalesce(col_description(r.oid, a.attnum), '') order by a.attnum) as meanings,
    array_agg(a.attnotnull order by a.attnum) as not_null
from pg_class as r
inner join pg_namespace as n on r.relnamespace = n.oid
inner join pg_attribute as a on r.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
where n.nspname = any(%(schemas)s) and r.relkind in ('r', 'p', 'v', 'm') and not r.relispartition
group by n.nspname, r.oid
order by array_position(%(schemas)s, n.nspname::text), r.relname;

-- name: keys
-- Primary keys and unique constraints and indexes without conditions. One row per key.
select
    n.nspname as schema_name,
    r.relname as relation_name,
    i.indisprimary as is_primary,
    array(
        select a.attname::text
        from unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
        inner join pg_attribute as a on i.indrelid = a.attrelid and k.attnum = a.attnum
        order by k.place
    ) as columns
from pg_index as i
inner join pg_class as r on i.indrelid = r.oid
inner join pg_namespace as n on r.relnamespace = n.oid
where i.indisunique and i.indpred is null and i.indexprs is null
    and n.nspname = any(%(schemas)s) and not r.relispartition
order by n.nspname, r.relname, i.indisprimary desc, i.indexrelid;

-- name: joins
-- Foreign keys. One row per key of a table that is not a partition.
select
    n.nspname as schema_name,
    r.relname as relation_name,
    array(
        select a.attname::text
        from unnest(c.conkey) with ordinality as k (attnum, place)
        inner join pg_attribute as a on c.conrelid = a.attrelid and k.attnum = a.attnum
        order by k.place
    ) as columns,
    target_schema.nspname as target_schema,
    target.relname as target_name,
    array(
        select a.attname::text
        from unnest(c.confkey) with ordinality as k (attnum, place)
        inner join pg_attribute as a on c.confrelid = a.attrelid and k.attnum = a.attnum
        order by k.place
    ) as target_columns
from pg_constraint as c
inner join pg_class as r on c.conrelid = r.oid
inner join pg_namespace as n on r.relnamespace = n.oid
inner join pg_class as target on c.confrelid = target.oid
inner join pg_namespace as target_schema on target.relnamespace = target_schema.oid
where c.contype = 'f' and c.conparentid = 0 and n.nspname = any(%(schemas)s)
order by n.nspname, r.relname, c.conname;

-- name: functions
-- Functions that return rows of a relation. One row per function.
select
    fn.nspname || '.' || f.proname as function_name,
    n.nspname || '.' || r.relname as relation_name
from pg_proc as f
inner join pg_namespace as fn on f.pronamespace = fn.oid
inner join pg_class as r on f.prorettype = r.reltype
inner join pg_namespace as n on r.relnamespace = n.oid
where fn.nspname = any(%(schemas)s);

-- name: latest_load
-- The latest load of what readers see. At most one row.
select
    l.load_id,
    l.batch_id,
    l.as_of
from load as l
where l.status = 'loaded'
order by l.as_of desc, l.load_id desc
limit 1;

-- name: profile
-- How many rows a relation has, and of each column how many have a value, how many different ones
-- there are, and the least and the greatest of those that may be shown. One row.
select
    count(*) as row_count,
    {measures}
from {relation};

-- name: fill
-- How many rows have a value of a column. A fragment.
count(  -- noqa: PRS, a value
    {column}
)

-- name: distinct
-- How many different values a column has. A fragment.
count(  -- noqa: PRS, a value
    distinct {column}
)

-- name: range
-- The least and the greatest value of a column as text. A fragment.
(  -- noqa: PRS, two values
    min({shown})
)::text,
(
    max({shown})
)::text

-- name: year
-- The year of a day of a person. A fragment.
extract(  -- noqa: PRS, a value
    year from {column}
)

-- name: expected
-- What the planner expects of a table's or a view's rows: how many. One row.
explain (format json) select from {relation};

-- name: estimated_distinct
-- About how many different values columns have, by the planner's statistics, for columns of which
-- these have been gathered. One row per column.
select
    s.attname::text as column_name,
    case
        when s.n_distinct >= 0 then s.n_distinct::bigint
        else round(-s.n_distinct * %(rows)s)::bigint
    end as values_count
from pg_stats as s
where s.schemaname = %(schema)s and s.tablename = %(name)s;
