-- Checks of what enrollments say, and what the other feeds say of them.
-- Each statement that declares rules returns the rows that break them, with the name of the rule.
-- One row per broken rule and row.
--: advice: Ask the sender; the rows are loaded as they came.

-- name: enrollments_judged
-- Of how many enrollments the rules on plan and member can say something; a variant whose word is
-- not known fits no metal and contradicts none. One row.
select
    count(*) as rows_checked,
    jsonb_build_object(
        'premium_as_rated',
        count(*) filter (where num_nulls(e.premium_paid, p.monthly_premium) = 0),
        'reduction_fits_metal',
        count(*) filter (where e.csr_variant = any(%(variants)s::text[]) and p.metal_tier <> ''),
        'no_credit_on_catastrophic',
        count(*) filter (where num_nulls(e.aptc_amount, p.metal_tier) = 0),
        'covered_after_birth', count(m.dob)
    ) as judged
from fact_enrollment as e
inner join dim_plan as p on e.plan_sk = p.plan_sk
inner join dim_member as m on e.member_sk = m.member_sk;

-- name: enrollments_held
-- The enrollments of named members as the fact has them. One row per enrollment.
select
    e.enrollment_id,
    e.load_id,
    m.member_id,
    e.start_date,
    e.end_date,
    1 as known_from,
    null::integer as known_to
from fact_enrollment as e
inner join dim_member as m on e.member_sk = m.member_sk
where e.member_sk <> -1;

-- name: overlapping
-- Enrollments that begin while an earlier one of the same member runs, or in a month of which that
-- has a day, as it was known when the later one came.
--: table: fact_enrollment
--: key: enrollment_id
--: counted by: all_rows
--: parts: enrollments = enrollments_held
--: rule no_day_twice: major, uniqueness
--:   fails when: two enrollments of a member cover the same day
--:   advice: Ask the sender which is right; member-months and premium count twice meanwhile.
--: rule one_a_month: minor, uniqueness
--:   fails when: two enrollments of a member are open in the same month
--:   may fail: 1 %
--:   source: 45 CFR 155.420(b)
--:   advice: A few are usual: births and deaths begin and end coverage within a month (45 CFR
--:     155.420(b)(2)). Of many ask the sender.
select
    v.rule,
    e.enrollment_id,
    e.load_id,
    e.member_id
from ({enrollments}) as e
cross join lateral (
    values
    ('no_day_twice', e.start_date),
    ('one_a_month', date_trunc('month', e.start_date)::date)
) as v (rule, first_day)
where exists (
    select 1
    from ({enrollments}) as o
    where o.member_id = e.member_id
        and o.enrollment_id <> e.enrollment_id
        and (o.start_date, o.enrollment_id) < (e.start_date, e.enrollment_id)
        and o.end_date >= v.first_day
        and o.known_from <= e.known_from
        and coalesce(o.known_to > e.known_from, true)
);

-- name: enrollment_values
-- Enrollments that do not fit their plan or their member. The premium of an age is the plan's,
-- which is that of a 21-year-old, times the age's factor on the first day of coverage, and for
-- those who may smoke up to half as much again; without a date of birth any age may be meant. Of
-- more than three children under 21 in a household the others cost nothing. The factor is on the
-- curve of the state that the plan is sold in, by its identifier, or else that the member lives in;
-- states without a curve of their own use the federal one. What is compared with may be empty:
-- without a premium, the plan's premium or the metal there is nothing to say; no tax credit is a
-- credit of 0.
--: table: fact_enrollment
--: key: enrollment_id
--: counted by: enrollments_judged
--: rule premium_as_rated: major, reasonableness
--:   fails when: premium and tax credit together are not the plan's premium at the member's age
--:   note: By the age on the first day on the state's curve; from 21 on up to half as much again
--:     for tobacco; children may cost nothing. Rating areas and corrected birth dates move a few.
--:   may fail: 1 %
--:   source: 45 CFR 147.102(a), (c), (e)
--:   advice: See whether the plan's premium is that of a 21-year-old, and whether the state has a
--:     new age curve of its own (45 CFR 147.102(e); etl/reference/age_curve_state.csv).
--: rule reduction_fits_metal: major, consistency
--:   fails when: a silver variant (04 to 06) on another metal, or an Indian one (02, 03) on a
--:     catastrophic plan
--:   note: Other words than 00 to 06 are not judged and fail their list.
--:   source: 45 CFR 155.305(g), 155.350, 156.420
--:   advice: Ask the sender for plan or variant: the insurer is not owed the reduction (45 CFR
--:     155.305(g), 155.350, 156.420).
--: rule no_credit_on_catastrophic: major, consistency
--:   fails when: a tax credit on a catastrophic plan
--:   source: 26 U.S.C. 36B(c)(3)(A)
--:   advice: Ask the sender: such a plan has none (26 U.S.C. 36B(c)(3)(A)).
--: rule ends_in_plan_year: major, consistency
--:   fails when: coverage runs past the plan year
--:   source: 45 CFR 155.20
--:   advice: Ask the sender for a row per plan year: the next year's plan is another one (45 CFR
--:     155.20).
--: rule covered_after_birth: major, consistency
--:   fails when: coverage ended before the member's birth
--:   advice: Ask the sender which of member, date of birth and span is wrong.
with factors as materialized (
    select
        c.state,
        c.age,
        c.factor,
        min(c.factor) over (partition by c.state) as lowest,
        max(c.factor) over (partition by c.state) as highest
    from unnest(
        %(curve_states)s::text[], %(curve_ages)s::integer[], %(curve_factors)s::numeric[]
    ) as c (state, age, factor)
)

