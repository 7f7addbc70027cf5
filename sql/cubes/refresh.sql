-- How each cube follows what changed (cubes/changes): the rows that its definition gives, made of
-- the rows that it held and of the movement.

-- name: last_month
-- The last month with a claim of anyone, as the cube of the metal tiers has it. One row.
select max(month)
from claims_by_plan_metal_month
where claims + pending_claims + unknown_status_claims > 0;

-- name: months_before
-- Claims and money by month of the two small cubes before they are brought up to date, for their
-- gate. One row a cube and month.
create temporary table month_before on commit drop as
select
    'claims_by_plan_metal_month' as cube,
    month,
    sum(claims) as claims,
    sum(pending_claims) as pending_claims,
    sum(unknown_status_claims) as unknown_status_claims,
    sum(billed_usd) as billed_usd,
    sum(pending_billed_usd) as pending_billed_usd,
    sum(unknown_status_billed_usd) as unknown_status_billed_usd,
    sum(allowed_usd) as allowed_usd,
    sum(paid_usd) as paid_usd,
    sum(covered_days) as covered_days
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
    sum(paid_usd),
    null
from utilization_by_specialty
group by month;

-- name: no_moved_days
-- What members' days came to before and after, for the gate. One row a day that moved.
create temporary table moved_day (
    member_id text,
    service_date date,
    claims bigint,
    pending_claims bigint,
    unknown_status_claims bigint,
    billed_usd numeric,
    pending_billed_usd numeric,
    unknown_status_billed_usd numeric,
    allowed_usd numeric,
    paid_usd numeric
) on commit drop;

-- name: claims_daily_member
-- Add the movement to the days that it touches; a day without a claim left goes.
-- One row a member and day written.
with merged as (
    merge into claims_daily_member as c  -- noqa: PRS, nor a merge in a step
    using (
        select
            case when member_id = '' then '(unknown)' else member_id end as member_id,
            service_date,
            sum(claims) as claims,
            sum(pending_claims) as pending_claims,
            sum(denied_claims) as denied_claims,
            sum(unknown_status_claims) as unknown_status_claims,
            sum(billed_usd) as billed_usd,
            sum(pending_billed_usd) as pending_billed_usd,
            sum(unknown_status_billed_usd) as unknown_status_billed_usd,
            sum(allowed_usd) as allowed_usd,
            sum(paid_usd) as paid_usd
        from movement
        group by 1, 2
        having row(
            sum(claims),
            sum(pending_claims),
            sum(denied_claims),
            sum(unknown_status_claims),
            sum(billed_usd),
            sum(pending_billed_usd),
            sum(unknown_status_billed_usd),
            sum(allowed_usd),
            sum(paid_usd)
        ) <> row(0, 0, 0, 0, 0, 0, 0, 0, 0)
    ) as m
        on c.member_id = m.member_id and c.service_date = m.service_date
    when matched
        and c.claims + m.claims = 0 and c.pending_claims + m.pending_claims = 0
        and c.unknown_status_claims + m.unknown_status_claims = 0
        then delete
    when matched then update set
        claims = c.claims + m.claims,
        pending_claims = c.pending_claims + m.pending_claims,
        denied_claims = c.denied_claims + m.denied_claims,
        unknown_status_claims = c.unknown_status_claims + m.unknown_status_claims,
        billed_usd = c.billed_usd + m.billed_usd,
        pending_billed_usd = c.pending_billed_usd + m.pending_billed_usd,
        unknown_status_billed_usd = c.unknown_status_billed_usd + m.unknown_status_billed_usd,
        allowed_usd = c.allowed_usd + m.allowed_usd,
        paid_usd = c.paid_usd + m.paid_usd
    when not matched then insert (
        member_id,
        service_date,
        claims,
        pending_claims,
        denied_claims,
        unknown_status_claims,
        billed_usd,
        pending_billed_usd,
        unknown_status_billed_usd,
        allowed_usd,
        paid_usd
    ) values (
        m.member_id,
        m.service_date,
        m.claims,
        m.pending_claims,
        m.denied_claims,
        m.unknown_status_claims,
        m.billed_usd,
        m.pending_billed_usd,
        m.unknown_status_billed_usd,
        m.allowed_usd,
        m.paid_usd
    )
    returning
        m.member_id,
        m.service_date,
        coalesce(new.claims, 0) - coalesce(old.claims, 0) as claims,
        coalesce(new.pending_claims, 0) - coalesce(old.pending_claims, 0) as pending_claims,
        coalesce(new.unknown_status_claims, 0) - coalesce(old.unknown_status_claims, 0)
        as unknown_status_claims,
        coalesce(new.billed_usd, 0) - coalesce(old.billed_usd, 0) as billed_usd,
        coalesce(new.pending_billed_usd, 0) - coalesce(old.pending_billed_usd, 0)
        as pending_billed_usd,
        coalesce(new.unknown_status_billed_usd, 0) - coalesce(old.unknown_status_billed_usd, 0)
        as unknown_status_billed_usd,
        coalesce(new.allowed_usd, 0) - coalesce(old.allowed_usd, 0) as allowed_usd,
        coalesce(new.paid_usd, 0) - coalesce(old.paid_usd, 0) as paid_usd
)

