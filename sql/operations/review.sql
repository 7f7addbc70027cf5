-- What the ledger knows of the time around an incident, for its review.

-- name: tries
-- Runs of that time, each try of them. One row per try.
select
    a.began_at,
    a.ended_at,
    a.command,
    a.number,
    a.error_class,
    a.sqlstate
from ledger.attempt as a
where a.began_at <= %(until)s and coalesce(a.ended_at, %(until)s) >= %(since)s
order by a.began_at;

-- name: stages
-- Stages that ran then, with why they failed, in order. One row per stage run.
select
    r.started_at,
    r.finished_at,
    r.stage,
    l.batch_id,
    r.status,
    r.error
from ledger.stage_run as r
left join ledger.load as l on r.load_id = l.load_id
where r.started_at <= %(until)s and coalesce(r.finished_at, %(until)s) >= %(since)s
order by r.started_at, r.stage_run_id;

-- name: refused
-- Batches that were refused then. One row per batch and stretch of time.
select
    b.refused_at,
    b.folder,
    b.refusal_code,
    b.reason
from ledger.refused_batch as b
where b.refused_at between %(since)s and %(until)s
order by b.refused_at;

-- name: checks
-- Checks that began to fail then. One row per check and row of failures.
select
    e.failing_since,
    e.check_name,
    e.severity,
    e.resolved_at
from quality.check_episode as e
where e.failing_since between %(since)s and %(until)s
order by e.failing_since, e.check_name;

-- name: plans
-- Reports whose plan got another shape then, with what the planner expected before and after. One
-- row per report and change.
select
    p.recorded_at,
    p.report,
    p.cost_before,
    p.cost
from (
    select
        r.recorded_at,
        r.report,
        r.cost,
        r.shape_hash,
        lag(r.cost) over (partition by r.report order by r.recorded_at) as cost_before,
        lag(r.shape_hash) over (partition by r.report order by r.recorded_at) as hash_before
    from ledger.report_plan as r
    where r.recorded_at <= %(until)s
) as p
where p.recorded_at >= %(since)s and p.shape_hash <> p.hash_before
order by p.recorded_at, p.report;

-- name: others
-- Other incidents of that time. One row per incident.
select
    i.began_at,
    i.incident_id
from ledger.incident as i
where i.incident_id <> %(incident_id)s
    and i.began_at <= %(until)s and coalesce(i.resolved_at, %(until)s) >= %(since)s
order by i.began_at;
