-- A share of the months: what a run of the checks looks at that does not look at everything. Of
-- claims and what they consist of it takes the rows of some months of service, and of all that
-- changed since the last look, into temporary tables of the same names, which the statements then
-- read instead. All statements of one run see one state of the database.
--
--   months of service    2025-01  2025-02  2025-03      claims that loads named since the last look
--   last looked at       run 7    run 5    run 6        C1 of 2025-01, C8 of 2025-03
--
--   a share of one       2025-02 as a whole, and C1 and C8 with all rows that staging has of them
--
-- Rows of staging that are in files are added to the copies; where everything is looked at, a view
-- of the table's name has both.

-- name: last_look
-- The latest finished look at this build, whichever rows it looked at. At most one row.
select
    r.check_run_id,
    r.load_id,
    r.started_at
from check_run as r
where r.gate is null and r.finished_at is not null
    and r.months is not null
    and r.load_id = any(%(loads)s)
order by r.check_run_id desc
limit 1;

-- name: loads_since
-- The loads of the build that the last look did not see in the facts. One row per load.
select l.load_id
from load as l
where l.load_id = any(%(loads)s)
    and (
        l.load_id > %(last_load_id)s
        or l.finished_at > %(last_started_at)s
        or l.finished_at is null
    )
order by l.load_id;

-- name: months
-- The months of service that the build can have claims of, and the latest look at every claim of
-- each. A month in between that has none costs nothing. One row per month, that looked at longest
-- ago first.
with bounds as ({facts/5_partitions.bounds}),

months as (
    select s.month::date as month
    from generate_series(
        (select date_trunc('month', min(b.first_day)::timestamp) from bounds as b),
        (select max(b.next_day)::timestamp - interval '1 day' from bounds as b),
        interval '1 month'
    ) as s (month)
),

looks as (
    select
        r.check_run_id,
        r.started_at,
        r.months
    from check_run as r
    where r.gate is null and r.finished_at is not null and r.load_id = any(%(loads)s)
)

select
    m.month,
    max(k.started_at) as looked_at
from months as m
left join looks as k on m.month = any(k.months)
group by m.month
order by max(k.check_run_id) nulls first, m.month;

-- name: open_failures
-- Checks that failed at an earlier look, at claims of months of which every claim was not looked at
-- again since. A run still open counts as a look. One row per check: the latest such run, and those
-- months.
with looks as (
    select
        r.check_run_id,
        r.months,
        r.months || coalesce(r.months_in_part, '{{}}') as seen
    from check_run as r
    where r.gate is null and r.months is not null and r.load_id = any(%(loads)s)
        and (r.finished_at is not null or r.check_run_id = %(check_run_id)s)
),

failed as (
    select
        c.check_name,
        c.severity,
        c.check_run_id,
        s.month
    from check_result as c
    inner join looks as k on c.check_run_id = k.check_run_id
    cross join lateral unnest(k.seen) as s (month)
    where not c.passed and c.is_by_month and c.check_run_id <> %(check_run_id)s
)

select
    f.check_name,
    f.severity,
    max(f.check_run_id) as check_run_id,
    array_agg(distinct f.month) as months
from failed as f
where not exists (
    select 1
    from looks as later
    where later.check_run_id > f.check_run_id and f.month = any(later.months)
)
group by f.check_name, f.severity;

-- name: find_claims
-- The claims that are looked at: those of which facts or staging have a row in the months, and
-- those that loads named or changed since the last look. One row per claim.
create temporary table claim_looked_at on commit drop as
select c.claim_id
from ({claims}) as c;

-- name: claims_of_months
-- Claims of a table with a row of the months. One row per claim.
select t.claim_id::text as claim_id
from {table} as t
where {in_months};

-- name: claims_named
-- Claims of a staging table that has a row of the months or of the loads. One row per claim.
select t.claim_id::text as claim_id
from {table} as t
where {in_months} or t.load_id = any({loads_since});

-- name: create_archived_claims
-- A table for claims of files that are looked at. No rows.
create temporary table archived_claim (claim_id text not null) on commit drop;

-- name: fill_archived_claims
-- Stream them into it. One row per claim of a file.
copy archived_claim from stdin;

-- name: archived_claims
-- Claims of files that are looked at. One row per claim of a file.
select a.claim_id
from pg_temp.archived_claim as a;

-- name: claims_looked_at
-- The claims that are looked at. One row per claim.
select c.claim_id
from pg_temp.claim_looked_at as c;

-- name: create_archived
-- A table for the rows of staging that are in files. No rows.
create temporary table {archived} (like {table}) on commit drop;

-- name: with_archived
-- Let the name of a table of staging stand for its rows and those of files. No rows.
create temporary view {name} as
select *
from {table}
union all
select *
from pg_temp.{archived};

-- name: claims_changed
-- Claims of which the loads changed a row. One row per claim.
select t.claim_id::text as claim_id
from {table} as t
where t.known_to_load_id = any({loads_since});

-- name: add_key
-- Say that a claim is there once. No rows.
alter table pg_temp.claim_looked_at add primary key (claim_id);

-- name: copy_facts
-- The rows of the claims in a table that is divided by month: those of the months in one pass, the
-- rest looked up. One row per row of the table.
create temporary table {name} on commit drop as
with of_months as materialized (
    select t.*
    from {table} as t
    where {in_months}
),

others as materialized (
    select c.claim_id
    from pg_temp.claim_looked_at as c
    where not exists (
        select 1
        from of_months as m
        where m.claim_id = c.claim_id
    )
)

select m.*
from of_months as m
union all
select found.*
from others as o
cross join lateral (
    select t.*
    from {table} as t
    where t.claim_id = o.claim_id
    -- Keeps the look-up a look-up.
    order by t.claim_id
) as found;

-- name: copy_rows
-- The rows of the claims in any other table. One row per row of the table.
create temporary table {name} on commit drop as
select t.*
from {table} as t
where t.claim_id in (select c.claim_id from pg_temp.claim_looked_at as c);

-- name: copy_history
-- All states of the claims that have been in several, or of which staging has a row that is not the
-- fact's own. One row per state.
create temporary table {name} on commit drop as
with several as materialized (
    select h.claim_id
    from pg_temp.fact_claim_state as h
    union
    select s.claim_id::text
    from pg_temp.claims_raw as s
    left join pg_temp.fact_claim as f on s.claim_id = f.claim_id and s.load_id = f.load_id
    where f.claim_id is null
)

select found.*
from several
cross join lateral (
    select t.*
    from {table} as t
    where t.claim_id = several.claim_id
    -- Keeps the look-up a look-up.
    order by t.claim_id
) as found;

-- name: analyze
-- Show the planner how many rows were taken. No rows.
analyze pg_temp.{name};

-- name: months_in_part
-- The months of service of which some claims were looked at and not every one. One row per month.
select distinct date_trunc('month', t.service_date::timestamp)::date as month
from ({days}) as t
where not ({in_months})
order by month;

-- name: days_of
-- Days of service of the rows that were taken of a table. One row per row.
select t.service_date::date as service_date
from pg_temp.{name} as t;
