-- Views on the quarantine and the results of the checks: each statement is a view, made again by a
-- run if its text has changed.

-- name: rejected_row
-- Quarantine: the rows that were rejected; raw_line is empty for whoever is neither a data
-- steward nor the owner.
-- line counts on over the files of a feed, file_line is that of the file.
-- One row per line of a feed and reason.
select
    q.rejected_row_id,
    q.load_id,
    q.feed,
    q.file,
    q.line,
    q.column_name,
    q.reason,
    case
        when exists (
            select 1
            from pg_roles as r
            where r.rolname = 'aca_data_steward' and pg_has_role(current_user, r.oid, 'member')
        ) or pg_has_role(current_user, owner.relowner, 'member')
            then
                case
                    when (select audit.noted_by_view('quality.quarantined_line')) then t.raw_line
                end
    end as raw_line,
    q.created_at,
    q.closed_at,
    q.closed_by,
    q.line - coalesce(p.first_line, 2) + 2 as file_line
from quarantined_row as q
inner join pg_class as owner on owner.oid = 'quarantined_line'::regclass
left join quarantined_line as t on q.rejected_row_id = t.rejected_row_id
left join load_file_part as p
    on q.load_id = p.load_id and q.feed = p.feed and q.file = p.file_name;

-- name: source_file
-- Every file that was read, and which lines of its load are its rows: what is on source_line is
-- on line source_line - first_line + 2 of the file. last_line is empty where no other file follows.
-- One row per load, feed and file.
select
    l.load_id,
    l.batch_id,
    l.as_of,
    p.feed,
    p.part,
    p.file_name,
    p.first_line,
    lead(p.first_line) over (partition by p.load_id, p.feed order by p.part) - 1 as last_line,
    p.rows_read,
    p.rows_loaded,
    p.rows_rejected,
    p.rows_duplicate,
    p.rows_expired,
    p.rows_filtered,
    p.rows_added,
    p.xxh3_128
from load_file_part as p
inner join load as l on p.load_id = l.load_id
where p.first_line is not null;

-- name: quarantine_open
-- What the quarantine contains that nobody has dealt with: rows of the live build, and of files
-- that were refused and have not come since. One row per load, feed, column and reason.
select
    q.load_id,
    l.batch_id,
    l.as_of,
    q.feed,
    q.file,
    f.status = 'refused' as is_refused,
    q.reason,
    q.column_name,
    count(*) as rows_open,
    min(q.line - coalesce(p.first_line, 2) + 2) as first_line,
    min(q.created_at) as since
from quarantined_row as q
inner join load as l on q.load_id = l.load_id
left join load_file_part as p
    on q.load_id = p.load_id and q.feed = p.feed and q.file = p.file_name
inner join load_file as f on q.load_id = f.load_id and q.feed = f.feed
where q.closed_at is null and {quality/fragments.is_open}
group by q.load_id, l.batch_id, l.as_of, q.feed, q.file, f.status, q.reason, q.column_name;

-- name: check_judged
-- Every result, judged by the thresholds and severities of today: those of people before those of
-- the registry. Where a run looked at a share of the months, and the check failed before at claims
-- of others, it fails, with the counts of that earlier run, found_by_run_id. is_of_share says
-- whether the counts are of a share. One row per check and run.
select
    r.check_run_id,
    n.started_at,
    n.load_id,
    n.gate,
    r.check_name,
    r.table_name,
    r.column_name,
    r.dimension,
    coalesce(t.severity, d.severity, r.severity) as severity,
    shown.rows_checked,
    shown.rows_failed,
    shown.measured,
    d.unit,
    limits.threshold,
    limits.threshold_share,
    shown.passed,
    r.passed as passed_then,
    shown.message,
    d.means,
    d.advice,
    case
        when (select audit.noted_by_view('quality.check_result')) then shown.failing_keys
    end as failing_keys,
    shown.rows_judged,
    shown.check_run_id as found_by_run_id,
    shown.is_of_share
