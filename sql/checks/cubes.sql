-- Checks of the cubes against the facts that they are made of.
-- Cubes that followed what changed are checked within the transaction that changed them, whose
-- temporary tables contain what it found: the rows that changed, and no others.
--: advice: make cubes, then make dq-check; if it stays, the cube's definition is wrong.

-- name: claims_of_facts
-- The claims of all facts, for their sums by month. One row per claim.
select
    d.month_start as month,
    f.status,
    1 as claims,
    f.claim_amount,
    f.allowed_amount,
    f.paid_amount
from fact_claim as f
inner join dim_date as d on f.service_date = d.full_date;

-- name: expected_of_facts
-- What each of these cubes has to have by month: what the facts have. One row per cube and month.
select
    n.cube,
    true as is_checked,
    f.*
from unnest({cubes}::text[]) as n (cube)
cross join ({facts_by_month}) as f;

-- name: expected_of_changes
-- What each of these cubes has to have by month: what it had, and what the days of members changed
-- by since. One row per cube and month of either.
select
    cube,
    false as is_checked,
    date_trunc('month', day::timestamp)::date as month,
    {measures}
from days_before
where cube = any({cubes}::text[])
union all
select
    n.cube,
    true,
    date_trunc('month', d.service_date::timestamp)::date,
    {measures}
from unnest({cubes}::text[]) as n (cube)
cross join changed_days as d;

-- name: money_by_month
-- Claims and money of every cube that counts all claims against what is expected, month by month
-- and to the cent. One row per cube; a row checked is a month.
--: for each: cubes of claims
--: parts: keys = month, claims = claims_of_facts, facts_by_month = cubes/measures.summed,
--:     expected = expected_of_facts
--: gate: cubes
--: rule {cube}_money_as_in_facts: critical, consistency
--:   for each: cube
--:   fails when: a month's claims or money differ from the facts'; if facts were loaded since, make
--:     cubes brings it up to date
with sides as (
    select
        cube,
        date_trunc('month', day::timestamp)::date as month,
        false as is_checked,
        1 as sign,
        {measures}
    from ({days_of_cubes}) as c
    union all
    select
        cube,
        month,
        is_checked,
        -1,
        {measures}
    from ({expected}) as e
),

compared as (
    select
        cube,
        month,
        bool_or(is_checked) as is_checked,
        row({signed_sums}) <> row({zeros}) as is_broken
    from sides
    group by cube, month
)

select
    n.rule,
    count(*) filter (where c.is_checked) as rows_checked,
    count(*) filter (where c.is_broken) as rows_failed,
    some_keys(jsonb_build_object('month', c.month)) filter (where c.is_broken) as failing_keys
from unnest(%(rules)s::text[]) as n (rule)
left join compared as c on n.rule = c.cube || '_money_as_in_facts'
group by n.rule;

-- name: money_of_changes
-- The same of cubes that followed what changed. One row per cube; a row checked is a month.
--: for each: cubes of claims by month
--: parts: expected = expected_of_changes
--: only in gate: followed_cubes
--: rules as in: money_by_month
select m.*
from ({money_by_month}) as m;

-- name: claims_of_changed_days
-- The claims of the members and days that loads named since the cubes were made before, and of
-- those that changed, each looked up. One row per claim.
select
    d.member_id,
    d.service_date,
    f.*
from changed_member_days as d
cross join lateral (
    select
        c.status,
        1 as claims,
        c.claim_amount,
        c.allowed_amount,
        c.paid_amount
    from dim_member as m
    inner join fact_claim as c on m.member_sk = c.member_sk
    where m.member_id = case when d.member_id = '(unknown)' then '' else d.member_id end
        and c.service_date = d.service_date
    -- Keeps the look-up a look-up.
    order by c.claim_id
) as f;

