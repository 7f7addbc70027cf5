-- Layout: where the tables of a build lie on the nodes of a cluster.

-- name: has_history
-- Whether a build has a schema of its own in which loads change its dimensions. One row.
select exists(
    select 1
    from pg_trigger as t
    inner join pg_class as c on t.tgrelid = c.oid
    inner join pg_namespace as n on c.relnamespace = n.oid
    where n.nspname = %(schema)s and c.relname = %(table)s and t.tgname = %(guard)s
);

-- name: put_on_every_node
-- Keep a table on every node, whole. One row.
select create_reference_table(%(table)s);

-- name: spread
-- Spread a table over the workers by a column, together with the rows of another table. One row.
select create_distributed_table(%(table)s, %(column)s, colocate_with => %(other)s);
