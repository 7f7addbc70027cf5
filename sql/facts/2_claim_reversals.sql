-- Reversals of a claim under its own claim id. They leave nothing of it: amounts below zero count
-- as zero, because the state that they reverse is no longer there to make up for them. A reversal
-- with a claim id of its own is not one of these, for the claim that it reverses is still there.
--
--   before    claim  paid_amount
--             C1     100.00
--
--   arrivals  claim  paid_amount
--             C1     -100.00
--             C2      -30.00      C2 is new: a reversal of another claim
--
--   after     claim  paid_amount
--             C1     0.00
--             C2     -30.00

-- name: has_reversed_in_file
-- Whether the load reverses a claim that it brings itself. One row.
select exists(
    select 1
    from rejected_key as n
    where n.load_id = %(load_id)s and n.feed = 'claims' and n.reversed_in_full is not null
);

-- name: create_self_reversal
-- States that reverse their own claim. No rows.
create temporary table self_reversal (
    claim_id text not null,
    load_id bigint not null
) on commit drop;

-- name: find_of_latest
-- Those of a load whose batch is the latest. One row per claim.
with reversing as materialized (
    select
        s.claim_id,
        s.load_id,
        {s_in_file} as is_in_file
    from claims_raw as s
    where s.load_id = %(load_id)s and {s_is_reversal}
),

reversed as materialized (
    select f.claim_id
    from reversing as r
    cross join lateral (
        select f.claim_id
        from fact_claim as f
        where f.claim_id = r.claim_id and not {f_is_reversal}
        -- Keeps the look-up a look-up.
        order by f.claim_id
    ) as f
    union
    select f.claim_id
    from reversing as r
    cross join lateral (
        select f.claim_id
        from fact_claim_state as f
        where f.claim_id = r.claim_id and not {f_is_reversal}
        order by f.claim_id
    ) as f
)

insert into self_reversal (claim_id, load_id)
select
    r.claim_id,
    r.load_id
from reversing as r
where r.is_in_file or r.claim_id in (select d.claim_id from reversed as d);

-- name: find_of_late
-- Those of the affected claims, in the order of their batches. One row per claim and load.
insert into self_reversal (claim_id, load_id)
select
    t.claim_id,
    t.load_id
from (
    select
        s.claim_id,
        s.load_id,
        {s_is_reversal} as is_reversal,
        bool_or(s.is_deleted is not true and (not {s_is_reversal} or {s_in_file})) over (
            partition by s.claim_id
            order by l.batch_rank
            rows between unbounded preceding and current row
        ) as was_above_zero
    from ({build_load}) as l
    inner join claims_raw as s on l.load_id = s.load_id
    where s.load_id = any(%(holding)s)
        and s.claim_id in (
            select r.claim_id
            from claims_raw as r
            where r.load_id = any(%(holding)s) and {r_is_reversal}
                and r.claim_id in ({affected_claims})
        )
) as t
where t.is_reversal and t.was_above_zero;

-- name: netted
-- An amount as the fact has it. A fragment.
case  -- noqa: PRS, a value
    when {amount} < 0
        and (s.claim_id, s.load_id) in (
            select
                r.claim_id,
                r.load_id
            from self_reversal as r
        ) then 0
    else {stored}
end