-- name: changed_days
-- Those days as the cube has them against the facts. One row; a row checked is a member and day.
--: for each: cubes of claims by day
--: parts: keys = member_and_day, claims = claims_of_changed_days, summed = cubes/measures.summed
--: only in gate: followed_cubes
--: rules as in: money_by_month
with changed_member_days as (
    select
        case when s.member_id <> '' then s.member_id::text else '(unknown)' end as member_id,
        s.service_date::date as service_date
    from claims_raw as s
    where s.load_id > (select load_id from followed_since)
    union
    select
        case when member_id <> '' then member_id else '(unknown)' end,
        service_date
    from claim_changes
),

-- A day is in the cube if it has a claim, and only then.
sides as (
    select
        c.member_id,
        c.service_date,
        1 as sign,
        {measures}
    from changed_member_days as d
    cross join lateral (
        select *
        from claims_daily_member as c
        where c.member_id = d.member_id and c.service_date = d.service_date
        order by c.member_id
        offset 0
    ) as c
    union all
    select
        member_id,
        service_date,
        -1,
        {measures}
    from ({summed}) as f
    union all
    select
        member_id,
        service_date,
        0,
        {zeros}
    from changed_member_days
),

compared as (
    select
        member_id,
        service_date,
        row(sum(sign), {signed_sums}) <> row(0, {zeros}) as is_broken
    from sides
    group by member_id, service_date
)

select
    'claims_daily_member_money_as_in_facts' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys(jsonb_build_object('member_id', member_id, 'service_date', service_date))
    filter (where is_broken) as failing_keys
from compared;

-- name: grain_of_view
-- Rows of a cube that is a view whose grain lacks a value: a materialized view has no constraints.
-- One row; a row checked is a row of the cube.
--: for each: cube that is a view
--: key: {grain}
--: gate: cubes; followed_cubes
--: rule grain_is_known: critical, completeness
--:   fails when: a column of the grain is empty, so that the row is of nobody and nothing
--:   advice: The cube's definition has to name what is unknown, such as (unknown).
select
    'grain_is_known' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_empty) as rows_failed,
    some_keys({key_of_row}) filter (where is_empty) as failing_keys
from (
    select
        {grain},
        num_nulls({grain}) > 0 as is_empty
    from {table}
) as c;

-- name: covered_days
-- Days of coverage in the cube by tier and month against those of the exposure. One row; a row
-- checked is a tier and month.
--: table: claims_by_plan_metal_month
--: gate: cubes; followed_cubes
--: rule covered_days: critical, consistency
--:   fails when: coverage differs from that of exposure_month
with sides as (
    select
        metal_tier,
        month,
        covered_days
    from claims_by_plan_metal_month
    union all
    select
        metal_tier,
        month,
        -covered_days
    from exposure_month
),

compared as (
    select
        metal_tier,
        month,
        sum(covered_days) <> 0 as is_broken
    from sides
    group by metal_tier, month
)

select
    'covered_days' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys(jsonb_build_object('metal_tier', metal_tier, 'month', month))
    filter (where is_broken) as failing_keys
from compared;

-- name: months_against_days
-- Whether the twelve months of high-cost members differ from the days of claims_daily_member. One
-- row a row of the cube.
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
from high_cost_member_tracking as h;

-- name: high_cost
-- Those twelve months, and in the last month that nobody over the threshold is missing. One row; a
-- row checked is a row of the cube.
--: table: high_cost_member_tracking
--: parts: threshold = cubes/high_cost_member_tracking.threshold
--: rule rolling_paid: critical, consistency
--:   fails when: twelve months differ from their days; if facts were loaded since, make cubes
--:     brings it up to date
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
        m.*,
        1 as is_there
    from ({months_against_days}) as m
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
    'rolling_paid' as rule,
    coalesce(sum(is_there), 0) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys(
        jsonb_build_object('member_id', member_id, 'month', month)
    ) filter (where is_broken) as failing_keys
from judged;

-- name: tracked_members
-- Those twelve months of the members whose months can have changed. One row; a row checked is a row
-- of the cube.
--: table: high_cost_member_tracking
--: only in gate: followed_cubes
--: rules as in: high_cost
select
    'rolling_paid' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys(
        jsonb_build_object('member_id', member_id, 'month', month)
    ) filter (where is_broken) as failing_keys
from ({months_against_days}) as m
where member_id in (select k.member_id from members_to_track as k);
