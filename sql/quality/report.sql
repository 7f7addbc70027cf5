-- What the report on data quality shows, read from the views and the ledger in one snapshot.
-- Instants come as they are; durations come in seconds.

-- name: views_are_there
-- Whether a run has made the views on quality. One row.
select to_regclass('quality.check_judged') is not null;

-- name: latest_run
-- The latest finished run of the checks on all that was there, with the load that it looked at
-- last and how many loads have come since. At most one row.
select
    r.check_run_id,
    r.started_at,
    r.finished_at,
    r.load_id,
    l.batch_id,
    l.as_of,
    l.status in ('rebuilt', 'failed') as is_not_live,
    clock_timestamp() as made_at,
    (
        select count(*)
        from ledger.load as later
        where later.load_id > r.load_id and later.status = 'loaded'
    ) as loads_since,
    case when not r.is_whole then r.months end as months,
    case when not r.is_whole then r.all_since end as all_since
from quality.check_run as r
left join ledger.load as l on r.load_id = l.load_id
where r.gate is null and r.finished_at is not null
order by r.check_run_id desc
limit 1;

-- name: trend
-- The score of the latest runs, the oldest first. One row per run on all that was there.
select
    t.check_run_id,
    t.started_at,
    t.load_id,
    t.checks,
    t.failed,
    t.failed_critical,
    t.score::double precision as score
from (
    select *
    from quality.check_trend
    order by check_run_id desc
    limit %(runs)s
) as t
order by t.check_run_id;

-- name: scores
-- How good each table was in each aspect at one run. One row per table and dimension of quality.
select
    table_name,
    dimension,
    checks,
    failed,
    failed_critical,
    score::double precision as score
from quality.check_score
where check_run_id = %(check_run_id)s
order by table_name, dimension;

-- name: failing
-- What fails at the latest run, the worst first. One row per check.
select {columns}
from quality.failing_now
order by
    array_position(array['critical', 'major', 'minor'], severity),
    rows_failed desc,
    check_name;

-- name: resolved
-- Failures that ended lately, the latest first. One row per check and row of failures.
select
    check_name,
    severity,
    failing_since,
    resolved_at,
    runs_failed,
    extract(epoch from time_to_resolve)::double precision as seconds
from quality.check_episode
where resolved_at is not null
order by
    resolved_at desc,
    array_position(array['critical', 'major', 'minor'], severity),
    check_name
limit %(most)s;

-- name: times_to_resolve
-- How long failures lasted, the worst severity first. One row per severity.
select
    severity,
    episodes,
    unresolved,
    extract(epoch from median_time_to_resolve)::double precision as median_seconds,
    extract(epoch from longest_time_to_resolve)::double precision as longest_seconds
from quality.time_to_resolve
order by array_position(array['critical', 'major', 'minor'], severity);

-- name: stopped
-- Checks that lately failed on the rows of one load, in the transaction that was to take them in.
-- The latest first. One row per run and check.
select
    j.started_at,
    j.gate,
    l.batch_id,
    j.check_name,
    j.severity,
    j.rows_checked,
    j.rows_failed,
    j.means,
    j.advice
from quality.check_judged as j
left join ledger.load as l on j.load_id = l.load_id
where j.gate is not null and not j.passed
order by
    j.check_run_id desc,
    array_position(array['critical', 'major', 'minor'], j.severity),
    j.check_name
limit %(most)s;

-- name: arrivals
-- What the latest loads brought of each feed, the oldest first. One row per load and feed.
select {columns}
from (
    select
        v.*,
        row_number() over (partition by v.feed order by v.as_of desc, v.load_id desc) as nth
    from quality.feed_arrival as v
) as a
where a.nth <= %(loads)s
order by a.feed, a.as_of, a.load_id;

-- name: freshness
-- When each feed last came. One row per feed.
select
    feed,
    latest_as_of,
    extract(epoch from age)::double precision as age_seconds,
    extract(epoch from behind)::double precision as behind_seconds,
    files,
    extract(epoch from usual_interval)::double precision as usual_seconds
from quality.feed_freshness
order by feed;

-- name: quarantine_reasons
-- Rejected rows that nobody has dealt with, the most first. One row per feed and reason.
select
    feed,
    reason,
    sum(rows_open)::bigint as rows_open,
    count(distinct load_id) as loads,
    min(since) as since
from quality.quarantine_open
group by feed, reason
order by rows_open desc, feed, reason;

-- name: quarantine
-- Where the rejected rows are, the latest load first. One row per load, feed, column and reason.
select {columns}
from quality.quarantine_open
order by load_id desc, feed, rows_open desc, reason, column_name
limit %(most)s;

-- name: checks
-- Every check that is in use, with its latest result. One row per check.
select
    d.check_name,
    d.table_name,
    d.column_name,
    d.dimension,
    coalesce(j.severity, t.severity, d.severity) as severity,
    d.answered_by,
    d.means,
    j.check_run_id,
    j.started_at,
    j.passed,
    j.rows_checked,
    j.rows_failed,
    j.measured,
    d.unit,
    coalesce(j.threshold, t.threshold, d.threshold) as threshold,
    coalesce(j.threshold_share, t.threshold_share, d.threshold_share) as threshold_share,
    t.check_name is not null as is_changed,
    j.rows_judged
from quality.check_definition as d
left join quality.check_threshold as t on d.check_name = t.check_name
left join (
    select
        r.check_name,
        max(r.check_run_id) as check_run_id
    from quality.check_result as r
    inner join quality.check_run as n on r.check_run_id = n.check_run_id
    where n.gate is null and n.finished_at is not null
    group by r.check_name
) as latest on d.check_name = latest.check_name
left join quality.check_judged as j
    on latest.check_name = j.check_name and latest.check_run_id = j.check_run_id
where d.retired_at is null
order by d.table_name, d.check_name;
