-- Layout: where the tables of a build lie on the nodes of a cluster.

-- name: has_history
-- Whether a build has a schema of its own in which loads change its dimensions. One row.
select exists(
    select 1
    from pg_namespace as n
    where n.nspname = %(schema)s and {schema/layout.is_history}
);

-- name: is_history
-- Whether a schema n is such a one, and none of its name that somebody else made: its dimension has
-- a guard. A fragment.
exists (  -- noqa: PRS, a condition
    select 1
    from pg_class as g
    inner join pg_trigger as t on g.oid = t.tgrelid
    where g.relnamespace = n.oid and g.relname = %(guarded)s and t.tgname = %(guard)s
)

-- name: put_on_every_node
-- Keep a table on every node, whole. One row.
select create_reference_table(%(table)s);

-- name: spread
-- Spread a table over the workers by a column, together with the rows of another table. One row.
select create_distributed_table(%(table)s, %(column)s, colocate_with => %(other)s);

-- name: rows
-- The rows of a table, asked for by themselves. A fragment.
(  -- noqa: PRS, rows
    select *
    from {table}
    offset 0
)

-- name: noted_rows
-- Rows with the note that somebody asks for them, of a view that has the rights of its owner. The
-- coordinator makes it, once a statement: what only the coordinator has Citus asks first and by
-- itself. No part of a query changes that, since nothing of the reader is in there.
select shown.*
from ({rows}) as shown
where (
    select audit.noted_by_view({relation})
    from {kept}
    limit 1
);

-- name: refused_rows
-- The columns of a table or view of the build, as a statement for a view that cannot be read on a
-- cluster: it says why when it is asked for rows. No value is one that the planner knows, or a
-- condition on it would be false before anybody is refused. One row.
select format(
    'select %%s from (select %%I.refuse_to_read(%%L) as may_be_read) as refused '
    'where refused.may_be_read',
    string_agg(
        format(
            'case when refused.may_be_read then null::%%s end as %%I',
            format_type(a.atttypid, a.atttypmod),
            a.attname
        ),
        ', '
        order by a.attnum
    ),
    %(schema)s::text,
    %(why)s::text
) as statement
from pg_attribute as a
where a.attrelid = %(relation)s::regclass and a.attnum > 0 and not a.attisdropped;
