-- Checks of what the feeds say of one another, and of the rules of the business.
-- Each statement that declares rules, but for known_on_day, returns the rows that break them: one
-- row a row and rule, with the rule's name.
--: advice: Ask the sender; the rows are loaded as they came.

-- name: all_rows
-- How many rows a table has, of each of which the rules can say something. One row.
select
    count(*) as rows_checked,
    jsonb_build_object() as judged
from {table};

-- name: claims_judged
-- Of how many claims the rules on their own values can say something: those with the values that a
-- rule compares. One row.
select
    count(*) as rows_checked,
    jsonb_build_object(
        'amounts_in_order',
        count(*) filter (where num_nonnulls(claim_amount, allowed_amount, paid_amount) > 1),
        'denied_pays_nothing', count(*) filter (where num_nulls(status, paid_amount) = 0),
        'pending_pays_nothing', count(*) filter (where num_nulls(status, paid_amount) = 0),
        'diagnosis_possible', count(diagnosis_code),
        'diagnosis_listed', count(diagnosis_code),
        'discharged_after_admission', count(discharge_date),
        'paid_after_service', count(paid_date)
    ) as judged
from fact_claim;

-- name: claims_of_members_judged
-- How many claims name a member, and how many of them say what was paid. One row.
select
    count(*) as rows_checked,
    jsonb_build_object(
        'within_coverage', count(*) filter (where member_sk <> -1),
        'paid_within_coverage',
        count(*) filter (where member_sk <> -1 and paid_amount is not null)
    ) as judged
from fact_claim;

-- name: claims_against_others_judged
-- How many claims are of a member whose date of birth is known, and how many say what was paid.
-- One row.
select
    count(*) as rows_checked,
    jsonb_build_object(
        'service_after_birth', count(m.dob),
        'negative_takes_back', count(f.paid_amount)
    ) as judged
from fact_claim as f
inner join dim_member as m on f.member_sk = m.member_sk;

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

-- name: members_judged
-- Of how many versions of members the rules can say something: those with a date of birth, and for
-- the age band with a plan year and a band of numbers. One row.
select
    count(*) as rows_checked,
    jsonb_build_object(
        'age_in_band',
        count(*) filter (
            where d.dob is not null
            and d.year is not null
            and d.age_group ~ '^([0-9]{{1,3}})(?:-([0-9]{{1,3}})|\+)$'
        ),
        'born_by_batch', count(d.dob)
    ) as judged
from dim_member as d;

-- name: plans_judged
-- Of how many versions of plans both amounts are known. One row.
select
    count(*) as rows_checked,
    jsonb_build_object(
        'deductible_within_limit', count(*) filter (where num_nulls(deductible, oop_max) = 0)
    ) as judged
from dim_plan;

-- name: npis_judged
-- Of how many providers as they are now the NPI has ten digits. One row.
select
    count(*) as rows_checked,
    jsonb_build_object(
        'npi_check_digit', count(*) filter (where p.npi ~ '^[0-9]{{10}}$')
    ) as judged
from dim_provider as p;

-- name: shared_judged
-- How many versions have all of the values that no two may share. One row.
select
    count(*) as rows_checked,
    jsonb_build_object(
        {rule_name}, count(*) filter (where num_nulls({columns}) = 0)
    ) as judged
from {dim};

-- name: claims_held
-- The claims of named members as the fact holds them. One row a claim.
select
    f.claim_id,
    f.load_id,
    f.service_date,
    f.paid_amount,
    m.member_id,
    not m.is_inferred as is_known
from fact_claim as f
inner join dim_member as m on f.member_sk = m.member_sk
where f.member_sk <> -1;

-- name: covering
-- Spans of coverage of named members. One row an enrollment.
select
    m.member_id,
    e.start_date,
    e.end_date
from fact_enrollment as e
inner join dim_member as m on e.member_sk = m.member_sk
where e.member_sk <> -1 and e.start_date <= e.end_date;

