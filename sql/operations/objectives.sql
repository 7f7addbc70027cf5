-- Whether the service levels are met at an instant, from the ledger alone: whatever came after that
-- instant is left out. Each statement has a row per subject: subject, measured and allowed in the
-- objective's unit, and since when it is broken (NULL: it is met).

-- name: nightly_load
-- Whether a load ended well for the night of the latest deadline, with what the latest try came to
-- where none did; where none ever did nothing was late before now. One row.
with tries as (
    select
        a.command,
        a.began_at,
        a.error_class,
        case when a.ended_at <= %(now)s then a.ended_at end as ended_at
    from ledger.attempt as a
    where a.command = any(%(loads)s) and a.began_at <= %(now)s
),

late as (
    select
        case
            when good.ended_at >= %(night_began)s then null
            when good.ended_at is null then %(now)s::timestamptz
            else %(deadline)s::timestamptz
        end as since
    from (
        select
            coalesce(
                max(t.ended_at) filter (where t.error_class is null),
                -- Loads of before tries were written down.
                (select max(l.live_at) from ledger.load as l where l.live_at <= %(now)s)
            ) as ended_at
        from tries as t
    ) as good
)

select
    '' as subject,
    coalesce(extract(epoch from %(now)s - l.since), 0)::double precision as measured,
    %(limit)s::double precision as allowed,
    l.since as broken_since,
    case
        when l.since is null then ''
        when t.began_at is null or t.began_at < %(night_began)s then 'No load began since.'
        else format(
            '%%s began at %%s UTC and %%s.',
            t.command,
            to_char(t.began_at, 'YYYY-MM-DD HH24:MI'),
            case
                when t.ended_at is null then 'has not ended'
                else format('ended at %%s with %%s', to_char(t.ended_at, 'HH24:MI'), t.error_class)
            end
        )
    end as why
from late as l
left join (
    select *
    from tries
    order by began_at desc
    limit 1
) as t on true;

-- name: load_success
-- The share of runs that loaded in the last 28 days and ended well in the end. One row; none for
-- fewer than ten runs, of which a share says little.
select
    '' as subject,
    r.ended_well::double precision / r.runs as measured,
    %(limit)s::double precision as allowed,
    case when r.ended_well < %(limit)s * r.runs then r.latest_failure end as broken_since
from (
    select
        count(*) as runs,
        count(*) filter (where last.error_class is null) as ended_well,
        max(last.ended_at) filter (where last.error_class is not null) as latest_failure
    from (
        select distinct on (a.run_began_at)
            a.ended_at,
            a.error_class
        from ledger.attempt as a
        where a.command = any(%(loads)s)
            and a.ended_at between %(now)s - interval '28 days' and %(now)s
        order by a.run_began_at asc, a.number desc
    ) as last
) as r
where r.runs >= 10;

-- name: feed_freshness
-- How many days ago each feed came last. One that never came is late from the first batch of any
-- feed on. Synthetic batches have no day of the real world: of them the newest counts as of the day
-- on which it was first loaded. One row per feed with such a limit.
with batches as (
    select
        l.batch_id,
        l.as_of,
        f.feed,
        coalesce(f.contract, f.feed) as contract
    from ledger.load as l
    inner join ledger.load_file as f on l.load_id = f.load_id
    where l.status in ('loaded', 'running') and f.status in ('loaded', 'skipped')
        and l.started_at <= %(now)s
),

shift as (
    select
        case
            when %(is_synthetic)s then min(l.started_at) - l.as_of
            else interval '0'
        end as behind
    from ledger.load as l
    where (l.as_of, l.batch_id) = (
        select
            b.as_of,
            b.batch_id
        from batches as b
        order by b.as_of desc, b.batch_id desc
        limit 1
    )
    group by l.as_of
),

newest as (
    select distinct on (b.feed)
        b.feed,
        b.contract,
        b.as_of
    from batches as b
    order by b.feed asc, b.as_of desc
),

due as (
    select
        w.feed as subject,
        w.days as allowed,
        coalesce(n.as_of, (select min(b.as_of) from batches as b)) + s.behind as came_at
    from unnest(%(contracts)s::text[], %(feeds)s::text[], %(feed_days)s::double precision[])
        as w (contract, feed, days)
    left join newest as n on w.feed = n.feed
    cross join shift as s
    where w.contract = coalesce(n.contract, w.feed)
)

