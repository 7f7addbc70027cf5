-- Transactions that only read.

-- name: one_state
-- See one state of the database. The first statement of a transaction.
set transaction_isolation = 'repeatable read';

-- name: change_nothing
-- Refuse every statement of the transaction that would write.
set transaction_read_only = on;
