-- name: parts
-- What costs less to make after many rows have come than to keep up with each: keys, indexes and
-- foreign keys, those of other tables that refer to it too. One row per part, with the statements
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

-- name: columns
-- The columns of a table in their order. One row.
select array_agg(attname::text order by attnum)
from pg_attribute
where attrelid = to_regclass(%(table)s) and attnum > 0 and not attisdropped;

-- name: declared
-- What a table is but for its rows, keys and indexes: rules, defaults, triggers and descriptions.
-- One row per statement that makes a part of it, in order.
with rules as (
    -- Rules of one statement are looked at in one pass over the rows.
    select
        format(
            'alter table %%s %%s',
            to_regclass(%(table)s),
            string_agg(
                format('add constraint %%I %%s', conname, pg_get_constraintdef(oid)),
                ', ' order by conname
            )
        ) as make_it
    from pg_constraint
    where conrelid = to_regclass(%(table)s) and contype in ('n', 'c')
    having count(*) > 0
),

columns as (
    select
        a.attnum,
        format('%%s.%%I', a.attrelid::regclass, a.attname) as name,
        format('alter table %%s alter %%I', a.attrelid::regclass, a.attname) as alter_it,
        pg_get_expr(d.adbin, d.adrelid) as default_value,
        col_description(a.attrelid, a.attnum) as description
    from pg_attribute as a
    left join pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
    where a.attrelid = to_regclass(%(table)s) and a.attnum > 0 and not a.attisdropped
),

parts as (
    select
        1 as position,
        make_it
    from rules
    union all
    select
        2,
        format('%%s set default %%s', alter_it, default_value)
    from columns
    where default_value is not null
    union all
    select
        3,
        pg_get_triggerdef(oid)
    from pg_trigger
    where tgrelid = to_regclass(%(table)s) and not tgisinternal
    union all
    select
        4,
        format('comment on column %%s is %%L', name, description)
    from columns
    where description is not null
    union all
    select
        5,
        format('comment on table %%s is %%L', to_regclass(%(table)s), described.comment)
    from (select obj_description(to_regclass(%(table)s), 'pg_class') as comment) as described
    where described.comment is not null
)

select make_it
from parts
order by position, make_it;

-- name: rename
-- The one that was made takes its name. No rows.
alter table {made} rename to {table};

-- name: empty
-- Begin a table that has no rows again. No rows.
truncate {emptied};

-- name: is_empty
-- Whether a table has no rows and never had any since it was truncated. That it has no bytes says
-- nothing where its rows lie on other nodes, so they are asked for too. One row.
select pg_relation_size(%(table)s::regclass) = 0 and not exists (select 1 from {emptied});

-- name: size
-- Bytes of a table's rows. One row.
select pg_relation_size(%(table)s::regclass);
