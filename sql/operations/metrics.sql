-- What the metrics file says of the warehouse, from the ledger up to an instant. Each statement has
-- the metric's labels, in order, and its value last.

-- name: stage_seconds
-- How long each stage took when it was last done. One row per stage.
select distinct on (r.stage)
    r.stage,
    extract(epoch from r.finished_at - r.started_at)::double precision as value
from ledger.stage_run as r
where r.status = 'done' and r.finished_at <= %(now)s
order by r.stage, r.finished_at desc;

-- name: stage_rows
-- What each stage counted when it was last done. One row per stage and count.
select
    r.stage,
    c.name,
    c.value::double precision as value
from (
    select distinct on (r.stage)
        r.stage,
        r.counts
    from ledger.stage_run as r
    where r.status = 'done' and r.finished_at <= %(now)s
    order by r.stage, r.finished_at desc
) as r
cross join lateral jsonb_each_text(r.counts) as c (name, value)
order by r.stage, c.name;

-- name: quarantine_open_rows
-- Rejected rows that nobody has dealt with, as quality.quarantine_open has them. They can be
-- millions: they are counted before anything is joined to them. One row per feed that has some.
select
    q.feed,
    sum(q.rows_open)::double precision as value
from (
    select
        r.load_id,
        r.feed,
        count(*) as rows_open
    from quality.quarantined_row as r
    where r.closed_at is null
    group by r.load_id, r.feed
) as q
inner join ledger.load as l on q.load_id = l.load_id
inner join ledger.load_file as f on q.load_id = f.load_id and q.feed = f.feed
where {quality/fragments.is_open}
group by q.feed
order by q.feed;

-- name: failed_checks
-- Checks that failed in the latest run of all of them on what is live. One row per severity.
select
    s.severity,
    count(j.check_name)::double precision as value
from unnest(%(severities)s::text[]) with ordinality as s (severity, place)
left join quality.check_judged as j
    on s.severity = j.severity and not j.passed
    and j.check_run_id = ({operations/objectives.latest_checks})
group by s.severity, s.place
order by s.place;

-- name: report_seconds
-- How long each documented report took when it was last run. One row per report.
select distinct on (p.report)
    p.report,
    p.seconds as value
from ledger.report_plan as p
where p.seconds is not null and p.recorded_at <= %(now)s
order by p.report, p.recorded_at desc;

-- name: backup_age
-- How long ago the newest backup that is there began. One row if there is one.
select extract(epoch from %(now)s - max(b.started_at))::double precision as value
from ledger.backup as b
where b.finished_at <= %(now)s and (b.deleted_at is null or b.deleted_at > %(now)s)
having count(*) > 0;

-- name: drill_age
-- How long ago a backup was last restored and compared well. One row if one was.
select extract(epoch from %(now)s - max(d.finished_at))::double precision as value
from ledger.drill as d
where d.succeeded and d.finished_at <= %(now)s
having count(*) > 0;

-- name: last_success
-- When each command last ended well, seconds since 1970. One row per command.
select
    a.command,
    extract(epoch from max(a.ended_at))::double precision as value
from ledger.attempt as a
where a.error_class is null and a.ended_at <= %(now)s
group by a.command
order by a.command;

-- name: replica_lag_seconds
-- How long ago the server wrote what a replica has not applied. One row per replica that reads.
select
    s.number::text as replica,
    s.lag_seconds as value
from ({server/replicas.slots}) as s
where s.lag_seconds is not null
order by s.number;

-- name: replica_lag_bytes
-- Bytes of the server's log that a replica has not applied. One row per replica that reads.
select
    s.number::text as replica,
    s.lag_bytes::double precision as value
from ({server/replicas.slots}) as s
where s.lag_bytes is not null
order by s.number;
