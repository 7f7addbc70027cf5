-- What the status of a claim says about its money. This is the only place of the rule: cubes, the
-- statements that follow their changes, checks and reports take the fragment in.
-- etl/render/claim_status.py returns it with the words of the contract.

-- name: state
-- Whether a claim is pending, denied, of a status that no contract knows, adjudicated, and paid
-- for. An empty status counts as approved: a sender without the column sends what was adjudicated.
-- Each answer is true or false, never empty. One row.
select
    said.word = 'pending' as is_pending,
    said.word = 'denied' as is_denied,
    said.word <> all({known_words}) as is_unknown,
    said.word = any({known_words}) and said.word <> 'pending' as is_adjudicated,
    said.word = any({known_words}) and said.word not in ('pending', 'denied') as is_paid
from (select coalesce(lower({status}), 'approved') as word) as said;
