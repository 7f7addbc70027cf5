-- Steps that are the same for any table, temporary ones among them.

-- name: analyze
-- Statistics of all columns of a table. No rows.
analyze {table};

-- name: analyze_columns
-- Statistics of the columns by which a table is joined and grouped, of which sorting the values
-- costs least. No rows.
analyze {table} ({columns});

-- name: drop
-- Make room for another table of this name. No rows.
drop table {table};

-- name: rows_about
-- How many rows a table that is divided by month has, as the statistics of its parts say: those of
-- this server, which are none where rows lie on other nodes. One row.
select coalesce(sum(c.reltuples) filter (where c.reltuples > 0), 0)::bigint
from pg_inherits as i
inner join pg_class as c on i.inhrelid = c.oid
where i.inhparent = to_regclass(format('%%I.%%I', %(schema)s::text, %(table)s::text));

-- name: rows_about_on_nodes
-- The same on the workers of a cluster, where such a part of a month has a number behind its name.
-- One row.
select coalesce(sum(n.result::bigint), 0)::bigint
from run_command_on_workers(
    format(
        'select coalesce(sum(c.reltuples) filter (where c.reltuples > 0), 0)::bigint
        from pg_inherits as i
        inner join pg_class as c on i.inhrelid = c.oid
        inner join pg_class as p on i.inhparent = p.oid
        inner join pg_namespace as s on p.relnamespace = s.oid
        where s.nspname = %%L and p.relname ~ %%L',
        %(schema)s::text, '^' || %(table)s::text || '_[0-9]{{6,}}$'
    )
) as n
where n.success;