select
    d.subject,
    extract(epoch from %(now)s - d.came_at)::double precision / 86400 as measured,
    d.allowed,
    case
        when d.came_at + d.allowed * interval '1 day' < %(now)s
            then d.came_at + d.allowed * interval '1 day'
    end as broken_since
from due as d
order by d.subject;

-- name: latest_checks
-- The latest run of all checks on what is live. One row.
select max(r.check_run_id)
from quality.check_run as r
left join ledger.load as l on r.load_id = l.load_id
where r.gate is null and r.finished_at <= %(now)s
    and l.status is distinct from 'failed' and l.status is distinct from 'rebuilt';

-- name: quality_score
-- The weighted share of checks that passed in the latest run of all of them on what is live. At
-- most one row.
select
    '' as subject,
    scored.score as measured,
    %(limit)s::double precision as allowed,
    case when scored.score < %(limit)s then scored.started_at end as broken_since
from (
    select
        s.started_at,
        (sum(s.weight_passed) / sum(s.weight))::double precision as score
    from quality.check_score as s
    where s.check_run_id = ({operations/objectives.latest_checks})
    group by s.started_at
) as scored;

-- name: wal_backlog
-- Bytes of the log that the server must keep: segments that wait for the archive, or what the
-- slowest replication slot has not read. Since when is seen of segments only: from the
-- first one that is too much on. One row, none where the role may not see it.
with waiting as (
    select
        a.modification,
        row_number() over (order by a.modification) * s.bytes as bytes
    from pg_ls_archive_statusdir() as a
    cross join lateral (
        select pg_size_bytes(current_setting('wal_segment_size')) as bytes
    ) as s
    where a.name like '%%.ready'
),

kept as (
    select
        coalesce(max(w.bytes), 0) as segments,
        min(w.modification) filter (where w.bytes > %(limit)s) as broken_since,
        coalesce(
            (
                select max(pg_wal_lsn_diff(pg_current_wal_lsn(), r.restart_lsn))
                from pg_replication_slots as r
            ),
            0
        ) as slots
    from waiting as w
)

select
    '' as subject,
    greatest(k.segments, k.slots)::double precision as measured,
    %(limit)s::double precision as allowed,
    case
        when greatest(k.segments, k.slots) > %(limit)s then coalesce(k.broken_since, %(now)s)
    end as broken_since
from kept as k;

-- name: report_cost
-- How many times as much a report is expected to cost as before its plan changed its shape, apart
-- from what its tables have grown since. One row per report.
select
    p.report as subject,
    coalesce(c.ratio, 1) as measured,
    %(limit)s::double precision as allowed,
    case when c.ratio > %(limit)s then c.changed_at end as broken_since
from (
    select distinct report
    from ledger.report_plan
    where recorded_at <= %(now)s
) as p
left join ({operations/report_plans.changes}) as c on p.report = c.report
order by p.report;

-- name: report_seconds
-- How long a report takes, 95 in 100 times. One row per report that was run.
select
    s.report as subject,
    s.p95_seconds as measured,
    %(limit)s::double precision as allowed,
    case
        when s.p95_seconds > %(limit)s
            then (
                select min(p.recorded_at)
                from ledger.report_plan as p
                where p.report = s.report and p.seconds > %(limit)s
                    and p.recorded_at > %(now)s - interval '30 days' and p.recorded_at <= %(now)s
            )
    end as broken_since
from ({operations/report_plans.seconds}) as s
order by s.report;

-- name: backup_age
-- How long ago the newest backup that is there began; without one, the first load came. One row
-- where there is something to lose.
select
    '' as subject,
    extract(epoch from %(now)s - b.since)::double precision as measured,
    %(limit)s::double precision as allowed,
    case
        when b.since + %(limit)s * interval '1 second' < %(now)s
            then b.since + %(limit)s * interval '1 second'
    end as broken_since
from (
    select
        coalesce(
            (
                select max(n.started_at)
                from ledger.backup as n
                where n.finished_at <= %(now)s
                    and (n.deleted_at is null or n.deleted_at > %(now)s)
            ),
            ({operations/objectives.first_load})
        ) as since
) as b
where b.since is not null;

-- name: drill_age
-- How long ago a backup was last restored and compared; if that never was, the first load came. One
-- row where there is something to lose.
select
    '' as subject,
    extract(epoch from %(now)s - d.since)::double precision / 86400 as measured,
    %(limit)s::double precision as allowed,
    case
        when d.since + %(limit)s * interval '1 day' < %(now)s
            then d.since + %(limit)s * interval '1 day'
    end as broken_since
