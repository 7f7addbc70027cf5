-- name: key_rows
-- The load's enrolments, keyed to the versions in force on the first day of coverage. Without an
-- end, coverage runs to the end of the plan year. One row an enrolment.
create temporary table keyed on commit drop as
select
    s.source_line,
    s.enrollment_id,
    {sk_values_named},
    day.date_key as enrollment_start_date_key,
    last_day.date_key as enrollment_end_date_key,
    s.start_date::date as start_date,
    last_day.full_date as end_date,
    last_day.full_date - s.start_date + 1 as coverage_days,
    {carried_values},
    s.load_id
from enrollments_raw as s
inner join dim_date as day on s.start_date = day.full_date
inner join dim_date as last_day
    on last_day.full_date = coalesce(s.end_date, make_date(day.plan_year, 12, 31))
{references}
where s.load_id = %(load_id)s;

-- name: index_keyed
-- Statistics for the joins that follow.
analyze keyed;

-- name: drop_outdated
-- A later batch has already told the state of these. One row an enrolment.
delete from keyed as k
using fact_enrollment as f
inner join load as l on f.load_id = l.load_id
where (
    f.enrollment_id = k.enrollment_id
    or (
        f.member_sk = k.member_sk and f.plan_sk = k.plan_sk and f.start_date = k.start_date
        and k.member_sk > 0 and k.plan_sk > 0
    )
)
and l.as_of > %(as_of)s;

-- name: keep_last
-- Of two enrolments of one member, plan and start the later line of the file stands.
-- One row an enrolment dropped.
delete from keyed as k
using keyed as later
where later.member_sk = k.member_sk and later.plan_sk = k.plan_sk
    and later.start_date = k.start_date and later.source_line > k.source_line
    and k.member_sk > 0 and k.plan_sk > 0;

-- name: replace_same_grain
-- Another enrolment of the same member, plan and start takes the place of the one held.
-- One row an enrolment replaced.
delete from fact_enrollment as f
using keyed as k
where f.member_sk = k.member_sk and f.plan_sk = k.plan_sk and f.start_date = k.start_date
    and k.member_sk > 0 and k.plan_sk > 0 and f.enrollment_id <> k.enrollment_id;

-- name: update_known
-- Enrolments held in an earlier state take the new one; others are left alone.
-- One row an enrolment.
update fact_enrollment as f
set
    {assign_columns},
    load_id = k.load_id
from keyed as k
where f.enrollment_id = k.enrollment_id and {columns_differ};

-- name: insert_new
-- Enrolments that the fact does not hold yet. One row an enrolment.
insert into fact_enrollment (enrollment_id, {columns}, load_id)
select
    k.enrollment_id,
    {keyed_columns},
    k.load_id
from keyed as k
where not exists (
    select 1
    from fact_enrollment as f
    where f.enrollment_id = k.enrollment_id
)
order by k.enrollment_id;

-- name: analyze
-- Refresh the planner's statistics.
analyze fact_enrollment;

-- name: drop_keyed
-- Make room for the next load. No rows.
drop table keyed;
