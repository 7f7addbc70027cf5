-- name: parts
-- What costs less to make after many rows have come than to keep up with each: keys, indexes and
-- foreign keys, those of other tables that refer to it too. One row a part, with the statements
-- that drop it and make it again, in the order of dropping.
with foreign_keys as (
    select
        k.oid,
        k.contype,
        -- Whoever refers to the table needs its key, so that goes first and comes back last.
        case when k.confrelid = to_regclass(%(table)s) then 1 else 2 end as position
    from pg_constraint as k
    where k.contype = 'f' and k.conparentid = 0
        and to_regclass(%(table)s) in (k.conrelid, k.confrelid)
),

own_keys as (
    select
        k.oid,
        k.contype,
        case k.contype when 'u' then 3 else 5 end as position
    from pg_constraint as k
    where k.conrelid = to_regclass(%(table)s) and k.contype in ('p', 'u')
),

parts as (
    select
        c.position,
        k.conname as name,
        format('alter table %%s drop constraint %%I', k.conrelid::regclass, k.conname) as drop_it,
        format(
            'alter table %%s add constraint %%I %%s',
            k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)
        ) as make_it
    from (
        select * from foreign_keys
        union all
        select * from own_keys
    ) as c
    inner join pg_constraint as k on c.oid = k.oid
    union all
    select
        4,
        c.relname,
        format('drop index %%s', i.indexrelid::regclass),
        pg_get_indexdef(i.indexrelid)
    from pg_index as i
    inner join pg_class as c on i.indexrelid = c.oid
    where i.indrelid = to_regclass(%(table)s)
        and not exists (
            select 1
            from pg_constraint as k
            where k.conindid = i.indexrelid and k.contype in ('p', 'u')
        )
)

select
    drop_it,
    make_it
from parts
order by position, name;

-- name: size
-- Bytes of a table's rows. One row.
select pg_relation_size(%(table)s::regclass);
