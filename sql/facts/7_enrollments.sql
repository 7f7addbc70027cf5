-- Enrollments: one row per member, plan and start of coverage, from the identifier's latest row.
--
--   before    enrollment  member  plan  start       premium
--             E1          A       P     2025-01-01  100.00
--
--   arrivals  enrollment  member  plan  start       premium
--             E1          A       P     2025-01-01  120.00
--             E2          B       P     2025-02-01  100.00
--             E3          A       P     2025-01-01  130.00   same member, plan and start as E1
--
--   after     enrollment  member  plan  start       premium
--             E2          B       P     2025-02-01  100.00
--             E3          A       P     2025-01-01  130.00

-- name: has_rows
-- Whether the fact has any enrollment. One row.
select exists(select 1 from fact_enrollment);

-- name: find_latest
-- The valid enrollments: the latest row of each identifier, by the order of the batches and of the
-- lines, and whether a later row of the same member, plan and start displaces it; of two on one
-- line that with the greater identifier. Without a member or a plan nothing says that two are the
-- same. A row that is outdated still displaces those before it. One that cancels coverage (a delete
-- marker, an end before the start) displaces only rows of its own identifier. An enrollment that a
-- later snapshot lacks, and names in no rejected row, is not valid.
-- One row per enrollment.
create temporary table latest_enrollment on commit drop as
with build_load as ({build_load}),

staged as (
    select
        s.load_id,
        s.source_line,
        s.enrollment_id,
        s.member_id,
        s.plan_id,
        s.start_date,
        l.batch_rank,
        s.is_deleted is true or coalesce(s.end_date < s.start_date, false) as is_canceled
    from build_load as l
    inner join enrollments_raw as s on l.load_id = s.load_id
),

ranked as (
    select
        t.*,
        t.member_id <> '' and t.plan_id <> '' as has_grain,
        row_number() over (
            partition by t.enrollment_id
            order by t.batch_rank desc, t.source_line desc
        ) as rank_in_id,
        row_number() over (
            partition by t.member_id, t.plan_id, t.start_date, t.is_canceled
            order by t.batch_rank desc, t.source_line desc, t.enrollment_id desc
        ) as rank_in_grain
    from staged as t
)

select
    r.load_id,
    r.source_line,
    r.enrollment_id,
    r.rank_in_grain > 1 and r.has_grain is true as is_displaced
from ranked as r
where r.rank_in_id = 1 and not r.is_canceled
    and not exists (
        select 1
        from build_load as p
        where p.is_snapshot and p.batch_rank > r.batch_rank and not {is_named_r_by_p}
    );

-- name: delete_displaced
-- Enrollments that another one of the same member, plan and start displaces are not valid. One row,
-- with how many of them the load brought.
with displaced as (
    delete from latest_enrollment
    where is_displaced
    returning load_id
)

select count(*) filter (where load_id = %(load_id)s)
from displaced;

-- name: delete_superseded
-- Enrollments that came again, or that a snapshot lacks, and are no longer valid.
-- One row per enrollment.
delete from fact_enrollment as f
where (
    (%(is_snapshot)s and not {is_named_f})
    or exists (
        select 1
        from enrollments_raw as s
        where s.load_id = any(%(build_loads)s) and s.enrollment_id = f.enrollment_id
    )
)
and not exists (
    select 1
    from latest_enrollment as t
    where t.enrollment_id = f.enrollment_id
);

-- name: key_rows
-- The load's valid enrollments, with the keys of the versions in force on the first day of
-- coverage. Without an end, or with one that means that it is open, coverage runs to the end of the
-- plan year.
-- One row per enrollment.
create temporary table keyed_enrollment on commit drop as
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
from latest_enrollment as t
inner join enrollments_raw as s
    on t.load_id = s.load_id and t.source_line = s.source_line and t.enrollment_id = s.enrollment_id
inner join dim_date as day on s.start_date = day.full_date
inner join dim_date as last_day
    on last_day.full_date = {last_day}
{references}
where {is_current};

-- name: replace_same_grain
-- Remove an enrollment whose member, plan and start another one has now. Where two change places,
-- both are removed and inserted again, so that they never collide.
-- One row per enrollment replaced.
delete from fact_enrollment as f
using keyed_enrollment as k
where f.member_sk = k.member_sk and f.plan_sk = k.plan_sk and f.start_date = k.start_date
    and k.member_sk > 0 and k.plan_sk > 0 and f.enrollment_id <> k.enrollment_id;

-- name: update_existing
-- Enrollments that the fact has in an earlier state take the new one; others are left alone.
-- One row per enrollment.
update fact_enrollment as f
set
    {assign_columns},
    load_id = k.load_id
from keyed_enrollment as k
where f.enrollment_id = k.enrollment_id and {columns_differ};

-- name: insert_new
-- Enrollments that the fact does not have yet. One row per enrollment.
insert into fact_enrollment (enrollment_id, {columns}, load_id)
select
    k.enrollment_id,
    {keyed_columns},
    k.load_id
from keyed_enrollment as k
where not exists (
    select 1
    from fact_enrollment as f
    where f.enrollment_id = k.enrollment_id
)
order by k.enrollment_id;
