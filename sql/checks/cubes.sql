-- Checks of the cubes against the facts.

-- name: money_by_month
-- Claims and money of every cube that holds all claims against fact_claim, month by month and to
-- the cent. One row a cube; a row checked is a month.
with facts as materialized (
    select
        d.month_start as month,
        count(*) filter (where state.is_adjudicated) as claims,
        count(*) filter (where state.is_pending) as pending_claims,
        count(*) filter (where state.is_unknown) as unknown_status_claims,
        sum(f.claim_amount) filter (where state.is_adjudicated) as billed_usd,
        sum(f.claim_amount) filter (where state.is_pending) as pending_billed_usd,
        sum(f.claim_amount) filter (where state.is_unknown) as unknown_status_billed_usd,
        sum(f.allowed_amount) filter (where state.is_adjudicated) as allowed_usd,
        sum(f.paid_amount) filter (where state.is_paid) as paid_usd
    from fact_claim as f
    inner join dim_date as d on f.service_date = d.full_date
    cross join lateral ({state}) as state
    group by d.month_start
),

cubes as (
    select
        'claims_daily_member' as cube,
        d.month_start as month,
        sum(c.claims) as claims,
        sum(c.pending_claims) as pending_claims,
        sum(c.unknown_status_claims) as unknown_status_claims,
        sum(c.billed_usd) as billed_usd,
        sum(c.pending_billed_usd) as pending_billed_usd,
        sum(c.unknown_status_billed_usd) as unknown_status_billed_usd,
        sum(c.allowed_usd) as allowed_usd,
        sum(c.paid_usd) as paid_usd
    from claims_daily_member as c
    left join dim_date as d on c.service_date = d.full_date
    group by d.month_start
    union all
    select
        'claims_by_plan_metal_month',
        month,
        sum(claims),
        sum(pending_claims),
        sum(unknown_status_claims),
        sum(billed_usd),
        sum(pending_billed_usd),
        sum(unknown_status_billed_usd),
        sum(allowed_usd),
        sum(paid_usd)
    from claims_by_plan_metal_month
    group by month
    union all
    select
        'utilization_by_specialty',
        month,
        sum(claims),
        sum(pending_claims),
        sum(unknown_status_claims),
        sum(billed_usd),
        sum(pending_billed_usd),
        sum(unknown_status_billed_usd),
        sum(allowed_usd),
        sum(paid_usd)
    from utilization_by_specialty
    group by month
),

names (cube) as (
    values
    ('claims_daily_member'),
    ('claims_by_plan_metal_month'),
    ('utilization_by_specialty')
),

expected as (
    select
        n.cube,
        f.*
    from names as n
    cross join facts as f
),

compared as (
    select
        coalesce(e.cube, c.cube) as cube,
        coalesce(e.month, c.month) as month,
        row(
            coalesce(e.claims, 0),
            coalesce(e.pending_claims, 0),
            coalesce(e.unknown_status_claims, 0),
            coalesce(e.billed_usd, 0),
            coalesce(e.pending_billed_usd, 0),
            coalesce(e.unknown_status_billed_usd, 0),
            coalesce(e.allowed_usd, 0),
            coalesce(e.paid_usd, 0)
        ) = row(
            coalesce(c.claims, 0),
            coalesce(c.pending_claims, 0),
            coalesce(c.unknown_status_claims, 0),
            coalesce(c.billed_usd, 0),
            coalesce(c.pending_billed_usd, 0),
            coalesce(c.unknown_status_billed_usd, 0),
            coalesce(c.allowed_usd, 0),
            coalesce(c.paid_usd, 0)
        ) as agrees
    from expected as e
    full join cubes as c on e.cube = c.cube and e.month = c.month
)

select
    n.cube as rule,
    count(c.cube) as rows_checked,
    count(*) filter (where not c.agrees) as rows_failed,
    some_keys(jsonb_build_object('month', c.month)) filter (where not c.agrees) as failing_keys
from names as n
left join compared as c on n.cube = c.cube
group by n.cube;

-- name: covered_days
-- Days of coverage in the cube by tier and month against those of the enrollments. One row; a row
-- checked is an enrollment.
select
    'covered_days' as rule,
    e.enrollments as rows_checked,
    (e.days <> c.days)::integer as rows_failed