-- name: outside_coverage
-- Claims whose day of service no enrollment of the member covers. Of a member whom no feed brought
-- and who has no enrollment nothing can be said; that the member is unknown is another rule's.
--: table: fact_claim
--: key: claim_id
--: counted by: claims_of_members_judged
--: parts: claims = claims_held
--: rule paid_within_coverage: major, consistency
--:   fails when: a claim was paid for a day on which no enrollment of the member runs
--:   note: Members whom no feed brought and who have no enrollment are not judged.
--:   advice: See whether the enrollment is missing or ended late; else the payment is to be
--:     recovered (45 CFR 156.270 for grace periods).
--: rule within_coverage: minor, consistency
--:   fails when: no enrollment of the member runs on the day of service, paid or not
--:   note: Claims for people whose coverage is over come in all the time, and are denied.
--:   may fail: 2 %
--:   advice: A few denied claims are usual. Many mean that enrollments are missing: Ask the sender;
--:     the rows are loaded as they came.
with uncovered as materialized (
    -- A join that runs in parallel and leaves few claims for what follows.
    select c.*
    from ({claims}) as c
    where not exists (
        select 1
        from ({covering}) as e
        where e.member_id = c.member_id and c.service_date between e.start_date and e.end_date
    )
)

select
    v.rule,
    c.claim_id,
    c.load_id,
    c.member_id
from uncovered as c
cross join lateral (
    values
    ('within_coverage', true),
    ('paid_within_coverage', c.paid_amount > 0)
) as v (rule, is_broken)
where v.is_broken
    and (
        c.is_known
        or exists (
            select 1
            from ({covering}) as e
            where e.member_id = c.member_id
        )
    );

-- name: every_claim
-- The claims as the fact has them. One row a claim.
select *
from fact_claim;

-- name: claim_values
-- Claims whose own values contradict one another, or that bear a diagnosis that cannot exist.
-- What a value is compared with may be empty: a payment without an allowed amount is held against
-- what was billed. Two values of which one is empty contradict nothing otherwise.
-- ICD-10-CM: a letter, a digit, a digit or letter, then up to four more; U only for U07 and U09.
-- D and E end with 89, T with 88. A category that is not among those listed may exist all the same.
--: table: fact_claim
--: key: claim_id
--: counted by: claims_judged
--: parts: claims = every_claim
--: rule amounts_in_order: major, validity
--:   fails when: paid is above allowed or, where that is empty, above billed, or allowed is above
--:     billed
--:   note: Reversals are not judged.
--: rule denied_pays_nothing: major, validity
--:   fails when: a denied claim has a paid amount
--:   advice: Ask the sender whether it was paid; no cube counts the amount meanwhile.
--: rule pending_pays_nothing: major, validity
--:   fails when: a pending claim has a paid amount
--:   advice: Ask the sender whether it was paid; no cube counts the amount meanwhile.
--: rule diagnosis_possible: minor, validity
--:   fails when: the diagnosis has not the form of an ICD-10-CM code
--:   source: 45 CFR 162.1002
--:   advice: Ask the sender: risk adjustment drops such a claim (45 CFR 153.610).
--: rule diagnosis_listed: minor, reasonableness
--:   fails when: the category of the diagnosis is none of those that surveyed people have or that
--:     risk adjustment knows
--:   note: The lists name half of the categories there are, and nearly all that are common.
--:   may fail: 5 %
--:   source: [reference tables](decisions/0014-volume-and-distribution.md)
--:   advice: Look whether the sender uses another code set, such as ICD-9-CM.
--: rule discharged_after_admission: major, consistency
--:   fails when: a stay ends before it begins, or before the day of service
--: rule paid_after_service: major, consistency
--:   fails when: a claim was paid before the service
select
    v.rule,
    b.claim_id,
    b.load_id