select
    v.rule,
    b.enrollment_id,
    b.load_id
from (
    select
        e.enrollment_id,
        e.load_id,
        -- A cent of rounding on each of the two amounts.
        (e.premium_paid + coalesce(e.aptc_amount, 0) <> 0 or coalesce(a.youngest >= 21, true))
        and e.premium_paid + coalesce(e.aptc_amount, 0) not between
        p.monthly_premium * case when a.age is null then r.lowest else y.factor end - 0.02
        and p.monthly_premium * case when a.age is null then r.highest else r.factor end
        -- Tobacco may be rated where it is lawful: from 21 on, and until 2019 from 18 on.
        * case when a.age < 21 and (a.age < 18 or e.start_date >= '2020-01-01') then 1 else 1.5 end
        + 0.02 as is_off_premium,
        e.csr_variant in ('04', '05', '06') and lower(p.metal_tier) <> 'silver'
        or e.csr_variant in ('02', '03') and lower(p.metal_tier) = 'catastrophic' as is_off_metal,
        e.aptc_amount > 0 and lower(p.metal_tier) = 'catastrophic' as is_off_credit,
        extract(year from e.end_date) <> extract(year from e.start_date) as is_past_year,
        -- Coverage may begin before the birth that is recorded, and does not end before it.
        coalesce(e.end_date < m.dob, false) as is_unborn
    from fact_enrollment as e
    inner join dim_plan as p on e.plan_sk = p.plan_sk
    left join dim_member as m on e.member_sk = m.member_sk
    cross join lateral (
        select
            -- A newborn's coverage may begin before the birth that is recorded.
            case
                when m.dob is not null
                    then greatest(
                        extract(year from age(e.start_date::timestamp, m.dob::timestamp)), 0
                    )::integer
            end as age,
            case
                when length(p.plan_id) >= 14 then substr(p.plan_id, 6, 2) else m.state
            end as state,
            -- Of whoever was erased the year of birth is left, and a year of age is open.
            m.member_id in (select member_token from access.erased) as is_erased
    ) as said
    cross join lateral (
        select
            said.age,
            greatest(said.age - said.is_erased::integer, 0) as youngest,
            case when said.state = any(%(own_curves)s::text[]) then said.state else '' end as curve
    ) as a
    left join factors as r
        on a.curve = r.state and coalesce(least(a.age, %(oldest)s::integer), 0) = r.age
    left join factors as y
        on a.curve = y.state and coalesce(least(a.youngest, %(oldest)s::integer), 0) = y.age
) as b
cross join lateral (
    values
    ('premium_as_rated', b.is_off_premium),
    ('reduction_fits_metal', b.is_off_metal),
    ('no_credit_on_catastrophic', b.is_off_credit),
    ('ends_in_plan_year', b.is_past_year),
    ('covered_after_birth', b.is_unborn)
) as v (rule, is_broken)
-- First of all rows that break any rule: to make several rows of each is what takes long.
where (b.is_off_premium or b.is_off_metal or b.is_off_credit or b.is_past_year or b.is_unborn)
    and v.is_broken;