from (
    select
        count(*) as enrollments,
        coalesce(sum(coverage_days), 0) as days
    from fact_enrollment
) as e
cross join (
    select coalesce(sum(covered_days), 0) as days
    from claims_by_plan_metal_month
) as c;

-- name: high_cost
-- The rolling twelve months of high-cost members against the days of claims_daily_member, and in
-- the last month that nobody over the threshold is missing. One row; a row checked is a row of
-- the cube.
with last_month as (
    select d.month_start as month
    from dim_date as d
    where d.full_date = (select max(service_date) from fact_claim)
),

due as (
    select c.member_id
    from claims_daily_member as c
    cross join last_month as l
    where c.service_date >= l.month - interval '11 months' and c.member_id <> '(unknown)'
    group by c.member_id
    having sum(c.paid_usd) >= ({threshold})
),

judged as (
    select
        h.member_id,
        h.month,
        (
            h.paid_12_months_usd is distinct from (
                select sum(c.paid_usd)
                from claims_daily_member as c
                where c.member_id = h.member_id
                    and c.service_date >= (h.month - interval '11 months')::date
                    and c.service_date < (h.month + interval '1 month')::date
            )
        ) as is_broken,
        1 as is_there
    from high_cost_member_tracking as h
    union all
    select
        d.member_id,
        l.month,
        true,
        0
    from due as d
    cross join last_month as l
    where not exists (
        select 1
        from high_cost_member_tracking as h
        where h.member_id = d.member_id and h.month = l.month
    )
)

select
    'high_cost_member_tracking' as rule,
    coalesce(sum(is_there), 0) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys(
        jsonb_build_object('member_id', member_id, 'month', month)
    ) filter (where is_broken) as failing_keys
from judged;

-- name: moved_days
-- The days of members that loads named since the cubes were made before, and those that moved,
-- against the facts, each looked up. One row; a row checked is a member and day.
with days as (
    select
        case when s.member_id <> '' then s.member_id::text else '(unknown)' end as member_id,
        s.service_date::date as service_date
    from claims_raw as s
    where s.load_id > (select load_id from followed)
    union
    select
        case when member_id <> '' then member_id else '(unknown)' end,
        service_date
    from movement
),

compared as (
    select
        d.member_id,
        d.service_date,
        row(
            f.claims,
            f.pending_claims,
            f.unknown_status_claims,
            f.billed_usd,
            f.pending_billed_usd,
            f.unknown_status_billed_usd,
            f.allowed_usd,
            f.paid_usd
        ) <> row(
            coalesce(c.claims, 0),
            coalesce(c.pending_claims, 0),
            coalesce(c.unknown_status_claims, 0),
            coalesce(c.billed_usd, 0),
            coalesce(c.pending_billed_usd, 0),
            coalesce(c.unknown_status_billed_usd, 0),
            coalesce(c.allowed_usd, 0),
            coalesce(c.paid_usd, 0)
        )
        or (f.claims + f.pending_claims + f.unknown_status_claims > 0)
        <> (c.member_id is not null) as is_broken
    from days as d
    cross join lateral (
        select
            count(*) filter (where state.is_adjudicated) as claims,
            count(*) filter (where state.is_pending) as pending_claims,
            count(*) filter (where state.is_unknown) as unknown_status_claims,
            coalesce(sum(f.claim_amount) filter (where state.is_adjudicated), 0) as billed_usd,
            coalesce(sum(f.claim_amount) filter (where state.is_pending), 0)
            as pending_billed_usd,
            coalesce(sum(f.claim_amount) filter (where state.is_unknown), 0)
            as unknown_status_billed_usd,
            coalesce(sum(f.allowed_amount) filter (where state.is_adjudicated), 0)
            as allowed_usd,
            coalesce(sum(f.paid_amount) filter (where state.is_paid), 0) as paid_usd
        from dim_member as m
        inner join fact_claim as f on m.member_sk = f.member_sk
        cross join lateral ({state}) as state
        where m.member_id = case when d.member_id = '(unknown)' then '' else d.member_id end
            and f.service_date = d.service_date
    ) as f
    left join claims_daily_member as c
        on d.member_id = c.member_id and d.service_date = c.service_date
)

select
    'claims_daily_member' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys(jsonb_build_object('member_id', member_id, 'service_date', service_date))
    filter (where is_broken) as failing_keys
from compared;