insert into moved_day
select *
from merged;

-- name: claims_by_plan_metal_month
-- The whole cube, which is small, from its own rows and the movement. A member joins or leaves a
-- tier and month with the first and the last adjudicated claim there. One row a metal tier and
-- month.
with member_moves as (
    select
        member_id,
        month,
        metal_tier,
        sum(claims) as claims
    from movement
    group by member_id, month, metal_tier
    having sum(claims) <> 0
),

standing as (
    select
        member_id,
        month,
        metal_tier,
        sum(claims) as claims
    from standing_claims
    group by member_id, month, metal_tier
),

sums as (
    select
        metal_tier,
        month,
        claims,
        pending_claims,
        denied_claims,
        unknown_status_claims,
        members,
        covered_days,
        billed_usd,
        pending_billed_usd,
        unknown_status_billed_usd,
        allowed_usd,
        paid_usd
    from claims_by_plan_metal_month
    union all
    select
        metal_tier,
        month,
        claims,
        pending_claims,
        denied_claims,
        unknown_status_claims,
        0,
        0,
        billed_usd,
        pending_billed_usd,
        unknown_status_billed_usd,
        allowed_usd,
        paid_usd
    from movement
    union all
    select
        m.metal_tier,
        m.month,
        0,
        0,
        0,
        0,
        (coalesce(s.claims, 0) > 0)::integer - (coalesce(s.claims, 0) > m.claims)::integer,
        0,
        0,
        0,
        0,
        0,
        0
    from member_moves as m
    left join standing as s
        on m.member_id = s.member_id and m.month = s.month and m.metal_tier = s.metal_tier
    union all
    select
        metal_tier,
        month,
        0,
        0,
        0,
        0,
        0,
        covered_days,
        0,
        0,
        0,
        0,
        0
    from coverage_movement
),

used as (
    select
        metal_tier,
        month,
        sum(claims) as claims,
        sum(pending_claims) as pending_claims,
        sum(denied_claims) as denied_claims,
        sum(unknown_status_claims) as unknown_status_claims,
        sum(members) as members,
        sum(covered_days) as covered_days,
        sum(billed_usd) as billed_usd,
        sum(pending_billed_usd) as pending_billed_usd,
        sum(unknown_status_billed_usd) as unknown_status_billed_usd,
        sum(allowed_usd) as allowed_usd,
        sum(paid_usd) as paid_usd
    from sums
    group by metal_tier, month
    having
        sum(claims) <> 0
        or sum(pending_claims) <> 0
        or sum(unknown_status_claims) <> 0
        or sum(covered_days) <> 0
),

months as (
    select generate_series(
        min(month)::timestamp, max(month)::timestamp, interval '1 month'
    )::date as month
    from used
),

