-- Thresholds that people change, and what that makes of past results.

-- name: limits
-- What a check is judged by today: what people changed before what the registry says. At most one
-- row.
select
    coalesce(t.threshold, d.threshold) as threshold,
    coalesce(t.threshold_share, d.threshold_share) as threshold_share,
    coalesce(t.severity, d.severity) as severity,
    d.unit
from check_definition as d
left join check_threshold as t on d.check_name = t.check_name
where d.check_name = %(name)s and d.retired_at is null;

-- name: known
-- The checks that there are. One row per check.
select check_name
from check_definition
where retired_at is null
order by check_name;

-- name: change
-- Change a threshold or the severity of a check; what is not said stays. One row.
insert into check_threshold as t (check_name, threshold, threshold_share, severity, reason)
values (%(name)s, %(threshold)s, %(threshold_share)s, %(severity)s, %(reason)s)
on conflict (check_name) do update
    set
        threshold = coalesce(excluded.threshold, t.threshold),
        threshold_share = coalesce(excluded.threshold_share, t.threshold_share),
        severity = coalesce(excluded.severity, t.severity),
        reason = excluded.reason,
        changed_at = excluded.changed_at,
        changed_by = excluded.changed_by;

-- name: reset
-- Judge a check again by what the registry says. At most one row.
delete from check_threshold
where check_name = %(name)s;

-- name: judged
-- How the latest results of a check are judged today. One row per run.
select
    check_run_id,
    passed
from check_judged
where check_name = %(name)s
order by check_run_id desc
limit %(latest)s;
