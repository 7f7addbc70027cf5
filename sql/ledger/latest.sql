-- What the warehouse is like now, for the first screen of whoever opens it.

-- name: load
-- The load that came last, the day that the data speaks of, and how many loads there are. One row;
-- none where nothing is loaded.
select
    l.batch_id,
    l.finished_at,
    (select mart.as_of()) as day,
    count(*) over () as loads
from ledger.load as l
where l.status = 'loaded' and l.kind = 'batch'
order by l.load_id desc
limit 1;

-- name: quality
-- The latest run of the checks, since when every claim was looked at where it looked at a share of
-- them, and how many loads have come since. At most one row.
select
    r.finished_at,
    r.checks,
    (
        select count(*)
        from ledger.load as l
        where l.load_id > r.load_id and l.status = 'loaded'
    ) as loads_since,
    case when not r.is_whole then r.all_since end as all_since
from quality.check_run as r
where r.gate is null and r.finished_at is not null
order by r.check_run_id desc
limit 1;

-- name: failing
-- What fails now, the worst first. One row per check.
select
    f.check_name,
    f.severity,
    f.rows_failed
from quality.failing_now as f
order by array_position(array['critical', 'major', 'minor'], f.severity), f.check_name;
