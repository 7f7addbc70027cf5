-- The record of a run of the checks.

-- name: one_snapshot
-- See one state of the database in all the SQL checks. The first statement of a transaction.
set transaction_isolation = 'repeatable read';

-- name: read_only
-- Change nothing.
set transaction_read_only = on;

-- name: begin_run
-- Open the record of a run. One row.
insert into check_run default values
returning check_run_id;

-- name: add_result
-- Record what one check found. One row.
insert into check_result (
    check_run_id,
    check_name,
    table_name,
    column_name,
    dimension,
    severity,
    passed,
    rows_checked,
    rows_failed,
    message
)
values (
    %(check_run_id)s,
    %(name)s,
    %(table)s,
    %(column)s,
    %(dimension)s,
    %(severity)s,
    %(passed)s,
    %(rows_checked)s,
    %(rows_failed)s,
    %(message)s
);

-- name: finish_run
-- Close the record of a run. One row.
update check_run
set
    finished_at = clock_timestamp(),
    checks = %(checks)s,
    failed = %(failed)s,
    failed_critical = %(failed_critical)s
where check_run_id = %(check_run_id)s;