tiers as (
    select coalesce(initcap(metal_tier), '(unknown)') as metal_tier
    from dim_plan
    where plan_sk <> -1
    union
    select metal_tier from used
)

select
    t.metal_tier,
    m.month,
    coalesce(u.claims, 0)::bigint as claims,
    coalesce(u.pending_claims, 0)::bigint as pending_claims,
    coalesce(u.denied_claims, 0)::bigint as denied_claims,
    coalesce(u.unknown_status_claims, 0)::bigint as unknown_status_claims,
    coalesce(u.members, 0)::bigint as members,
    exposure.covered_days,
    round(exposure.member_months, 6) as member_months,
    coalesce(u.billed_usd, 0)::numeric(16, 2) as billed_usd,
    coalesce(u.pending_billed_usd, 0)::numeric(16, 2) as pending_billed_usd,
    coalesce(u.unknown_status_billed_usd, 0)::numeric(16, 2) as unknown_status_billed_usd,
    coalesce(u.allowed_usd, 0)::numeric(16, 2) as allowed_usd,
    coalesce(u.paid_usd, 0)::numeric(16, 2) as paid_usd,
    round(coalesce(u.paid_usd, 0) / nullif(exposure.member_months, 0), 2) as paid_pmpm_usd
from tiers as t
cross join months as m
left join used as u on t.metal_tier = u.metal_tier and m.month = u.month
cross join lateral (
    select
        coalesce(u.covered_days, 0)::bigint as covered_days,
        coalesce(u.covered_days, 0)
        / extract(day from m.month + interval '1 month' - interval '1 day') as member_months
) as exposure;

-- name: utilization_by_specialty
-- The whole cube, which is small, from its own rows and the movement; the member-months of all are
-- those of the cube of the metal tiers. One row a specialty and month.
with member_moves as (
    select
        member_id,
        month,
        specialty,
        sum(claims) as claims
    from movement
    group by member_id, month, specialty
    having sum(claims) <> 0
),

standing as (
    select
        member_id,
        month,
        specialty,
        sum(claims) as claims
    from standing_claims
    group by member_id, month, specialty
),

sums as (
    select
        specialty,
        month,
        claims,
        pending_claims,
        denied_claims,
        unknown_status_claims,
        members,
        billed_usd,
        pending_billed_usd,
        unknown_status_billed_usd,
        allowed_usd,
        paid_usd
    from utilization_by_specialty
    union all
    select
        specialty,
        month,
        claims,
        pending_claims,
        denied_claims,
        unknown_status_claims,
        0,
        billed_usd,
        pending_billed_usd,
        unknown_status_billed_usd,
        allowed_usd,
        paid_usd
    from movement
    union all
    select
        m.specialty,
        m.month,
        0,
        0,
        0,
        0,
        (coalesce(s.claims, 0) > 0)::integer - (coalesce(s.claims, 0) > m.claims)::integer,
        0,
        0,
        0,
        0,
        0
    from member_moves as m
    left join standing as s
        on m.member_id = s.member_id and m.month = s.month and m.specialty = s.specialty
),

claims as (
    select
        specialty,
        month,
        sum(claims)::bigint as claims,
        sum(pending_claims)::bigint as pending_claims,
        sum(denied_claims)::bigint as denied_claims,
        sum(unknown_status_claims)::bigint as unknown_status_claims,
        sum(members)::bigint as members,
        sum(billed_usd)::numeric(16, 2) as billed_usd,
        sum(pending_billed_usd)::numeric(16, 2) as pending_billed_usd,
        sum(unknown_status_billed_usd)::numeric(16, 2) as unknown_status_billed_usd,
        sum(allowed_usd)::numeric(16, 2) as allowed_usd,
        sum(paid_usd)::numeric(16, 2) as paid_usd
    from sums
    group by specialty, month
    having sum(claims) <> 0 or sum(pending_claims) <> 0 or sum(unknown_status_claims) <> 0
),

