-- name: has_rows
-- Whether any enrollment was loaded before. One row.
select exists(select 1 from fact_enrollment);

-- name: find_latest
-- The enrollments that stand: the latest row of their identifier that is also the latest of its
-- member, plan and start, by the order of the batches and of the lines. Without a member or a plan
-- nothing says that two are the same. A row that is outdated still takes the place of those
-- before it; one that takes coverage back (a delete marker, an end before the start) takes no place
-- but that of its own identifier. What a later snapshot lacks, and names in no rejected row, does
-- not stand.
-- One row an enrollment.
create temporary table standing on commit drop as
with loads as (
    select
        l.load_id,
        l.is_snapshot,
        l.place
    from unnest(%(loads)s::bigint[], %(snapshots)s::boolean[])
        with ordinality as l (load_id, is_snapshot, place)
),

told as (
    select
        s.load_id,
        s.source_line,
        s.enrollment_id,
        s.member_id,
        s.plan_id,
        s.start_date,
        l.place,
        s.is_deleted is true or coalesce(s.end_date < s.start_date, false) as is_taken_back
    from loads as l
    inner join enrollments_raw as s on l.load_id = s.load_id
),

ranked as (
    select
        t.*,
        t.member_id <> '' and t.plan_id <> '' as has_grain,
        row_number() over (
            partition by t.enrollment_id
            order by t.place desc, t.source_line desc
        ) as place_in_id,
        row_number() over (
            partition by t.member_id, t.plan_id, t.start_date, t.is_taken_back
            order by t.place desc, t.source_line desc
        ) as place_in_grain
    from told as t
)

select
    r.load_id,
    r.source_line,
    r.enrollment_id,
    r.place_in_grain > 1 and r.has_grain is true as is_displaced
from ranked as r
where r.place_in_id = 1 and not r.is_taken_back
    and not exists (
        select 1
        from loads as p
        where p.is_snapshot and p.place > r.place
            and not exists (
                select 1
                from rejected_key as n
                where n.load_id = p.load_id and n.feed = 'enrollments'
                    and n.key = array[r.enrollment_id::text]
            )
    );

-- name: leave_displaced
-- Enrollments that another one of the same member, plan and start displaces do not stand. One row,
-- with how many of them the load told.
with displaced as (
    delete from standing
    where is_displaced
    returning load_id
)

select count(*) filter (where load_id = %(load_id)s)
from displaced;

-- name: index_standing
-- Statistics for the joins that follow.
analyze standing;

-- name: delete_superseded
-- Enrollments that were told again, or that a snapshot lacks, and no longer stand.
-- One row an enrollment.
delete from fact_enrollment as f
where (
    (
        %(is_snapshot)s
        and not exists (
            select 1
            from rejected_key as n
            where n.load_id = %(load_id)s and n.feed = 'enrollments'
                and n.key = array[f.enrollment_id::text]
        )
    )
    or exists (
        select 1
        from enrollments_raw as s
        where s.load_id = any(%(loads)s) and s.enrollment_id = f.enrollment_id
    )
)
and not exists (
    select 1
    from standing as t
    where t.enrollment_id = f.enrollment_id
);

-- name: key_rows
-- The load's enrollments that stand, keyed to the versions in force on the first day of coverage.
-- Without an end, or with one that says that it runs on, coverage runs to the end of the plan year.
-- One row an enrollment.
create temporary table keyed on commit drop as
select
    s.enrollment_id,
    {sk_values_named},
    day.date_key as enrollment_start_date_key,
    last_day.date_key as enrollment_end_date_key,
    s.start_date::date as start_date,
    last_day.full_date as end_date,
    last_day.full_date - s.start_date + 1 as coverage_days,
    {carried_values},
    s.load_id
from standing as t
inner join enrollments_raw as s on t.load_id = s.load_id and t.source_line = s.source_line
inner join dim_date as day on s.start_date = day.full_date
inner join dim_date as last_day
    on last_day.full_date = {last_day}
{references}
where {in_hand};

-- name: index_keyed
-- Statistics for the joins that follow.
analyze keyed;

-- name: replace_same_grain
-- Another enrollment of the same member, plan and start takes the place of the one held. Where two
-- change places, both go and come again: neither is ever in the other's way.
-- One row an enrollment replaced.
delete from fact_enrollment as f
using keyed as k
where f.member_sk = k.member_sk and f.plan_sk = k.plan_sk and f.start_date = k.start_date
    and k.member_sk > 0 and k.plan_sk > 0 and f.enrollment_id <> k.enrollment_id;

-- name: update_known
-- Enrollments held in an earlier state take the new one; others are left alone.
-- One row an enrollment.
update fact_enrollment as f
set
    {assign_columns},
    load_id = k.load_id
from keyed as k
where f.enrollment_id = k.enrollment_id and {columns_differ};

-- name: insert_new
-- Enrollments that the fact does not hold yet. One row an enrollment.
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

-- name: drop_standing
-- Make room for the next load. No rows.
drop table standing;
