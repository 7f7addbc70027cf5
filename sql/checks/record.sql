-- The record of a run of the checks.

-- name: begin_run
-- Open the record of a run, on one load in a stage's transaction or on all that is there.
-- One row.
insert into check_run (load_id, gate)
values (
    coalesce(
        %(load_id)s,
        (select max(load_id) from load where status = any(%(statuses)s))
    ),
    %(gate)s
)
returning check_run_id;

-- name: definitions
-- The registry as it is kept, of checks that are not retired, in the order of a check's fields.
-- One row a check.
select
    check_name,
    table_name,
    column_name,
    dimension,
    severity,
    means,
    advice,
    threshold,
    threshold_share,
    unit,
    answered_by
from check_definition
where retired_at is null;

-- name: define
-- Keep the registry as the code declares it. One row a check.
insert into check_definition as d (
    check_name,
    table_name,
    column_name,
    dimension,
    severity,
    answered_by,
    means,
    advice,
    unit,
    threshold,
    threshold_share
)
values (
    %(name)s,
    %(table)s,
    %(column)s,
    %(dimension)s,
    %(severity)s,
    %(answered_by)s,
    %(means)s,
    %(advice)s,
    %(unit)s,
    %(threshold)s,
    %(threshold_share)s
)
on conflict (check_name) do update
    set
        table_name = excluded.table_name,
        column_name = excluded.column_name,
        dimension = excluded.dimension,
        severity = excluded.severity,
        answered_by = excluded.answered_by,
        means = excluded.means,
        advice = excluded.advice,
        unit = excluded.unit,
        threshold = excluded.threshold,
        threshold_share = excluded.threshold_share,
        retired_at = null;

-- name: retire
-- Mark the checks that the code declares no more. One row a check.
update check_definition
set retired_at = clock_timestamp()
where retired_at is null and not check_name = any(%(names)s);

-- name: thresholds
-- What people changed of the thresholds. One row a check.
select
    check_name,
    threshold,
    threshold_share,
    severity
from check_threshold;

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
    rows_judged,
    rows_failed,
    message,
    measured,
    threshold,
    threshold_share,
    failing_keys
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
    %(rows_judged)s,
    %(rows_failed)s,
    %(message)s,
    %(measured)s,
    %(threshold)s,
    %(threshold_share)s,
    %(failing_keys)s
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