from (
    select
        c.claim_id,
        c.load_id,
        -- A reversal may bear amounts below zero, for which the order turns round.
        lower(coalesce(c.status, '')) <> 'reversed'
        and (
            c.allowed_amount > c.claim_amount
            or c.paid_amount > coalesce(c.allowed_amount, c.claim_amount)
        ) is true as is_unordered,
        coalesce(state.is_denied and c.paid_amount <> 0, false) as is_denied_paid,
        coalesce(state.is_pending and c.paid_amount <> 0, false) as is_pending_paid,
        c.diagnosis_code
        !~ '^([ABCF-SV-Z][0-9]|[DET][0-8]|U0)[0-9A-Z](\.?[0-9A-Z]{{1,4}})?$' as is_impossible,
        left(c.diagnosis_code, 3) <> all(%(categories)s::text[]) as is_unlisted,
        -- The later of the two that are there: GREATEST leaves an empty admission out.
        c.discharge_date < greatest(c.admit_date, c.service_date) as is_left_before,
        c.paid_date < c.service_date as is_paid_before
    from ({claims}) as c
    cross join lateral ({state}) as state
) as b
cross join lateral (
    values
    ('amounts_in_order', b.is_unordered),
    ('denied_pays_nothing', b.is_denied_paid),
    ('pending_pays_nothing', b.is_pending_paid),
    ('diagnosis_possible', b.is_impossible),
    ('diagnosis_listed', b.is_unlisted),
    ('discharged_after_admission', b.is_left_before),
    ('paid_after_service', b.is_paid_before)
) as v (rule, is_broken)
where (
    b.is_unordered
    or b.is_denied_paid
    or b.is_pending_paid
    or b.is_impossible
    or b.is_unlisted
    or b.is_left_before
    or b.is_paid_before
)
and v.is_broken;

-- name: claims_against_others
-- Claims that contradict what else is known: service before the patient's birth, a day long
-- after the batch that brought it, a payment below zero that takes back nothing. A birth date that
-- was corrected since counts as corrected. What a payment takes back is an earlier state of the
-- same claim, or another claim of the same member (of nobody: of the same provider) and day, that
-- paid at least as much. Without a date of birth, and without a payment, there is nothing to say.
--: table: fact_claim
--: key: claim_id
--: counted by: claims_against_others_judged
--: value: days_ahead = 31
--: rule service_after_birth: major, consistency
--:   fails when: the day of service is before the patient's birth
--:   note: By any date of birth that was sent.
--:   advice: Ask the sender which of member, date of birth and day of service is wrong.
--: rule known_by_batch: major, consistency
--:   fails when: a day of the claim is more than {days_ahead} days after the batch that brought it
--:   advice: Ask the sender for the day, or see whether the batch has the right date.
--: rule negative_takes_back: major, consistency
--:   fails when: a payment below zero takes back nothing that was paid: no earlier state of the
--:     claim and no other claim of the member and day paid as much
--:   note: Of nobody's claims, another one of the provider and day.
--:   advice: Ask the sender what it reverses; sums of what was paid are too low by it meanwhile.
select
    v.rule,
    b.claim_id,
    b.load_id
from (
    select
        f.claim_id,
        f.load_id,
        f.service_date,
        f.paid_amount,
        f.member_sk,
        f.provider_sk,
        m.member_id,
        coalesce(f.service_date < m.dob, false) as is_before_birth,
        -- GREATEST leaves out days that are not known.
        greatest(f.service_date, f.admit_date, f.discharge_date, f.paid_date)
        > (l.as_of at time zone 'UTC')::date + %(days_ahead)s::integer as is_ahead,
        coalesce(f.paid_amount < 0, false) as is_negative
    from fact_claim as f
    inner join dim_member as m on f.member_sk = m.member_sk
    inner join load as l on f.load_id = l.load_id
) as b
cross join lateral (
    values
    (
        'service_after_birth',
        b.is_before_birth
        and not exists (
            select 1
            from dim_member as version
            where version.member_id = b.member_id and version.dob <= b.service_date
        )
    ),
    ('known_by_batch', b.is_ahead),
    (
        'negative_takes_back',
        b.is_negative
        and not exists (
            select 1
            from fact_claim_state as s
            where s.claim_id = b.claim_id and s.paid_amount >= -b.paid_amount
        )
        and not exists (
            select 1
            from dim_member as version
            inner join fact_claim as paid on version.member_sk = paid.member_sk
            where version.member_id = b.member_id
                and paid.service_date = b.service_date
                and (b.member_sk <> -1 or paid.provider_sk = b.provider_sk)
                and paid.paid_amount >= -b.paid_amount
        )
    )
) as v (rule, is_broken)
-- First of all the few rows that may break any rule.
where (b.is_before_birth or b.is_ahead or b.is_negative)
    and v.is_broken;

