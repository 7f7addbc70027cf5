-- name: note
-- Enter that a batch was refused, or that it was refused once more. One row, if it is a new one.
with again as (
    update refused_batch
    set
        load_id = %(load_id)s,
        reason = %(reason)s,
        refusal_code = %(refusal_code)s,
        advice = %(advice)s,
        tried_at = clock_timestamp()
    where settled_at is null and (folder = %(folder)s or load_id = %(load_id)s)
    returning refused_batch_id
)

insert into refused_batch (folder, load_id, reason, refusal_code, advice)
select
    %(folder)s,
    %(load_id)s,
    %(reason)s,
    %(refusal_code)s,
    %(advice)s
where not exists (select 1 from again);

-- name: open
-- Batches that were refused and not seen to be settled, the latest first. One row per batch.
select
    r.refused_batch_id,
    r.folder,
    r.refused_at,
    r.reason,
    r.refusal_code,
    r.advice,
    coalesce(l.status = 'running', false) as is_stopped
from refused_batch as r
left join load as l on r.load_id = l.load_id
where r.settled_at is null
order by r.tried_at desc, r.folder;

-- name: settle
-- Enter that refused batches are settled. One row per batch.
update refused_batch
set settled_at = clock_timestamp()
where refused_batch_id = any(%(settled)s);
