-- name: missing
-- The years that the load names and that the calendar lacks. One row per year.
with named as (
    -- Days are few and rows are many: each day's year is looked at once.
    select service_date::date as day
    from claims_raw
    where load_id = %(load_id)s and service_date is not null
    group by service_date
    union all
    select service_date::date
    from claim_lines_raw
    where load_id = %(load_id)s
    group by service_date
    union all
    select service_date::date
    from claim_diagnoses_raw
    where load_id = %(load_id)s
    group by service_date
    union all
    select start_date::date
    from enrollments_raw
    where load_id = %(load_id)s and start_date is not null
    group by start_date
    union all
    select end_date::date
    from enrollments_raw
    -- A day that says that coverage runs on is no day of the calendar.
    where load_id = %(load_id)s and not ({is_open_end})
    group by end_date
    union all
    select (%(as_of)s::timestamptz at time zone 'UTC')::date
),

years as (
    select distinct extract(year from day)::integer as year
    from named
)

select y.year
from years as y
where not exists (
    select 1
    from dim_date as d
    where d.full_date = make_date(y.year, 1, 1)
);

-- name: extend
-- Add every day of these years. One row per day.
with days as (
    select generate_series(
        make_date(y.year, 1, 1)::timestamp, make_date(y.year, 12, 31)::timestamp, interval '1 day'
    )::date as day
    from unnest(%(years)s::integer[]) as y (year)
)

insert into dim_date (
    date_key,
    full_date,
    year,
    quarter,
    month,
    month_name,
    month_start,
    day_of_month,
    day_of_week,
    day_name,
    is_weekend,
    plan_year,
    is_open_enrollment,
    load_id
)
select
    to_char(day, 'yyyymmdd')::integer as date_key,
    day as full_date,
    extract(year from day),
    extract(quarter from day),
    extract(month from day),
    to_char(day, 'FMMonth'),
    date_trunc('month', day)::date,
    extract(day from day),
    extract(isodow from day),
    to_char(day, 'FMDay'),
    extract(isodow from day) in (6, 7),
    extract(year from day),
    to_char(day, 'mmdd') >= '1101' or to_char(day, 'mmdd') <= '0115',
    %(made_by)s
from days
order by date_key;

-- name: ensure_unknown
-- The row for no date known. One row, once.
insert into dim_date (date_key, load_id)
values (-1, 0)
on conflict (date_key) do nothing;
