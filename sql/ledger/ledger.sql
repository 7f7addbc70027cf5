-- name: try_lock
-- Take the warehouse for this run, if no other has it. One row.
select pg_try_advisory_lock(%(key)s);

-- name: unlock
-- Release the lock of a run. One row.
select pg_advisory_unlock(%(key)s);

-- name: end_orphans
-- End sessions of a run that was killed and whose last statement is still at work. Only the
-- holder of the run's lock may do this. One row per session.
select pg_terminate_backend(pid, 5000)
from pg_stat_activity
where application_name = %(application)s and datname = current_database()
    and usename = session_user and pid <> pg_backend_pid();

-- name: close_interrupted
-- Mark what a killed run left open. One row per stage run.
update stage_run
set
    status = 'failed',
    finished_at = clock_timestamp(),
    error = 'interrupted',
    error_code = %(error_code)s
where status = 'running';

-- name: fail_interrupted
-- A load that was interrupted before its files were staged has left nothing, and a rebuild that
-- was interrupted, or ended without going live, left nothing that lasts. One row per load.
update load
set
    status = 'failed',
    finished_at = clock_timestamp(),
    error = %(error)s,
    error_code = %(error_code)s
where status in ('running', 'rebuilt')
    and (
        is_rebuild
        or not exists (
            select 1
            from stage_run as r
            where r.load_id = load.load_id and r.stage = 'stage' and r.status = 'done'
        )
    );

-- name: fail_files
-- Files of loads that failed as a whole: none of their rows was kept. One row per
-- load and file.
update load_file as f
set status = 'failed'
from load as l
where f.load_id = l.load_id and f.status = 'loaded' and l.status = 'failed';

-- name: clear_lines
-- Take away the text of rejected rows of files that came to nothing. One row per rejected row.
delete from quarantined_line as t
using quarantined_row as q, load_file as f
where t.rejected_row_id = q.rejected_row_id and q.load_id = f.load_id and q.feed = f.feed
    and f.status = 'failed';

-- name: clear_rejects
-- Take away rejected rows of files that came to nothing: the files are read again, and they come
-- again with them. One row per rejected row.
delete from quarantined_row as q
using load_file as f
where q.load_id = f.load_id and q.feed = f.feed and f.status = 'failed';

-- name: clear_profiles
-- Take away what rows that came to nothing looked like. One row per load, feed and figure.
delete from feed_profile as p
using load_file as f
where p.load_id = f.load_id and p.feed = f.feed and f.status = 'failed';

-- name: clear_rekeys
-- Take away what loads that came to nothing did to facts. One row per load, fact and dimension.
delete from fact_rekey as r
using load as l
where r.load_id = l.load_id and l.is_rebuild and l.status = 'failed';

-- name: open_load
-- Begin a load: as part of the live build, or of the rebuild whose first load is named; without
-- one it is itself the first. One row.
insert into load (load_id, batch_id, as_of, kind, subject, status, is_rebuild, build_id)
overriding system value
select
    next.load_id,
    %(batch_id)s,
    %(as_of)s,
    %(kind)s,
    %(subject)s,
    'running',
    %(is_rebuild)s,
    case
        when %(is_rebuild)s then coalesce(%(first_load_id)s::bigint, next.load_id)
        else (select coalesce(max(build_id), 0) from load where status = 'loaded')
    end
from nextval(pg_get_serial_sequence('ledger.load', 'load_id')) as next (load_id)
returning load_id;

-- name: finish_load
-- End a load; what it brought can be read once this is committed, unless a rebuild is yet to go
-- live. One row.
update load
set
    status = %(status)s,
    finished_at = clock_timestamp(),
    live_at = case when %(status)s = 'loaded' then clock_timestamp() end,
    error = %(error)s,
    error_code = %(error_code)s
where load_id = %(load_id)s;

-- name: forget_stage
-- A change that was only shown leaves no trace. One row.
delete from stage_run
where load_id = %(load_id)s;

-- name: forget_load
-- A change that was only shown leaves no trace. One row.
delete from load
where load_id = %(load_id)s;

-- name: begin_stage
-- Record that a stage begins. One row.
insert into stage_run (load_id, stage, is_rebuild, status)
values (%(load_id)s, %(stage)s, %(is_rebuild)s, 'running')
returning stage_run_id;

