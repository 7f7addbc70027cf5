-- What the status and the signs of a claim's amounts say about its money. This is the only place of
-- these rules: the stages, cubes, checks and reports take the fragments in from
-- etl/render/claim_status.py.

-- name: state
-- Whether a claim is pending, denied, reversed, of a status that no contract knows, adjudicated,
-- and paid for. An empty status counts as approved: a sender without the column sends what was
-- adjudicated. Each answer is true or false, never empty. One row.
select
    said.word = 'pending' as is_pending,
    said.word = 'denied' as is_denied,
    said.word = 'reversed' as is_reversed,
    said.word <> all({known_words}) as is_unknown,
    said.word = any({known_words}) and said.word <> 'pending' as is_adjudicated,
    said.word = any({known_words}) and said.word not in ('pending', 'denied') as is_paid
from (select lower(coalesce({status}, 'approved')) as word) as said;

-- name: is_reversal
-- Whether a state of a claim reverses the earlier ones of its claim id: it has an amount below zero
-- and is no adjustment, which counts with the amounts it bears. A fragment.
coalesce(  -- noqa: PRS, a condition
    least({row}.claim_amount, {row}.allowed_amount, {row}.paid_amount) < 0
    and lower({row}.status) is distinct from 'adjusted',
    false
)

-- name: is_reversed_in_file
-- Whether the file of a row also had the claim as it was before the row reverses it. A fragment.
({row}.load_id, {row}.claim_id) in (  -- noqa: PRS, a condition
    select
        n.load_id,
        n.key[1]
    from rejected_key as n
    where n.feed = 'claims' and n.reversed_in_full is not null
);

-- name: is_void
-- Whether nothing is left of a claim that was reversed, by its status or under another one, so that
-- nothing of its lines counts either: it came with amounts before. It reads a relation state as
-- above. A fragment.
(  -- noqa: PRS, a condition
    coalesce(c.claim_amount, 0) = 0
    and coalesce(c.allowed_amount, 0) = 0
    and coalesce(c.paid_amount, 0) = 0
    and (
        state.is_reversed
        or {had_amounts}
    )
)

-- name: had_amounts
-- Whether a claim came with amounts before. A fragment.
exists (  -- noqa: PRS, a condition
    select 1
    from {earlier_states} as earlier
    where earlier.claim_id = c.claim_id
        and greatest(earlier.claim_amount, earlier.allowed_amount, earlier.paid_amount) > 0
)

-- name: had_amounts_joined
-- The same of a claim to which the ones that did are joined: Citus has no condition on other rows
-- next to a relation that only reads those of the query around it. A fragment.
(had.claim_id is not null)  -- noqa: PRS, a condition

-- name: join_had_amounts
-- Joins those claims. A fragment.
left join (  -- noqa: PRS, a join
    select earlier.claim_id
    from {earlier_states} as earlier
    where greatest(earlier.claim_amount, earlier.allowed_amount, earlier.paid_amount) > 0
    group by earlier.claim_id
) as had on c.claim_id = had.claim_id