-- name: moved_months
-- Claims and money of the two cubes by month against what they were and what members' days moved
-- by. One row a cube; a row checked is a month that moved.
with moved as (
    select
        date_trunc('month', service_date::timestamp)::date as month,
        sum(claims) as claims,
        sum(pending_claims) as pending_claims,
        sum(unknown_status_claims) as unknown_status_claims,
        sum(billed_usd) as billed_usd,
        sum(pending_billed_usd) as pending_billed_usd,
        sum(unknown_status_billed_usd) as unknown_status_billed_usd,
        sum(allowed_usd) as allowed_usd,
        sum(paid_usd) as paid_usd
    from moved_day
    group by date_trunc('month', service_date::timestamp)::date
),

names (cube) as (
    values
    ('claims_by_plan_metal_month'),
    ('utilization_by_specialty')
),

sides as (
    select
        cube,
        month,
        -1 as sign,
        claims,
        pending_claims,
        unknown_status_claims,
        billed_usd,
        pending_billed_usd,
        unknown_status_billed_usd,
        allowed_usd,
        paid_usd
    from month_before
    union all
    select
        n.cube,
        m.month,
        -1,
        m.claims,
        m.pending_claims,
        m.unknown_status_claims,
        m.billed_usd,
        m.pending_billed_usd,
        m.unknown_status_billed_usd,
        m.allowed_usd,
        m.paid_usd
    from names as n
    cross join moved as m
    union all
    select
        'claims_by_plan_metal_month',
        month,
        1,
        claims,
        pending_claims,
        unknown_status_claims,
        billed_usd,
        pending_billed_usd,
        unknown_status_billed_usd,
        allowed_usd,
        paid_usd
    from claims_by_plan_metal_month
    union all
    select
        'utilization_by_specialty',
        month,
        1,
        claims,
        pending_claims,
        unknown_status_claims,
        billed_usd,
        pending_billed_usd,
        unknown_status_billed_usd,
        allowed_usd,
        paid_usd
    from utilization_by_specialty
),

compared as (
    select
        s.cube,
        s.month,
        row(
            sum(s.sign * s.claims),
            sum(s.sign * s.pending_claims),
            sum(s.sign * s.unknown_status_claims),
            sum(s.sign * s.billed_usd),
            sum(s.sign * s.pending_billed_usd),
            sum(s.sign * s.unknown_status_billed_usd),
            sum(s.sign * s.allowed_usd),
            sum(s.sign * s.paid_usd)
        ) <> row(0, 0, 0, 0, 0, 0, 0, 0) as is_broken
    from sides as s
    group by s.cube, s.month
)

select
    n.cube as rule,
    count(c.cube) filter (where c.month in (select m.month from moved as m)) as rows_checked,
    count(*) filter (where c.is_broken) as rows_failed,
    some_keys(jsonb_build_object('month', c.month)) filter (where c.is_broken) as failing_keys
from names as n
left join compared as c on n.cube = c.cube
group by n.cube;

-- name: moved_coverage
-- Days of coverage in the cube against what they were and what enrollments that came, changed or
-- went add and take. One row; a row checked is an enrollment.
select
    'covered_days' as rule,
    (select count(*) from enrollment_is) as rows_checked,
    (
        (select coalesce(sum(covered_days), 0) from claims_by_plan_metal_month)
        <> (select coalesce(sum(covered_days), 0) from month_before)
        + (select coalesce(sum(coverage_days), 0) from enrollment_is)
        - (
            select coalesce(sum(coverage_days), 0)
            from enrollment_was
            where load_id <= (select load_id from followed)
        )
    )::integer as rows_failed;

-- name: moved_high_cost
-- The rolling twelve months of the members concerned against the days of claims_daily_member.
-- One row; a row checked is a row of the cube.
with judged as (
    select
        h.member_id,
        h.month,
        (
            h.paid_12_months_usd is distinct from (
                select sum(c.paid_usd)
                from claims_daily_member as c
                where c.member_id = h.member_id
                    and c.service_date >= (h.month - interval '11 months')::date
                    and c.service_date < (h.month + interval '1 month')::date
            )
        ) as is_broken
    from high_cost_member_tracking as h
    where h.member_id in (select k.member_id from concerned as k)
)

select
    'high_cost_member_tracking' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys(
        jsonb_build_object('member_id', member_id, 'month', month)
    ) filter (where is_broken) as failing_keys
from judged;