coverage as (
    select
        month,
        sum(covered_days)
        / extract(day from month + interval '1 month' - interval '1 day') as member_months
    from claims_by_plan_metal_month
    where covered_days <> 0
    group by month
)

select
    c.specialty,
    c.month,
    c.claims,
    c.pending_claims,
    c.denied_claims,
    c.unknown_status_claims,
    c.members,
    coalesce(round(v.member_months, 6), 0) as member_months,
    c.billed_usd,
    c.pending_billed_usd,
    c.unknown_status_billed_usd,
    c.allowed_usd,
    c.paid_usd,
    round(c.claims * 1000 / v.member_months, 2) as claims_per_1000,
    round(c.members * 1000 / v.member_months, 2) as members_per_1000,
    round(c.allowed_usd * 1000 / v.member_months, 2) as allowed_per_1000_usd,
    round(c.paid_usd * 1000 / v.member_months, 2) as paid_per_1000_usd
from claims as c
left join coverage as v on c.month = v.month;

-- name: find_concerned
-- Members whose rolling twelve months can have changed: what they were paid in some month did, or
-- the last month moved on and they were over the threshold in the one before, or have a claim
-- below zero that leaves the window now. One row a member.
create temporary table concerned on commit drop as
select member_id
from movement
where member_id <> ''
group by member_id, month
having sum(paid_usd) <> 0
union
select member_id
from high_cost_member_tracking
where month = %(month_before)s::date and %(month_before)s::date < %(month_now)s::date
union
select m.member_id
from fact_claim as f
inner join dim_member as m on f.member_sk = m.member_sk
where f.paid_amount < 0 and f.member_sk <> -1
    and %(month_before)s::date < %(month_now)s::date
    and f.service_date >= (%(month_before)s::date - interval '11 months')::date
    and f.service_date < (%(month_now)s::date - interval '11 months')::date;

-- name: track_concerned
-- Their rows, made of their days. One row a member and month over the threshold.
create temporary table tracked on commit drop as
with candidates as (
    select k.member_id
    from concerned as k
    cross join lateral (
        select sum(c.paid_usd) as paid_usd
        from claims_daily_member as c
        where c.member_id = k.member_id and c.paid_usd > 0
    ) as ever
    where ever.paid_usd >= ({threshold})
),

monthly as (  -- noqa: ST03, the windows use it
    select
        d.member_id,
        d.month,
        sum(d.paid_usd) as paid_usd
    from candidates as k
    cross join lateral (
        select
            c.member_id,
            date_trunc('month', c.service_date::timestamp)::date as month,
            c.paid_usd
        from claims_daily_member as c
        where c.member_id = k.member_id
        order by c.service_date
        -- Keeps the look-up a look-up.
        offset 0
    ) as d
    group by d.member_id, d.month
),

last_month as (  -- noqa: ST03, and this
    select %(month_now)s::date as month
)

select w.*
from ({windows}) as w;

-- name: drop_untracked
-- Rows of these members that are none any more, and rows of months after the last.
-- One row a member and month.
delete from high_cost_member_tracking as h
where h.month > %(month_now)s::date
    or (
        h.member_id in (select k.member_id from concerned as k)
        and not exists (
            select 1
            from tracked as t
            where t.member_id = h.member_id and t.month = h.month
        )
    );

-- name: high_cost_member_tracking
-- Put their rows in; those that are as they have to be are left alone.
-- One row a member and month written.
merge into high_cost_member_tracking as h
using tracked as t
    on h.member_id = t.member_id and h.month = t.month
when matched and row(h.paid_12_months_usd, h.band, h.first_month_over)
    <> row(t.paid_12_months_usd, t.band, t.first_month_over)
    then update set
        paid_12_months_usd = t.paid_12_months_usd,
        band = t.band,
        first_month_over = t.first_month_over
when not matched then insert (member_id, month, paid_12_months_usd, band, first_month_over)
    values (t.member_id, t.month, t.paid_12_months_usd, t.band, t.first_month_over);