-- name: known_on_day
-- Facts that join a first version of a key on a day before its values are known: since a first
-- version reaches back to 1900, they describe what was true later. An inferred version says
-- nothing and is not judged. One row; a row checked is a fact.
--: for each: fact
--: key: {row_key}
--: rule values_known_on_day: minor, timeliness
--:   fails when: the version of {changing} that the fact joins describes what was true later: its
--:     values are known only from a day after the fact's on
--:   note: A few facts come before the feed that describes their member, in every month.
--:   may fail: 5 %
--:   source: [for analysts](analysts.md#be-careful)
--:   advice: Reports as was show later values there: known_from_ts of the version says since when.
--:     For history of before the first batch, load older files or raise the threshold.
select
    'values_known_on_day' as rule,
    count(*) as rows_checked,
    count(v.known_from) as rows_judged,
    count(*) filter (where v.known_from > f.{date}) as rows_failed,
    some_keys({key_of_row}) filter (where v.known_from > f.{date}) as failing_keys
from {fact} as f
{joins_of_changing}
cross join lateral (select greatest({known_from})::date as known_from) as v;

-- name: enrollments_held
-- The enrollments of named members as the fact holds them. One row an enrollment.
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
--:   advice: Ask the sender for a row a plan year: the next year's plan is another one (45 CFR
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
        (e.premium_paid + coalesce(e.aptc_amount, 0) <> 0 or coalesce(a.age >= 21, true))
        and e.premium_paid + coalesce(e.aptc_amount, 0) not between
        p.monthly_premium * case when a.age is null then r.lowest else r.factor end - 0.02
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
            end as state
    ) as a
    left join factors as r
        on r.state = case when a.state = any(%(own_curves)s::text[]) then a.state else '' end
        and r.age = coalesce(least(a.age, %(oldest)s::integer), 0)
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

-- name: member_ages
-- Versions of members whose age band holds no age that they had in the version's plan year.
-- A band is 26-34 or 65+; of other words nothing can be said.
--: table: dim_member
--: key: member_sk
--: counted by: members_judged
--: rule age_in_band: minor, consistency
--:   fails when: the age band has no age that the member had in the plan year
--:   advice: Ask the sender which of date of birth, band and year is wrong.
select
    'age_in_band' as rule,
    d.member_sk,
    d.load_id
from dim_member as d
cross join lateral (
    select
        d.year - extract(year from d.dob) - 1 as youngest,
        -- Who is born within the year may be listed before; without a birth date there is no age.
        case when d.dob is not null then greatest(d.year - extract(year from d.dob), 0) end
            as oldest,
        regexp_match(d.age_group, '^([0-9]{{1,3}})(?:-([0-9]{{1,3}})|\+)$') as band
) as a
where a.oldest < a.band[1]::integer or a.youngest > coalesce(a.band[2]::integer, 999);

-- name: birth_dates
-- Versions of members who, by their date of birth, are born after the batch that brought it, or are
-- older than anybody became. Without a date of birth there is nothing to say.
--: table: dim_member
--: key: member_sk
--: counted by: members_judged
--: value: days_ahead = 31
--: rule born_by_batch: major, consistency
--:   fails when: the date of birth is more than {days_ahead} days after the batch that brought it,
--:     or more than 125 years before
--:   advice: Ask the sender for the date of birth: premium and age band follow from it.
select
    'born_by_batch' as rule,
    d.member_sk,
    d.load_id
from dim_member as d
inner join load as l on d.load_id = l.load_id
cross join lateral (select (l.as_of at time zone 'UTC')::date as batch_day) as t
where d.dob > t.batch_day + %(days_ahead)s::integer
    or d.dob < (t.batch_day - interval '125 years')::date;

