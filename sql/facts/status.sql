-- What the status of a claim says about its money: the one place where this rule stands. Cubes,
-- what follows their changes, and checks take the fragment in; etl/render/claim_status.py hands it
-- out with the words of the contract.

-- name: state
-- Whether a claim is pending, denied, of a status that no contract knows, adjudicated, and paid
-- for. Its status is the only column of that name around it. An empty status counts as approved: a
-- sender without the column sends what was adjudicated. Each answer is true or false, never empty.
-- One row.
select
    said.word = 'pending' as is_pending,
    said.word = 'denied' as is_denied,
    said.word <> all({known_words}) as is_unknown,
    said.word = any({known_words}) and said.word <> 'pending' as is_adjudicated,
    said.word = any({known_words}) and said.word not in ('pending', 'denied') as is_paid
from (select coalesce(lower(status), 'approved') as word) as said;
