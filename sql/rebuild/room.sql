-- What a rebuild takes on the disk of the database.

-- name: needed
-- Bytes that the tables of a build take with their indexes, of the largest of them (its partitions
-- together), and how much log the server keeps at most. One row.
with sizes as (
    select sum(pg_total_relation_size(c.oid)) as bytes
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where n.nspname = any(%(schemas)s) and c.relkind in ('r', 'm')
    group by coalesce(pg_partition_root(c.oid), c.oid)
)

select
    coalesce(sum(bytes), 0)::bigint as tables,
    coalesce(max(bytes), 0)::bigint as largest,
    pg_size_bytes(current_setting('max_wal_size')) as most_log
from sizes;
