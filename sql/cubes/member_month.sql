-- member_month: who was covered by which plan in which month, and at what premium.
-- Grain: one row per member, month and plan with a day of coverage.
-- Units: days; shares of a month; US dollars, to the cent.
-- Assumptions:
--   * A day is covered by one span: of several that include it by the one that started last, of
--     these by that with the greatest enrollment_id. So a member has no more days than the month.
--   * Coverage without an end goes on to the end of its plan year, as fact_enrollment has it.
--     mart.as_of() says which months are over.
--   * member_months_day is the covered share of the month. member_months_any counts the member once
--     a month, at the plan with the most days; of several with as many at the one whose coverage
--     came first, then at the lesser plan_id. member_months_mid counts who is covered on the 15th.
--   * Premium and tax credit are those of the span of each day, by the share of days. The premium
--     is what the member pays and the tax credit together (26 CFR 1.36B-3).
--   * Member, plan and cost-sharing variant are those of the first day that the row covers; age is
--     in whole years on that day (45 CFR 147.102 rates by age). A member whose rows say that they
--     were gone by then is as the enrollment has it.
--   * Coverage continues where the next day is covered, by whichever plan: a renewal at New Year
--     neither ends nor begins anything. Coverage of nobody known is left out.

-- name: spans
-- Coverage of known members. One row per enrollment.
select
    m.member_id,
    e.enrollment_id,
    e.start_date,
    e.end_date + 1 as next_day,
    e.member_sk,
    e.plan_sk,
    e.csr_variant,
    coalesce(e.premium_paid, 0) as net_premium,
    coalesce(e.aptc_amount, 0) as tax_credit
from fact_enrollment as e
inner join dim_member as m on e.member_sk = m.member_sk
where e.member_sk > 0 and {of_members};

-- name: definition
-- The cube as a plain query. One row per member, month and plan.
with spans as materialized (
    select c.*
    from ({spans}) as c
),

days as (
    select
        member_id,
        start_date as from_day
    from spans
    union
    select
        member_id,
        next_day
    from spans
),

-- Between two of these days the same spans cover a member.
sections as (
    select
        member_id,
        from_day,
        lead(from_day) over (partition by member_id order by from_day) as next_day
    from days
),

owned as (
    select distinct on (d.member_id, d.from_day)
        d.member_id,
        d.from_day,
        d.next_day,
        s.member_sk,
        s.plan_sk,
        s.csr_variant,
        s.net_premium,
        s.tax_credit,
        count(*) over (partition by d.member_id, d.from_day) > 1 as is_overlapped
    from sections as d
    inner join spans as s
        on d.member_id = s.member_id and d.from_day >= s.start_date and d.next_day <= s.next_day
    order by d.member_id, d.from_day, s.start_date desc, s.enrollment_id desc
),

-- As few as there are, spelled once.
plans as materialized (
    select
        plan_sk,
        case when plan_sk > 0 then plan_id else '(unknown)' end as plan_id,
        coalesce(initcap(metal_tier), '(unknown)') as metal_tier
    from dim_plan
),

joined as (
    select
        o.*,
        p.plan_id,
        p.metal_tier,
        row_number() over history as place,
        lag(o.next_day) over history as last_next_day,
        lead(o.from_day) over history as later_day
    from owned as o
    inner join plans as p on o.plan_sk = p.plan_sk
    window history as (partition by o.member_id order by o.from_day)
),

breaks as materialized (
    select
        j.*,
        bounds.*,
        coalesce(j.last_next_day <> j.from_day, true) as begins,
        coalesce(j.later_day <> j.next_day, true) as ends,
        coalesce(j.last_next_day > bounds.first_month, false) as shares_first_month,
        coalesce(j.later_day < bounds.last_month + interval '1 month', false) as shares_last_month
    from joined as j
    cross join lateral (
        select
            date_trunc('month', j.from_day::timestamp) as first_month,
            date_trunc('month', j.next_day::timestamp - interval '1 day') as last_month
    ) as bounds
),

