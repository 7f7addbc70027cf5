-- Plans of the documented reports: recorded after each load, and compared with those before.

-- name: load_to_record
-- The latest load of the live warehouse, if no plans are recorded of it. One row or none.
select l.load_id
from ledger.load as l
where l.load_id = (select max(load_id) from ledger.load where status = 'loaded')
    and not exists (select 1 from ledger.report_plan as p where p.load_id = l.load_id);

-- name: latest_load
-- The latest load of the live warehouse. One row.
select max(load_id)
from ledger.load
where status = 'loaded';

-- name: relations
-- Tables and indexes, each with the one that it is a part of or else itself, and the pages that it
-- has now, by which the planner reckons. One row per table, partition and index.
select
    c.relname::text as relation_name,
    coalesce(r.relname, c.relname)::text as root_name,
    coalesce(pg_relation_size(c.oid) / current_setting('block_size')::bigint, 0) as pages
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
left join pg_class as r on pg_partition_root(c.oid) = r.oid
where c.relkind in ('r', 'p', 'm', 'i', 'I') and n.nspname = any(%(schemas)s);

-- name: outgrown
-- Tables of some schemas that the planner knows no longer: without statistics, or with those of so
-- many rows or pages fewer. What other sessions changed in the last second may not be counted, what
-- they made larger is. One row per table.
select
    n.nspname::text as schema_name,
    c.relname::text as table_name
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
    select pg_relation_size(c.oid) / current_setting('block_size')::bigint as pages
) as s
where c.relkind = 'r'
    and n.nspname = any(%(schemas)s)
    and s.pages > 0
    and (
        c.reltuples < 0
        or s.pages > c.relpages * (1 + %(share)s)
        or pg_stat_get_mod_since_analyze(c.oid) > c.reltuples * %(share)s
    )
order by schema_name, table_name;

-- name: explain
-- The plan of a report, which is not run. One row.
explain (format json) {report};  -- noqa: PRS

-- name: explain_run
-- The plan of a report, which is run. One row.
explain (analyze, timing off, buffers off, format json) {report};  -- noqa: PRS

-- name: last_timed
-- When each report was last run, and how long it took. One row per report that was.
select distinct on (report)
    report,
    recorded_at,
    seconds
from ledger.report_plan
where seconds is not null
order by report, recorded_at desc;

-- name: record
-- Record the plan of a report. No rows.
insert into ledger.report_plan (
    report, load_id, shape, shape_hash, cost, rows, pages, seconds
)
values (
    %(report)s, %(load_id)s, %(shape)s, %(shape_hash)s, %(cost)s, %(rows)s, %(pages)s, %(seconds)s
)
on conflict (report, load_id) do nothing;

-- name: plans_at
-- The plans of the latest load up to one, or recorded up to an instant. One row per report.
select distinct on (p.report)
    p.report,
    p.load_id,
    l.batch_id,
    p.recorded_at,
    p.shape,
    p.cost,
    p.rows,
    p.pages,
    p.seconds
from ledger.report_plan as p
inner join ledger.load as l on p.load_id = l.load_id
where p.load_id <= coalesce(%(load_id)s, p.load_id)
    and p.recorded_at <= coalesce(%(at)s, p.recorded_at)
order by p.report, p.recorded_at desc, p.load_id desc;

-- name: load_before
-- The load of which plans were recorded before the latest ones. One row or none.
select load_id
from ledger.report_plan
group by load_id
order by max(recorded_at) desc, load_id desc
limit 1
offset 1;

-- name: compared
-- How many times as large the tables of a plan n are as those of the earlier plan b, and how many
-- times as much it costs apart from that. One row.
select
    s.growth,
    n.cost / greatest(b.cost * s.growth, %(least_cost)s) as ratio
from (
    select greatest(coalesce(n.pages::double precision / nullif(b.pages, 0), 1), 1) as growth
) as s;

-- name: compare
-- The same of a plan that is not recorded and an earlier one. One row.
select
    g.growth,
    g.ratio
from (select %(cost_now)s::double precision as cost, %(pages_now)s::bigint as pages) as n
cross join (
    select %(cost_before)s::double precision as cost, %(pages_before)s::bigint as pages
) as b
cross join lateral ({operations/report_plans.compared}) as g;

-- name: changes
-- Reports whose latest plan has another shape than an earlier one, since it changed last, with what
-- the planner expected of both, how many times as many pages the tables have now that it reads, and
-- how many times as much it costs apart from these. A cost below the least one counts as that.
-- One row per report that changed within a week: after it the plan is what is usual.
with latest as (
    select distinct on (report)
        report,
        load_id,
        shape_hash,
        cost,
        pages
    from ledger.report_plan
    where recorded_at <= %(now)s
    order by report, recorded_at desc, load_id desc
)

select
    n.report,
    c.load_id,
    c.changed_at,
    b.cost as cost_before,
    n.cost as cost_now,
    g.growth,
    g.ratio
from latest as n
cross join lateral (
    select
        p.cost,
        p.pages,
        p.recorded_at
    from ledger.report_plan as p
    where p.report = n.report and p.shape_hash <> n.shape_hash and p.recorded_at <= %(now)s
    order by p.recorded_at desc, p.load_id desc
    limit 1
) as b
cross join lateral (
    select
        p.load_id,
        p.recorded_at as changed_at
    from ledger.report_plan as p
    where p.report = n.report and p.recorded_at > b.recorded_at
    order by p.recorded_at, p.load_id
    limit 1
) as c
cross join lateral ({operations/report_plans.compared}) as g
where c.changed_at > %(now)s - interval '7 days'
order by n.report;

-- name: seconds
-- How long each report took, 95 in 100 of the times that it was run in 30 days. One row per report.
select
    report,
    count(*) as times,
    percentile_disc(0.95) within group (order by seconds) as p95_seconds
from ledger.report_plan
where seconds is not null
    and recorded_at > %(now)s - interval '30 days' and recorded_at <= %(now)s
group by report
order by report;
