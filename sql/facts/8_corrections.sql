-- Corrections: rows of an earlier load that were corrected later. As of any day before the
-- correction the facts have to be what they were, so a fact that it adds is marked as unknown
-- until then.
--
--   before    claim of load 3  in fact_claim
--             C1               no: its row was rejected
--
--   arrivals  load 9 corrects the row of C1 in load 3
--
--   after     claim of load 3  in fact_claim  in fact_claim_past
--             C1               yes            unknown until load 9

-- name: keep_before
-- The facts that exist before the corrected rows come, of those that they may bring.
-- One row per fact.
create temporary table fact_before on commit drop as
select f.{key}
from {fact} as f
where {is_affected};

-- name: mark_unknown_before
-- Facts that the correcting load adds to the batch of an earlier load did not exist before it: a
-- row of the past that no load before it knew. One row per fact.
with before as materialized (
    select b.{key}
    from fact_before as b
)

insert into {past} ({columns}, load_id, known_to_load_id)
select
    {columns_of_fact},
    %(current_load_id)s,
    %(current_load_id)s
from {fact} as f
where {is_affected}
    and not exists (
        select 1
        from before as h
        where h.{key} = f.{key}
    )
on conflict do nothing;
