-- Checks of what claims say, and what the other feeds say of them.
-- Each statement that declares rules returns the rows that break them, with the name of the rule.
-- One row per broken rule and row.
--: advice: Ask the sender; the rows are loaded as they came.

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

-- name: claims_held
-- The claims of named members as the fact has them. One row per claim.
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
-- Spans of coverage of named members. One row per enrollment.
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
--: by month: yes
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
-- The claims as the fact has them. One row per claim.
select *
from fact_claim;

-- name: claim_values
-- Claims whose own values contradict one another, or that bear a diagnosis that cannot exist.
-- What a value is compared with may be empty: a payment without an allowed amount is compared with
-- what was billed. Two values of which one is empty contradict nothing otherwise.
-- ICD-10-CM: a letter, a digit, a digit or letter, then up to four more; U only for U07 and U09.
-- D and E end with 89, T with 88. A category that is not among those listed may still exist.
--: table: fact_claim
--: key: claim_id
--: counted by: claims_judged
--: parts: claims = every_claim
--: by month: yes
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
with judged as (
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
),

-- First of all the few rows that may break any rule.
suspect as materialized (
    select j.*
    from judged as j
    where j.is_before_birth or j.is_ahead or j.is_negative
),

taken_back as materialized (
    select s.claim_id
    from suspect as b
    cross join lateral (
        select h.claim_id
        from fact_claim_state as h
        where b.is_negative and h.claim_id = b.claim_id and h.paid_amount >= -b.paid_amount
        -- Keeps the look-up a look-up.
        order by h.claim_id
    ) as s
    union
    select b.claim_id
    from suspect as b
    inner join dim_member as version on b.member_id = version.member_id
    cross join lateral (
        select paid.claim_id
        from fact_claim as paid
        where b.is_negative and paid.member_sk = version.member_sk
            and paid.service_date = b.service_date
            and (b.member_sk <> -1 or paid.provider_sk = b.provider_sk)
            and paid.paid_amount >= -b.paid_amount
        order by paid.claim_id
    ) as other
)

select
    v.rule,
    b.claim_id,
    b.load_id
from suspect as b
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
            from taken_back as t
            where t.claim_id = b.claim_id
        )
    )
) as v (rule, is_broken)
where v.is_broken;