-- name: finish_stage
-- Record how a stage ended. One row.
update stage_run
set
    status = %(status)s,
    finished_at = clock_timestamp(),
    counts = %(counts)s,
    error = %(error)s,
    error_code = %(error_code)s
where stage_run_id = %(stage_run_id)s;

-- name: newest_batch
-- When the newest batch in the live warehouse became true, those apart that somebody let
-- in although they lie far in the future. One row.
select max(l.as_of)
from load as l
where l.kind = 'batch' and l.status in ('loaded', 'running')
    and not exists (
        select 1
        from decision as d
        where d.kind = 'allow_future' and d.batch_id = l.batch_id
    );

-- name: same_file
-- The batch that already brought these bytes, if bringing them again can change nothing: it is
-- the last of the feed before this one in the order of batches, and nothing in it lay in the
-- future. The content of the live warehouse says nothing about a rebuild. At most one row.
select before.batch_id
from (
    select
        l.batch_id,
        l.as_of,
        f.xxh3_128,
        f.kind,
        coalesce(f.contract, f.feed) as contract,
        f.latest_effective_ts
    from load_file as f
    inner join load as l on f.load_id = l.load_id
    inner join batch_order as o on l.load_id = o.load_id
    where f.feed = %(feed)s and f.status = 'loaded' and {ledger/build.is_of_build}
        and o.batch_number <= (select batch_number from batch_order where load_id = %(load_id)s)
    order by o.batch_rank desc
    limit 1
) as before
where before.xxh3_128 = %(xxh3_128)s::uuid and before.kind = %(kind)s
    and before.contract = coalesce(%(contract)s, before.contract)
    and (
        before.batch_id = %(batch_id)s
        or coalesce(before.latest_effective_ts <= before.as_of at time zone 'UTC', true)
    );

-- name: columns_before
-- Which columns the file of the feed had that comes before this one in the order of batches, and
-- when that was. One row per contract under which such files came.
select distinct on (1)
    coalesce(f.contract, f.feed) as contract,
    f.columns,
    l.as_of
from load_file as f
inner join load as l on f.load_id = l.load_id
inner join batch_order as o on l.load_id = o.load_id
where f.feed = %(feed)s and f.status = 'loaded' and {ledger/build.is_of_build}
    and o.batch_number <= (select batch_number from batch_order where load_id = %(load_id)s)
order by coalesce(f.contract, f.feed), o.batch_rank desc;

-- name: skipped_after
-- The file of the feed that comes next in the order of batches, if it was skipped because the
-- file before it was the same: with the current load between the two it says something after all.
-- At most one row, with the load of the file that it is the same as.
with files as (
    select
        l.load_id,
        l.as_of,
        o.batch_rank,
        o.batch_number > (
            select batch_number from batch_order where load_id = %(load_id)s
        ) as comes_after,
        f.status,
        f.xxh3_128
    from load_file as f
    inner join load as l on f.load_id = l.load_id
    inner join batch_order as o on l.load_id = o.load_id
    where f.feed = %(feed)s and f.status in ('loaded', 'skipped')
        and {ledger/build.is_of_build}
        and l.load_id <> %(load_id)s
),

next_one as (
    select *
    from files as f
    where f.comes_after
    order by f.batch_rank
    limit 1
)

select
    n.load_id,
    n.as_of,
    before.load_id as same_as
from next_one as n
cross join lateral (
    select f.load_id
    from files as f
    where f.status = 'loaded' and f.xxh3_128 = n.xxh3_128
        and not f.comes_after
    order by f.batch_rank desc
    limit 1
) as before
where n.status = 'skipped';

-- name: unfinished
-- Loads that are staged and not yet in the facts, in the order in which they came.
-- One row per load, with the stages that are done.
select
    l.load_id,
    l.batch_id,
    l.as_of,
    array_agg(r.stage) filter (where r.status = 'done') as done
from load as l
inner join stage_run as r on l.load_id = r.load_id
where l.status = 'running' and not l.is_rebuild
group by l.load_id, l.batch_id, l.as_of
order by l.load_id;

-- name: files_of_load
-- The files that a load brought, with their kinds and names. One row per feed.
select
    feed,
    kind,
    file_name
from load_file
where load_id = %(load_id)s and status = 'loaded'
order by feed;