from check_result as r
inner join check_run as n on r.check_run_id = n.check_run_id
left join check_definition as d on r.check_name = d.check_name
left join check_threshold as t on r.check_name = t.check_name
cross join lateral (
    select
        coalesce(t.threshold, d.threshold, r.threshold, 0) as threshold,
        coalesce(t.threshold_share, d.threshold_share, r.threshold_share) as threshold_share
) as limits
cross join lateral (
    select
        f.check_run_id,
        f.rows_checked,
        f.rows_failed,
        f.measured,
        f.message,
        f.failing_keys,
        f.rows_judged,
        f.is_by_month and not of_run.is_whole as is_of_share,
        f.rows_checked is not null
        and (
            coalesce(f.measured, f.rows_failed) <= limits.threshold
            or f.rows_failed <= limits.threshold_share * f.rows_checked
        ) is true as passed
    from check_result as f
    inner join check_run as of_run on f.check_run_id = of_run.check_run_id
    where f.check_name = r.check_name and f.check_run_id in (r.check_run_id, r.open_run_id)
    order by
        coalesce(f.measured, f.rows_failed) <= limits.threshold
        or f.rows_failed <= limits.threshold_share * f.rows_checked nulls first,
        f.check_run_id desc
    limit 1
) as shown;

-- name: check_score
-- How good each table was in each aspect: the share of its checks that passed, a critical one
-- counting five times a minor one and a major one three times. One row per run on all that is
-- there, table and dimension of quality.
select
    j.check_run_id,
    j.started_at,
    j.load_id,
    j.table_name,
    j.dimension,
    count(*) as checks,
    count(*) filter (where not j.passed) as failed,
    count(*) filter (where not j.passed and j.severity = 'critical') as failed_critical,
    sum(w.weight) as weight,
    coalesce(sum(w.weight) filter (where j.passed), 0) as weight_passed,
    round(coalesce(sum(w.weight) filter (where j.passed), 0) / sum(w.weight), 4) as score
from check_judged as j
inner join (
    values ('critical', 5::numeric), ('major', 3::numeric), ('minor', 1::numeric)
) as w (severity, weight) on j.severity = w.severity
where j.gate is null
group by j.check_run_id, j.started_at, j.load_id, j.table_name, j.dimension;

-- name: check_trend
-- How good the warehouse was at each run, and how that differs from the run before. One row per run
-- on all that is there.
select
    s.check_run_id,
    s.started_at,
    s.load_id,
    sum(s.checks)::bigint as checks,
    sum(s.failed)::bigint as failed,
    sum(s.failed_critical)::bigint as failed_critical,
    round(sum(s.weight_passed) / sum(s.weight), 4) as score,
    round(sum(s.weight_passed) / sum(s.weight), 4)
    - lag(round(sum(s.weight_passed) / sum(s.weight), 4)) over (order by s.check_run_id)
        as score_change
from check_score as s
group by s.check_run_id, s.started_at, s.load_id;

-- name: check_episode
-- From when to when each check failed: the first run of a row of failures to the first run after
-- it that passed, of complete runs and of those that judge how feeds arrived. One row per
-- check and row of failures; resolved_at is empty while it fails.
with judged as not materialized (
    select
        j.*,
        sum((not j.passed and coalesce(j.passed_before, true))::integer) over (
            partition by j.check_name
            order by j.check_run_id
        ) as episode
    from (
        select
            check_name,
            check_run_id,
            started_at,
            severity,
            passed,
            lag(passed) over (partition by check_name order by check_run_id) as passed_before
        from check_judged
        where gate is null or gate = 'arrivals'
    ) as j
),

failed as (
    select
        check_name,
        episode,
        min(severity) as severity,
        min(check_run_id) as first_run_id,
        max(check_run_id) as last_run_id,
        min(started_at) as failing_since,
        count(*) as runs_failed
    from judged
    where not passed
    group by check_name, episode
)

select
    f.check_name,
    f.severity,
    f.first_run_id,
    f.last_run_id,
    f.runs_failed,
    f.failing_since,
    p.resolved_at,
    p.resolved_at - f.failing_since as time_to_resolve
from failed as f
left join (
    select
        check_name,
        episode,
        min(started_at) as resolved_at
    from judged
    where passed
    group by check_name, episode
) as p on f.check_name = p.check_name and f.episode = p.episode;