-- name: providers_held
-- The providers as they are now, those that no feed brought apart. One row a provider.
select
    d.provider_id,
    d.load_id,
    d.npi
from dim_provider as d
where d.current_flag and not d.is_inferred;

-- name: bad_npis
-- Providers whose NPI fails its check digit: Luhn's over the ten digits after the prefix 80840,
-- which counts 24. Every second digit from the first on counts double, its two digits summed.
--: table: dim_provider
--: key: provider_id
--: counted by: npis_judged
--: parts: providers = providers_held
--: rule npi_check_digit: minor, validity
--:   fails when: the NPI's check digit is wrong
--:   note: Luhn's over 80840 and the other digits; the NPI may be empty.
--:   source: 45 CFR 162.406
--:   advice: Look the provider up in the national registry (45 CFR 162.406) and inform the sender.
select
    'npi_check_digit' as rule,
    p.provider_id,
    p.load_id
from ({providers}) as p
where p.npi ~ '^[0-9]{{10}}$'
    and (
        select
            sum(
                case
                    when mod(n.place, 2) = 0 then d.digit
                    when d.digit < 5 then 2 * d.digit
                    else 2 * d.digit - 9
                end
            )
        from generate_series(1, 10) as n (place)
        cross join lateral (select substr(p.npi, n.place, 1)::integer) as d (digit)
    ) + 24 not in (30, 40, 50, 60, 70, 80, 90, 100, 110);

-- name: plan_values
-- Versions of plans of which the deductible is above the limit on what a member pays.
--: table: dim_plan
--: key: plan_sk
--: counted by: plans_judged
--: rule deductible_within_limit: major, consistency
--:   fails when: the deductible is above the out-of-pocket maximum
--:   source: 45 CFR 156.130
--:   advice: Ask the sender; the deductible counts towards the maximum (45 CFR 156.130).
select
    'deductible_within_limit' as rule,
    d.plan_sk,
    d.load_id
from dim_plan as d
where d.deductible > d.oop_max;

-- name: shared_values
-- Current versions that share with another one values which no two may share. Versions that lack
-- one of the values share none.
--: for each: dimension and its unique columns
--: key: {row_key}
--: counted by: shared_judged
--: rule {columns}_unique: minor, uniqueness
--:   fails when: two current keys share their {columns_and}
--:   advice: Ask the sender whether the two are one, or which of them has it wrongly.
select
    {rule_name} as rule,
    {sk}
from (
    select
        {sk},
        num_nulls({columns}) as lacking,
        count(*) over (partition by {columns}) as sharing
    from {dim}
    where current_flag
) as held
where lacking = 0 and sharing > 1;

-- name: still_unknown
-- Keys that facts named and that their own feed has not brought in a month of batches since.
--: for each: dimension
--: key: {row_key}
--: counted by: all_rows
--: rule known_in_time: minor, timeliness
--:   fails when: facts named the key more than 31 days ago and its own feed has not brought it
--:   advice: Ask the sender of {feed} for it, or correct the fact's key.
select
    'known_in_time' as rule,
    d.{sk},
    d.load_id
from {dim} as d
inner join load as l on d.load_id = l.load_id
where d.is_inferred
    and d.{sk} <> -1
    and l.as_of < (
        select max(newest.as_of) - interval '31 days'
        from load as newest
        inner join load_file as f on newest.load_id = f.load_id
        where newest.load_id = any(%(loads)s) and f.feed = %(feed)s and f.status = 'loaded'
    );

-- name: line_breaks
-- Rows of a feed with a line break in a text.
--: for each: feed
--: key: load_id, source_line
--: counted by: all_rows
--: rule no_line_break: minor, validity
--:   fails when: a text has a line break
--:   advice: Ask the sender whether it belongs there; exports to other systems stumble over it.
select
    'no_line_break' as rule,
    s.load_id,
    s.source_line
from {staging} as s
where s.load_id = any(%(loads)s)
    and strpos(concat({texts}), chr(10)) > 0;
