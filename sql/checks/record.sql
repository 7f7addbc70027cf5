-- The record of a run of the checks.

-- name: begin_run
-- Open the record of a run, on one load in a stage's transaction, or a look at all that is there or
-- at a share of it. One row.
insert into check_run (load_id, gate, is_whole, months, since_load_id, all_since)
values (
    coalesce(
        %(load_id)s,
        (select max(load_id) from load where status = any(%(statuses)s))
    ),
    %(gate)s,
    %(is_whole)s,
    %(months)s::date[],
    %(since_load_id)s,
    case when %(months)s::date[] is not null then least(%(oldest)s::timestamptz, now()) end
)
returning check_run_id;

-- name: definitions
-- The registry as it is kept, of checks that are not retired. One row per check.
select {columns}
from check_definition
where retired_at is null;

-- name: retire
-- Mark the checks that the code declares no more. One row per check.
update check_definition
set retired_at = clock_timestamp()
where retired_at is null and not check_name = any(%(names)s);

-- name: thresholds
-- What people changed of the thresholds. One row per check.
select
    check_name,
    threshold,
    threshold_share,
    severity
from check_threshold;

-- name: finish_run
-- Close the record of a run. One row.
update check_run
set
    finished_at = clock_timestamp(),
    checks = %(checks)s,
    failed = %(failed)s,
    failed_critical = %(failed_critical)s,
    months_in_part = %(months_in_part)s::date[]
where check_run_id = %(check_run_id)s;