pieces as not materialized (
    select
        b.*,
        month.first_day as month,
        month.next_month - month.first_day as days_in_month,
        greatest(b.from_day, month.first_day) as first_day,
        least(b.next_day, month.next_month)
        - greatest(b.from_day, month.first_day) as covered_days,
        b.begins and b.from_day >= month.first_day as begins_now,
        b.ends and b.next_day <= month.next_month as ends_now,
        b.from_day < month.first_day
        or (b.from_day = month.first_day and not b.begins) as continues,
        b.from_day <= month.first_day + 14 and b.next_day > month.first_day + 14 as has_mid,
        (b.shares_first_month and b.from_day >= month.first_day)
        or (b.shares_last_month and b.next_day <= month.next_month) as is_shared
    from breaks as b
    cross join lateral (
        select
            -- Both go on together.
            generate_series(b.first_month, b.last_month, interval '1 month')::date as first_day,
            generate_series(
                b.first_month + interval '1 month', b.last_month + interval '1 month',
                interval '1 month'
            )::date as next_month
    ) as month
),

-- Few months have several sections of a member.
shared as (
    select
        member_id,
        month,
        plan_id,
        min(days_in_month) as days_in_month,
        sum(covered_days)::integer as covered_days,
        coalesce(sum(covered_days) filter (where is_overlapped), 0)::integer as overlapped_days,
        bool_or(has_mid) as has_mid,
        min(first_day) as first_day,
        (array_agg(member_sk order by first_day))[1] as member_sk,
        (array_agg(plan_sk order by first_day))[1] as plan_sk,
        (array_agg(metal_tier order by first_day))[1] as metal_tier,
        (array_agg(csr_variant order by first_day))[1] as csr_variant,
        round(sum(net_premium * covered_days) / min(days_in_month), 2) as net_premium_usd,
        round(sum(tax_credit * covered_days) / min(days_in_month), 2) as tax_credit_usd,
        count(*) filter (where begins_now)::integer as beginnings,
        count(*) filter (where ends_now)::integer as endings,
        bool_or(begins_now and place = 1) as is_new,
        bool_or(continues) as continues
    from pieces
    -- The first says which sections to cut up at all.
    where (shares_first_month or shares_last_month) and is_shared
    group by member_id, month, plan_id
),

ranked as (
    select
        *,
        row_number() over (
            partition by member_id, month order by covered_days desc, first_day, plan_id
        ) = 1 as is_any,
        count(*) over of_month as plans,
        bool_or(is_new) over of_month as is_new_member,
        bool_or(continues) over of_month as member_continues,
        sum(beginnings) over of_month as all_beginnings,
        sum(endings) over of_month as all_endings
    from shared
    window of_month as (partition by member_id, month)
),

months as (
    select
        member_id,
        month,
        plan_id,
        member_sk,
        plan_sk,
        metal_tier,
        csr_variant,
        days_in_month,
        first_day,
        covered_days,
        case when is_overlapped then covered_days else 0 end as overlapped_days,
        true as is_any,
        has_mid,
        -- Most months are whole ones, whose money need not be divided.
        case
            when covered_days = days_in_month then net_premium
            else round(net_premium * covered_days / days_in_month, 2)
        end as net_premium_usd,
        case
            when covered_days = days_in_month then tax_credit
            else round(tax_credit * covered_days / days_in_month, 2)
        end as tax_credit_usd,
        begins_now and place = 1 as is_new,
        continues,
        ends_now as is_last,
        1 as plans,
        begins_now and place = 1 as is_first_month,
        continues as is_at_start,
        begins_now::integer as beginnings,
        ends_now::integer as endings
    from pieces
    where not is_shared
    union all
    select
        member_id,
        month,
        plan_id,
        member_sk,
        plan_sk,
        metal_tier,
        csr_variant,
        days_in_month,
        first_day,
        covered_days,
        overlapped_days,
        is_any,
        has_mid,
        net_premium_usd,
        tax_credit_usd,
        is_new,
        continues,
        endings > 0,
        plans::integer,
        is_any and is_new_member,
        is_any and member_continues,
        case when is_any then all_beginnings else 0 end::integer,
        case when is_any then all_endings else 0 end::integer
    from ranked
)