-- name: go_live
-- The loads of a rebuild that took the live place, all at one time. One row per load.
update load
set
    status = case when is_rebuild and status = 'rebuilt' then 'loaded' else 'superseded' end,
    live_at = case
        when is_rebuild and status = 'rebuilt' then statement_timestamp() else live_at
    end
where (status = 'rebuilt' and is_rebuild)
    or (status in ('loaded', 'running') and not (load_id = any(%(rebuilt)s)));

-- name: supersede_files
-- Files of loads that a rebuild took the place of. One row per load and file.
update load_file as f
set status = 'superseded'
from load as l
where f.load_id = l.load_id and f.status = 'loaded' and l.status = 'superseded';

-- name: files_known
-- Files of the live warehouse in the order of their arrival. One row per load and file.
select
    l.load_id,
    l.batch_id,
    f.feed
from load as l
inner join load_file as f on l.load_id = f.load_id
where l.status = 'loaded' and f.status in ('loaded', 'skipped')
order by l.load_id, f.feed;

-- name: files_held
-- Files that the live warehouse took in or skipped, with their rows and control totals, in the
-- order in which it came to know them; without those all of whose rows have expired. One row per
-- load and file.
select
    l.load_id,
    l.batch_id,
    f.feed,
    f.file_name,
    f.xxh3_128,
    f.status,
    f.rows_loaded,
    (
        select jsonb_object_agg(t.money, t.amounts ->> 'loaded' order by t.money)
        from jsonb_each(f.totals) as t (money, amounts)
    ) as totals
from load as l
inner join load_file as f on l.load_id = f.load_id
where l.status in ('loaded', 'running') and f.status in ('loaded', 'skipped')
    and (f.rows_loaded > 0 or f.rows_expired = 0)
order by l.load_id, f.feed;

-- name: ever_loaded
-- Whether the live warehouse contains any batch. One row.
select exists(select 1 from load where status = 'loaded');

-- name: cubes_are_due
-- Whether a load came or old rows went since the live cubes were last made or refreshed: those of a
-- rebuild say nothing of them until it is live. One row.
select exists(
    select 1
    from stage_run as r
    left join load as l on r.load_id = l.load_id
    where r.status = 'done'
        and (
            (r.stage = 'retention' and not r.is_rebuild)
            or (
                r.stage in ('facts', 'restate', 'replay') and l.status = 'loaded'
                and not l.is_rebuild
            )
        )
        and r.finished_at > coalesce((
            select max(c.started_at)
            from stage_run as c
            where c.stage in ('cubes', 'swap') and not c.is_rebuild and c.status = 'done'
        ), '-infinity')
);

-- name: checks_are_due
-- Whether a restatement came or old rows went since everything was last checked. One row.
select exists(
    select 1
    from stage_run as r
    where r.stage in ('restate', 'retention') and r.status = 'done' and not r.is_rebuild
        and r.finished_at > coalesce((
            select max(c.started_at)
            from stage_run as c
            where c.stage = 'checks' and c.status = 'done'
        ), '-infinity')
);

-- name: arrivals_are_due
-- Whether a load came since what came was last judged: at the gate of the arrivals, or by the
-- checks of a rebuild. One row.
select exists(
    select 1
    from stage_run as r
    inner join load as l on r.load_id = l.load_id
    where r.stage = 'facts' and r.status = 'done' and l.status = 'loaded' and not l.is_rebuild
        and r.finished_at > coalesce((
            select max(c.started_at)
            from check_run as c
            where c.gate = 'arrivals' and c.finished_at is not null
        ), '-infinity')
        and r.finished_at > coalesce((
            select max(s.started_at)
            from stage_run as s
            where s.stage = 'swap' and s.status = 'done'
        ), '-infinity')
);

-- name: latest_runs
-- The latest stages, newest first. One that nobody is at work on was interrupted, and no run has
-- entered that yet. One row per stage run.
select
    r.started_at,
    r.stage,
    l.batch_id,
    case when r.status = 'running' and not %(is_at_work)s then 'interrupted' else r.status end,
    case
        when r.finished_at is not null
            then extract(epoch from r.finished_at - r.started_at)::float8
        when %(is_at_work)s then extract(epoch from clock_timestamp() - r.started_at)::float8
    end as seconds
from stage_run as r
left join load as l on r.load_id = l.load_id
order by r.stage_run_id desc
limit 10;
