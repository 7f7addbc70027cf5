-- Which loads a fact is made of.

-- name: build_loads
-- The loads of a feed that are in the facts of this build, and the current one, in the order of
-- their batches, and whether each is a snapshot. One row per load.
select
    l.load_id,
    f.kind = 'snapshot' as is_snapshot
from load as l
inner join load_file as f on l.load_id = f.load_id
inner join batch_order as o on l.load_id = o.load_id
where f.feed = %(feed)s and f.status = 'loaded'
    and (
        l.load_id = %(load_id)s
        or (
            {ledger/build.is_of_build}
            and exists (
                select 1
                from stage_run as r
                where r.load_id = l.load_id and r.stage = 'facts' and r.status = 'done'
            )
        )
    )
order by o.batch_rank;

-- name: named
-- The claims that a load names. One row per row.
select r.claim_id
from {staging} as r
where r.load_id = %(load_id)s;

-- name: rows_brought
-- How many rows of some feeds these loads brought. One row.
select coalesce(sum(f.rows_loaded), 0)
from load_file as f
where f.load_id = any(%(naming)s) and f.feed = any(%(feeds)s) and f.status = 'loaded';

-- name: holding
-- Those of the loads of a build that brought some claims, found in the index of every partition of
-- staging: whatever is read of these claims is in the partitions of these loads. One row.
select coalesce(array_agg(distinct s.load_id), '{{}}')
from {staging} as s
where s.load_id = any(%(build_loads)s) and s.claim_id in ({claims});

-- name: build_load
-- The same as bound, with the place of each in the order of the batches. One row per load.
select
    l.load_id,
    l.is_snapshot,
    l.batch_rank
from unnest(%(build_loads)s::bigint[], %(snapshots)s::boolean[])
    with ordinality as l (load_id, is_snapshot, batch_rank);
