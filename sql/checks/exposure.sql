-- Checks of the cubes of coverage against the enrollments that they are made of.
--: advice: make cubes, then make dq-check; if it stays, the cube's definition is wrong.

-- name: coverage
-- Covered days of each member against those of the enrollments, each day once, and whether a member
-- counts once in each covered month. One row per rule; a row checked is a member.
--: table: member_month
--: parts: of_members = all_members
--: gate: cubes
--: rule days_as_in_facts: critical, consistency
--:   fails when: a member's covered days differ from those of the enrollments; if facts were loaded
--:     since, make cubes brings it up to date
--: rule counted_once: critical, uniqueness
--:   fails when: a member counts twice in a month, or not at all, or has more days than the month
with months as (
    select
        member_id,
        sum(covered_days) as covered_days,
        sum(member_months_any) <> 1 or sum(member_months_mid) > 1
        or sum(covered_days) > min(days_in_month) as is_broken
    from member_month
    where {of_members}
    group by member_id, month
),

counted as (
    select
        member_id,
        sum(covered_days) as covered_days,
        bool_or(is_broken) as is_broken
    from months
    group by member_id
),

in_facts as (
    select
        m.member_id,
        range_agg(daterange(e.start_date, e.end_date, '[]')) as covered
    from fact_enrollment as e
    inner join dim_member as m on e.member_sk = m.member_sk
    where e.member_sk > 0 and {of_members}
    group by m.member_id
),

days as (
    select
        f.member_id,
        sum(upper(span.days) - lower(span.days)) as covered_days
    from in_facts as f
    cross join lateral unnest(f.covered) as span (days)
    group by f.member_id
),

judged as (
    select
        coalesce(c.member_id, d.member_id) as member_id,
        j.*
    from counted as c
    full join days as d on c.member_id = d.member_id
    cross join lateral (
        values
        ('days_as_in_facts', c.covered_days is distinct from d.covered_days),
        ('counted_once', coalesce(c.is_broken, false))
    ) as j (rule, is_broken)
)

select
    n.rule,
    count(j.member_id) as rows_checked,
    count(*) filter (where j.is_broken) as rows_failed,
    some_keys(jsonb_build_object('member_id', j.member_id))
    filter (where j.is_broken) as failing_keys
from unnest(%(rules)s::text[]) as n (rule)
left join judged as j on n.rule = j.rule
group by n.rule;

-- name: touched_coverage
-- The same of the members whose months were made again. One row per rule; a row checked is a
-- member.
--: table: member_month
--: parts: of_members = touched_members
--: only in gate: followed_cubes
--: rules as in: coverage
select s.*
from ({coverage}) as s;

-- name: exposures
-- Exposure against the member-months that it is the sum of. One row; a row checked is a month,
-- state, tier and variant.
--: table: exposure_month
--: gate: cubes
--: rule sums_of_member_months: critical, consistency
--:   fails when: days, member-months or premium differ from the sums of member_month
with sides as (
    select
        month,
        state,
        metal_tier,
        csr_variant,
        1 as sign,
        covered_days,
        member_months_any,
        member_months_mid,
        premium_usd,
        tax_credit_usd
    from exposure_month
    union all
    select
        month,
        state,
        metal_tier,
        csr_variant,
        -1,
        covered_days,
        member_months_any,
        member_months_mid,
        premium_usd,
        tax_credit_usd
    from member_month
),

compared as (
    select
        month,
        state,
        metal_tier,
        csr_variant,
        row(
            sum(sign * covered_days), sum(sign * member_months_any), sum(sign * member_months_mid),
            sum(sign * premium_usd), sum(sign * tax_credit_usd)
        ) <> row(0, 0, 0, 0, 0) as is_broken
    from sides
    group by month, state, metal_tier, csr_variant
)

select
    'sums_of_member_months' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys(
        jsonb_build_object(
            'month', month, 'state', state, 'metal_tier', metal_tier, 'csr_variant', csr_variant
        )
    ) filter (where is_broken) as failing_keys
from compared;

-- name: flows
-- Members at the end of each month against those at the start of the next one, of all states and
-- tiers. One row; a row checked is a month.
--: table: enrollment_flow_month
--: gate: cubes; followed_cubes
--: rule flow_continues: critical, consistency
--:   fails when: the members at the end of a month are not those at the start of the next
with months as (
    select
        month,
        sum(at_start) as at_start,
        sum(at_end) as at_end
    from enrollment_flow_month
    group by month
),

judged as (
    select
        m.month,
        m.at_end <> coalesce(later.at_start, 0) as is_broken
    from months as m
    left join months as later on later.month = (m.month + interval '1 month')::date
)

select
    'flow_continues' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys(jsonb_build_object('month', month)) filter (where is_broken) as failing_keys
from judged;