select
    r.member_id,
    r.month,
    r.plan_id,
    m.member_sk,
    r.plan_sk,
    r.first_day as first_covered_date,
    coalesce(m.state, '(unknown)') as state,
    r.metal_tier,
    coalesce(r.csr_variant, '(none)') as csr_variant,
    extract(year from age(r.first_day, m.dob))::integer as rating_age,
    r.covered_days,
    r.days_in_month,
    r.overlapped_days,
    round(r.covered_days::numeric / r.days_in_month, 6) as member_months_day,
    r.is_any::integer as member_months_any,
    r.has_mid::integer as member_months_mid,
    (r.net_premium_usd + r.tax_credit_usd)::numeric(16, 2) as premium_usd,
    r.tax_credit_usd::numeric(16, 2) as tax_credit_usd,
    r.net_premium_usd::numeric(16, 2) as net_premium_usd,
    r.is_new,
    r.continues and extract(month from r.month) = 1 as is_renewed,
    r.is_last,
    r.plans,
    r.is_first_month,
    r.is_at_start,
    r.beginnings,
    r.endings
from months as r
left join dim_member as on_day
    on r.member_id = on_day.member_id
    and r.first_day >= on_day.validity_start_ts and r.first_day < on_day.validity_end_ts
inner join dim_member as m on m.member_sk = coalesce(on_day.member_sk, r.member_sk);

-- name: touched_members
-- Members whose coverage can have changed since a load, what is known of them, or a plan of theirs.
-- One row per member.
with changed as (
    select e.member_sk
    from fact_enrollment_past as e
    where e.known_to_load_id > %(since)s
    union
    select e.member_sk
    from fact_enrollment as e
    where e.load_id > %(since)s or e.plan_sk in (
        select p.plan_sk
        from dim_plan as p
        where p.load_id > %(since)s
        union
        select w.plan_sk
        from dim_plan_past as w
        where w.known_to_load_id > %(since)s
    )
)

select m.member_id
from changed as c
inner join dim_member as m on c.member_sk = m.member_sk
union
select m.member_id
from dim_member as m
where m.load_id > %(since)s
union
select w.member_id
from dim_member_past as w
where w.known_to_load_id > %(since)s;

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. Of a measure only what is so of this column: the
-- rest is declared in etl/warehouse/measures.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('member_id', 'member number', 'Identifier of the member.'),
    ('month', 'date of the person', 'First day of the month.'),
    ('plan_id', 'none', 'The plan; (unknown) where no enrollment names one.'),
    ('member_sk', 'surrogate key of the person', 'The member as on the first covered day.'),
    ('plan_sk', 'none', 'The plan as on the first covered day.'),
    ('first_covered_date', 'date of the person', 'First day in the month that the plan covers.'),
    ('state', 'none', 'State of the member on the first covered day, or (unknown).'),
    ('metal_tier', 'none', 'Metal tier of the plan, or (unknown).'),
    ('csr_variant', 'none', 'Cost-sharing reduction variant (45 CFR 156.420), or (none).'),
    ('rating_age', 'age', 'Age in years on the first covered day; empty without a birth date.'),
    ('covered_days', 'days between dates of the person', ''),
    ('days_in_month', 'none', ''),
    ('overlapped_days', 'none', ''),
    ('member_months_day', 'days between dates of the person', ''),
    ('member_months_any', 'none', ''),
    ('member_months_mid', 'none', ''),
    ('premium_usd', 'none', 'By the share of days of the month.'),
    ('tax_credit_usd', 'none', 'By the share of days of the month.'),
    ('net_premium_usd', 'none', 'By the share of days of the month.'),
    ('is_new', 'none', 'Whether the member is covered for the first time ever.'),
    ('is_renewed', 'none', 'Whether coverage continues from the year before.'),
    ('is_last', 'none', 'Whether coverage ends in the month, and does not continue the day after.'),
    ('plans', 'none', 'Of the member in the month.'),
    ('is_first_month', 'none', 'First month of the member ever, at the plan with most days.'),
    ('is_at_start', 'none', 'Member covered from the month before, at the plan with most days.'),
    ('beginnings', 'none', ''),
    ('endings', 'none', '')
) as c (column_name, identifier, description);