-- name: failing_now
-- What fails at the latest run on all that is there, or of how feeds arrived since then, the worst
-- first, with what to do and since when. One row per check.
with latest as (
    select
        c.check_name,
        max(r.check_run_id) as check_run_id
    from check_run as r
    inner join check_result as c on r.check_run_id = c.check_run_id
    where r.finished_at is not null and (r.gate is null or r.gate = 'arrivals')
        and r.check_run_id >= coalesce((
            select max(whole.check_run_id)
            from check_run as whole
            where whole.gate is null and whole.finished_at is not null
        ), 0)
    group by c.check_name
),

-- No more than their names, for who asks for keys that fail is noted.
failing as materialized (
    select
        l.check_name,
        l.check_run_id
    from latest as l
    inner join check_judged as j
        on l.check_name = j.check_name and l.check_run_id = j.check_run_id
    where not j.passed
),

-- Of the checks that fail alone: the runs of all of them take long after some years.
since as (
    select
        h.check_name,
        min(h.started_at) as failing_since,
        count(*) as runs_failed
    from (
        select
            j.check_name,
            j.check_run_id,
            j.started_at,
            max(j.check_run_id) filter (where j.passed) over (partition by j.check_name)
                as last_passed_run_id
        from check_judged as j
        inner join failing as f
            on j.check_name = f.check_name and j.check_run_id <= f.check_run_id
        where j.gate is null or j.gate = 'arrivals'
    ) as h
    where h.check_run_id > coalesce(h.last_passed_run_id, 0)
    group by h.check_name
)

select
    j.check_name,
    j.table_name,
    j.column_name,
    j.dimension,
    j.severity,
    j.rows_checked,
    j.rows_failed,
    j.measured,
    j.unit,
    j.threshold,
    j.threshold_share,
    j.means,
    j.advice,
    s.failing_since,
    s.runs_failed,
    j.failing_keys
from failing as f
inner join check_judged as j
    on f.check_name = j.check_name and f.check_run_id = j.check_run_id
inner join since as s on f.check_name = s.check_name
order by array_position(array['critical', 'major', 'minor'], j.severity), j.check_name;

-- name: judged_nothing_now
-- Checks that, at the latest run on all that is there, had rows to look at and could judge none of
-- them: no row has the values that the check compares, so that it passed says nothing.
-- One row per check.
select
    r.check_name,
    r.table_name,
    r.column_name,
    r.dimension,
    r.severity,
    r.rows_checked,
    r.message
from check_result as r
where r.rows_judged = 0
    and r.rows_checked > 0
    and r.check_run_id = (
        select max(n.check_run_id)
        from check_run as n
        where n.gate is null and n.finished_at is not null
    )
order by array_position(array['critical', 'major', 'minor'], r.severity), r.check_name;

-- name: time_to_resolve
-- How long failures of each severity lasted until a run passed. One row per severity.
select
    severity,
    count(*) as episodes,
    count(*) filter (where resolved_at is null) as unresolved,
    percentile_cont(0.5) within group (
        order by extract(epoch from time_to_resolve)
    ) * interval '1 second' as median_time_to_resolve,
    max(time_to_resolve) as longest_time_to_resolve
from check_episode
group by severity;

-- name: feed_arrival
-- What each load brought of a feed. One row per load of the live build and feed.
select
    l.load_id,
    l.batch_id,
    l.as_of,
    f.feed,
    f.kind,
    f.status,
    f.rows_read,
    f.rows_loaded,
    f.rows_rejected,
    f.rows_duplicate,
    f.rows_expired,
    f.rows_filtered,
    f.rows_added,
    f.size_bytes,
    f.contract,
    f.notes,
    l.as_of - lag(l.as_of) over (partition by f.feed order by l.as_of, l.load_id) as since_last
from load as l
inner join load_file as f on l.load_id = f.load_id
where l.status in ('loaded', 'running') and f.status in ('loaded', 'skipped');

-- name: feed_freshness
-- When each feed last came. age is as of now, behind is against the newest batch of any feed.
-- One row per feed.
select
    a.feed,
    max(a.as_of) as latest_as_of,
    now() - max(a.as_of) as age,
    max(max(a.as_of)) over () - max(a.as_of) as behind,
    count(*) as files,
    percentile_cont(0.5) within group (
        order by extract(epoch from a.since_last)
    ) * interval '1 second' as usual_interval
from feed_arrival as a
group by a.feed;
