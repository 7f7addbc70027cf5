-- Checks of the cubes of stays and of high cost against the claims that they are made of.
--: advice: make cubes, then make dq-check; if it stays, the cube's definition is wrong.

-- name: stays
-- Claims and money of each member's stays against the inpatient claims, to the cent, and whether
-- two stays of a member share a day. One row per rule; a row checked is a member.
--: table: inpatient_stay
--: parts: of_members = all_members, is_inpatient = cubes/inpatient_stay.is_inpatient,
--:     stay_claims = cubes/inpatient_stay.stay_claims
--: gate: cubes
--: rule claims_as_in_facts: critical, consistency
--:   fails when: claims or money of a member's stays differ from the facts'; if facts were loaded
--:     since, make cubes brings it up to date
--: rule stays_apart: critical, consistency
--:   fails when: two stays of a member overlap or touch, which are one
with sides as (
    select
        s.member_id,
        s.claims,
        s.allowed_usd,
        s.paid_usd,
        case
            when s.member_id <> '(unknown)' then coalesce(
                lag(s.discharge_date) over (
                    partition by s.member_id
                    order by s.admit_date, s.stay_id
                ) >= s.admit_date,
                false
            )
        end as is_joined
    from inpatient_stay as s
    where {of_members}
    union all
    select
        c.member_id,
        -1,
        -coalesce(c.allowed_amount, 0),
        -coalesce(c.paid_amount, 0),
        false
    from ({stay_claims}) as c
),

compared as (
    select
        member_id,
        row(sum(claims), sum(allowed_usd), sum(paid_usd)) <> row(0, 0, 0) as is_other,
        bool_or(is_joined) as is_joined
    from sides
    group by member_id
),

judged as (
    select
        c.member_id,
        j.*
    from compared as c
    cross join lateral (
        values ('claims_as_in_facts', c.is_other), ('stays_apart', c.is_joined)
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

-- name: touched_stays
-- The same of the members whose stays were made again. One row per rule; a row checked is a member.
--: table: inpatient_stay
--: parts: of_members = touched_members, is_inpatient = cubes/inpatient_stay.is_inpatient,
--:     stay_claims = cubes/inpatient_stay.stay_claims
--: only in gate: followed_cubes
--: rules as in: stays
select s.*
from ({stays}) as s;

-- name: claims_without_stay
-- Inpatient claims that are payable and in no stay. One row per rule; a row checked is a claim.
--: table: inpatient_stay
--: parts: is_inpatient = cubes/inpatient_stay.is_inpatient
--: rule claims_without_stay: minor, completeness
--:   fails when: an inpatient claim lacks its day of admission or discharge, or they are out of
--:     order
--:   advice: Ask the sender for the days; until then the claim is in no stay and in no readmission.
select
    'claims_without_stay' as rule,
    count(*) as rows_checked,
    count(*) filter (where (f.admit_date <= f.discharge_date) is not true) as rows_failed,
    some_keys(jsonb_build_object('claim_id', f.claim_id))
    filter (where (f.admit_date <= f.discharge_date) is not true) as failing_keys
from fact_claim as f
cross join lateral ({state}) as state
where {is_inpatient};

-- name: years
-- Allowed and paid of each member and year against the days of claims_daily_member. One row; a row
-- checked is a member and year that reaches the lowest band.
--: table: high_cost_year
--: parts: of_members = all_members, threshold = cubes/high_cost_year.threshold
--: gate: cubes
--: rule years_as_in_days: critical, consistency
--:   fails when: a member's year is missing, or differs from its days; if facts were loaded since,
--:     make cubes brings it up to date
with days as (
    select
        member_id,
        extract(year from service_date)::integer as benefit_year,
        sum(allowed_usd) as allowed_usd,
        sum(paid_usd) as paid_usd
    from claims_daily_member
    where member_id <> '(unknown)' and {of_members}
    group by member_id, extract(year from service_date)
    having sum(paid_usd) >= ({threshold})
),

years as (
    select *
    from high_cost_year
    where {of_members}
),

compared as (
    select
        member_id,
        benefit_year,
        (
            d.allowed_usd is distinct from y.allowed_usd or d.paid_usd is distinct from y.paid_usd
        ) as is_broken
    from days as d
    full join years as y using (member_id, benefit_year)
)

select
    'years_as_in_days' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys(jsonb_build_object('member_id', member_id, 'benefit_year', benefit_year))
    filter (where is_broken) as failing_keys
from compared;

-- name: touched_years
-- The same of the members whose years were made again. One row; a row checked is a member and year.
--: table: high_cost_year
--: parts: of_members = touched_members, threshold = cubes/high_cost_year.threshold
--: only in gate: followed_cubes
--: rules as in: years
select y.*
from ({years}) as y;

-- name: pool_parameters
-- Whether the pool's threshold and share are known. One row; a row checked is a row of the cube.
--: table: high_cost_year
--: rule pool_parameters: minor, completeness
--:   fails when: the high-cost risk pool of the benefit year is not in aca_parameter.csv
--:   advice: Add the year from its Payment Notice to etl/reference/aca_parameter.csv; make cubes.
select
    'pool_parameters' as rule,
    count(*) as rows_checked,
    count(*) filter (where pool_excess_usd is null) as rows_failed,
    some_keys(jsonb_build_object('benefit_year', benefit_year))
    filter (where pool_excess_usd is null) as failing_keys
from high_cost_year;
