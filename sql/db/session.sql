-- Settings of a session or transaction.

-- name: one_state
-- See one state of the database. The first statement of a transaction.
set transaction_isolation = 'repeatable read';

-- name: give_out
-- A name for the state that the transaction sees, by which others see it while this one lasts. One
-- row.
select pg_export_snapshot();

-- name: same_state
-- See the state that another transaction gave out. Before the first question of a transaction. No
-- rows.
set transaction snapshot {given_out};  -- noqa: PRS, unknown to the linter

-- name: change_nothing
-- Refuse every statement of the transaction that would write.
set transaction_read_only = on;

-- name: set_config
-- Change a setting, of the transaction or of the session. One row.
select set_config(%(name)s, %(value)s, %(is_local)s);

-- name: usual_patience
-- Wait for locks as long as sessions usually do from now on. No rows.
reset lock_timeout;
