-- What the page on the business shows, from the marts alone. Tables are named without a schema:
-- they are those of schema mart, or temporary ones of what was known after a load.
-- Persons decide whether a cell may be shown: each person of a month, quarter or year counts in one
-- cell of it, so that cells add up.

-- name: is_there
-- Whether there are marts, and whether they have what this version reads. One row.
select
    to_regclass('mart.pmpm_month') is not null as has_marts,
    coalesce(bool_or(a.attname = 'loss_ratio'), false) as is_of_this_version
from pg_attribute as a
where a.attrelid = to_regclass('mart.pmpm_month');

-- name: as_of
-- The day that the data of schema mart speaks of. One row.
select mart.as_of();

-- name: latest_load
-- The load that came last, or up to that one, and its batch. At most one row.
select
    l.load_id,
    l.batch_id,
    (l.as_of at time zone 'UTC')::date as as_of
from ledger.load as l
where l.status in ('loaded', 'superseded') and l.load_id <= %(load)s
order by l.load_id desc
limit 1;

-- name: coverage
-- Coverage and cost of months that have begun. One row per month, state and metal tier.
select
    p.month,
    p.state,
    p.metal_tier,
    p.is_complete,
    coalesce(f.members, 0) as members,
    round(
        p.member_months_day * extract(day from p.month + interval '1 month' - interval '1 day')
    )::bigint as covered_days,
    p.premium_usd,
    p.paid_usd
from pmpm_month as p
left join enrollment_flow_month as f
    on p.month = f.month and p.state = f.state and p.metal_tier = f.metal_tier
where p.claim_type = 'all' and p.month <= %(as_of)s
order by p.month, p.state, p.metal_tier;

-- name: patients
-- Members with a claim that is paid for, in each of their cells. One row per month of service or
-- year, member, state and metal tier.
select distinct
    date_trunc(%(period)s::text, month)::date as period,
    member_id,
    coalesce(state, '(unknown)') as state,
    coalesce(initcap(metal_tier), '(unknown)') as metal_tier
from claim
where is_payable and month <= %(as_of)s and (is_complete or not %(only_complete)s);

-- name: covered
-- Members covered in a year, in its complete months, in each of their cells. One row per year,
-- member, state and metal tier.
select distinct
    date_trunc('year', month)::date as period,
    member_id,
    state,
    metal_tier
from member_month
where (month + interval '1 month')::date <= %(as_of)s;

-- name: in_one_cell
-- How many persons are in each cell, if each is in one of theirs. One row per month or year, state
-- and metal tier.
with placed as (
    select
        c.*,
        row_number() over (
            partition by c.period, c.member_id
            order by c.state, c.metal_tier
        ) as place
    from ({cells}) as c
)

select
    period,
    state,
    metal_tier,
    count(*) filter (where place = 1) as persons
from placed
group by period, state, metal_tier;

-- name: flows
-- Who came and went. One row per quarter, state and metal tier in which somebody did.
with events as (
    select
        date_trunc('quarter', month)::date as quarter,
        member_id,
        state,
        metal_tier,
        sum(beginnings) as beginnings,
        sum(endings) as endings
    from member_month
    where (beginnings > 0 or endings > 0) and month <= %(as_of)s
    group by date_trunc('quarter', month), member_id, state, metal_tier
),

placed as (
    select
        *,
        row_number() over (
            partition by quarter, member_id, beginnings > 0 order by state, metal_tier
        ) as place_of_beginning,
        row_number() over (
            partition by quarter, member_id, endings > 0 order by state, metal_tier
        ) as place_of_ending
    from events
)

select
    quarter,
    state,
    metal_tier,
    (quarter + interval '3 months')::date <= %(as_of)s as is_complete,
    sum(beginnings)::bigint as beginnings,
    sum(endings)::bigint as endings,
    count(*) filter (where beginnings > 0 and place_of_beginning = 1) as persons_beginning,
    count(*) filter (where endings > 0 and place_of_ending = 1) as persons_ending
from placed
group by quarter, state, metal_tier;

-- name: items
-- Who was paid for and how much, by one column of the claims, in complete months; of all claims, or
-- of those alone that say it. One row per year and value of the column.
select
    extract(year from month)::integer as year,
    coalesce({item}, '(unknown)') as item,
    count(distinct coalesce(member_id, '')) as members,
    sum(paid_usd) as paid_usd
