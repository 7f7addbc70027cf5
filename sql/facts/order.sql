-- name: loads
-- The loads of a feed that are in the facts of this build, and the one in hand, in the order of
-- their batches, and whether each is a snapshot. One row a load.
select
    l.load_id,
    f.kind = 'snapshot' as is_snapshot
from load as l
inner join load_file as f on l.load_id = f.load_id
where f.feed = %(feed)s and f.status = 'loaded'
    and (
        l.load_id = %(load_id)s
        or (
            l.status = any(%(statuses)s)
            and (l.is_rebuild or not %(is_rebuild)s)
            and exists (
                select 1
                from stage_run as r
                where r.load_id = l.load_id and r.stage = 'facts' and r.status = 'done'
            )
        )
    )
order by l.as_of, l.batch_id collate "C", l.load_id;

-- name: hold
-- Which facts are held before corrected rows come, of those that they may bring. One row a fact.
create temporary table held on commit drop as
select f.{key}
from {fact} as f
where {among};

-- name: columns
-- The columns of a fact but the load, which are also those of its past. One row.
select array_agg(a.attname::text order by a.attnum)
from pg_attribute as a
where a.attrelid = to_regclass(%(fact)s) and a.attnum > 0 and not a.attisdropped
    and a.attname <> 'load_id';

-- name: mark_unknown_before
-- Say of facts that a later load brought to the batch of an earlier one that they were not there
-- before it: a row of the past that no load before it knew. One row a fact.
insert into {past} ({columns}, load_id, known_to_load_id)
select
    {columns_of_fact},
    %(made_by)s,
    %(made_by)s
from {fact} as f
where {among}
    and not exists (
        select 1
        from held as h
        where h.{key} = f.{key}
    )
on conflict do nothing;

-- name: drop_held
-- Make room for the next fact. No rows.
drop table held;