from (
    select
        coalesce(
            (
                select max(n.finished_at)
                from ledger.drill as n
                where n.succeeded and n.finished_at <= %(now)s
            ),
            ({operations/objectives.first_load})
        ) as since
) as d
where d.since is not null;

-- name: first_load
-- When the first load ended well. One row.
select min(l.finished_at)
from ledger.load as l
where l.status in ('loaded', 'superseded') and l.finished_at <= %(now)s;

-- name: held_feed
-- Files that wait because several of their sender in a row were refused. One row per sender and
-- feed that wait.
select
    case when h.sender = h.feed then h.feed else h.sender || ' ' || h.feed end as subject,
    extract(epoch from %(now)s - h.held_since)::double precision / 86400 as measured,
    %(limit)s::double precision as allowed,
    h.held_since as broken_since
from ledger.held_feed as h
where h.held_since <= %(now)s and coalesce(h.resumed_at > %(now)s, true)
order by subject;

-- name: latest_stage
-- Whether the latest stage that ended did so well; what stops a run fails its last stage. One row.
select
    '' as subject,
    count(*) filter (where r.status = 'failed')::double precision as measured,
    %(limit)s::double precision as allowed,
    min(r.finished_at) filter (where r.status = 'failed') as broken_since,
    coalesce(min(r.error_code), '') as why
from (
    select
        s.status,
        s.finished_at,
        s.error_code
    from ledger.stage_run as s
    where s.finished_at <= %(now)s
    order by s.finished_at desc
    limit 1
) as r;

-- name: refused_batches
-- How many batches are refused and not settled. One row.
select
    '' as subject,
    count(*)::double precision as measured,
    %(limit)s::double precision as allowed,
    min(b.refused_at) as broken_since,
    coalesce(min(b.refusal_code), '') as why
from ledger.refused_batch as b
where b.refused_at <= %(now)s and (b.settled_at is null or b.settled_at > %(now)s);

-- name: checks
-- Rows that fail a check that says that numbers are wrong: a critical or a major one. One row per
-- check that fails.
select
    f.check_name as subject,
    f.rows_failed::double precision as measured,
    %(limit)s::double precision as allowed,
    f.failing_since as broken_since,
    f.means as why
from quality.failing_now as f
where f.severity in ('critical', 'major') and f.failing_since <= %(now)s;

-- name: arrivals
-- What came last of a feed and is not like what came before: how many times the threshold it is.
-- One row per feed and check.
select
    f.check_name as subject,
    f.measured / nullif(f.threshold, 0) as measured,
    %(limit)s::double precision as allowed,
    f.failing_since as broken_since,
    f.means as why
from quality.failing_now as f
where f.severity = 'minor' and f.failing_since <= %(now)s
    and f.dimension in ('volume', 'reasonableness')
    and exists (
        select 1
        from quality.check_run as r
        inner join quality.check_result as c on r.check_run_id = c.check_run_id
        where r.gate = 'arrivals' and c.check_name = f.check_name
    );

-- name: disk_room
-- Bytes that are free where the database is, against what a full load takes next to what is live:
-- the tables once more, their log, and room to sort the largest. None where the disk cannot be seen
-- from here. At most one row.
select
    '' as subject,
    %(disk_free)s::double precision as measured,
    n.bytes::double precision as allowed,
    case when %(disk_free)s < n.bytes then %(now)s::timestamptz end as broken_since
from (
    select r.tables + least(r.tables, r.most_log) + r.largest as bytes
    from ({rebuild/room.needed}) as r
) as n
where %(disk_free)s::bigint is not null;

-- name: replica_lag
-- Seconds that a replica is behind, or has not read the log of its server. Nothing is measured of
-- one that the server does not know, or keeps no log for any more. One row per replica that
-- somebody wants.
select
    'replica ' || w.number as subject,
    m.seconds as measured,
    %(limit)s::double precision as allowed,
    case
        when m.why <> '' then coalesce(s.inactive_since, %(now)s)
        when m.seconds > %(limit)s
            then %(now)s - (m.seconds - %(limit)s) * interval '1 second'
    end as broken_since,
    m.why
from unnest(%(replicas)s::integer[]) as w (number)
left join ({server/replicas.slots}) as s on w.number = s.number
cross join lateral (
    select
        case
            when s.is_lost then null
            else coalesce(s.lag_seconds, extract(epoch from %(now)s - s.inactive_since))
        end as seconds,
        case
            when s.number is null then 'its server does not know it'
            when s.is_lost then 'it fell too far behind'
            else ''
        end as why
) as m
order by w.number;