from claim
where is_payable and is_complete and ({item} is not null or not %(is_said)s)
group by extract(year from month), coalesce({item}, '(unknown)');

-- name: titles
-- What diagnoses are called, where a table of reference says. One row per code.
select distinct
    diagnosis_code,
    diagnosis_title
from mart.claim_diagnosis
where diagnosis_code = any(%(codes)s) and diagnosis_title is not null;

-- name: concentration
-- What the costliest members of a year come to, in its complete months: of everybody covered in
-- them, the first 1, 5, 10, 20 and 50 of a hundred, and all. One row per year and share.
with covered as (
    select distinct
        extract(year from month)::integer as year,
        member_id
    from member_month
    where (month + interval '1 month')::date <= %(as_of)s
),

paid as (
    select
        extract(year from month)::integer as year,
        member_id,
        sum(paid_usd) as paid_usd
    from claim
    where is_payable and is_complete and member_id is not null
    group by extract(year from month), member_id
),

ranked as (
    select
        year,
        coalesce(p.paid_usd, 0) as paid_usd,
        row_number() over (
            partition by year order by coalesce(p.paid_usd, 0) desc, member_id
        ) as place,
        count(*) over (partition by year) as members
    from covered
    full join paid as p using (year, member_id)
)

select
    r.year,
    s.of_hundred,
    count(*) as members,
    sum(r.paid_usd) as paid_usd
from ranked as r
inner join (values (1), (5), (10), (20), (50), (100)) as s (of_hundred)
    on r.place <= ceil(r.members * s.of_hundred / 100.0)
group by r.year, s.of_hundred
order by r.year, s.of_hundred;

-- name: bands
-- Members whose paid claims of a benefit year reach $100,000. One row per year and band, the
-- highest band first.
select
    benefit_year as year,
    band,
    count(*) as members,
    sum(paid_usd) as paid_usd
from high_cost_year
group by benefit_year, band
order by benefit_year, min(paid_usd) desc;

-- name: lag
-- How long claims take to be paid, by complete month of service: for half of them, and for nine of
-- ten. One row per month.
select
    month,
    count(distinct coalesce(member_id, '')) as members,
    percentile_disc(0.5) within group (order by paid_date - service_date) as half_days,
    percentile_disc(0.9) within group (order by paid_date - service_date) as nine_tenths_days
from claim
where is_payable and is_complete and paid_date is not null
group by month
order by month;

-- name: quality
-- The latest run of all checks, or the latest after a load: what it looked at and how many failed,
-- in all and of those that compare the tables with the files and with one another. At most one row.
select
    r.check_run_id,
    r.load_id,
    count(*) as checks,
    count(*) filter (where not j.passed) as failed,
    count(*) filter (where not j.passed and j.severity = 'critical') as failed_critical,
    count(*) filter (where j.dimension = 'consistency') as comparisons,
    count(*) filter (where j.dimension = 'consistency' and not j.passed) as comparisons_failed
from quality.check_run as r
inner join quality.check_judged as j on r.check_run_id = j.check_run_id
where r.gate is null and r.finished_at is not null
    and (%(load)s::bigint is null or r.load_id = %(load)s)
group by r.check_run_id, r.load_id
order by r.check_run_id desc
limit 1;

-- name: rejected
-- Rows of files that were rejected and not dealt with, and what their files had. One row.
select
    coalesce((select sum(q.rows_open) from quality.quarantine_open as q), 0)::bigint as rows_open,
    coalesce(sum(f.rows_read), 0)::bigint as rows_read
from ledger.load_file as f
inner join ledger.load as l on f.load_id = l.load_id
where l.status = 'loaded';

-- name: put_at_load
-- Put the session at what was known after a load. One row.
select warehouse.as_known_at(%(load)s::bigint);

-- name: day_known
-- The day that the data spoke of after a load, and the load that has it now. One row.
select
    known.load_id,
    (
        select {ledger/as_of.newest}
        from ledger.load as l
        where l.status = 'loaded' and l.load_id <= known.load_id
    ) as as_of
from (select warehouse.known_load(%(load)s::bigint) as load_id) as known;

-- name: known
-- A cube or mart as it was known. One row per row of its grain.
create temporary table {relation} on commit drop as {definition};
