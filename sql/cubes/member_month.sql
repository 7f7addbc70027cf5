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

-- name: versions
-- Versions of members with what the cube says of them. One row per version.
select
    member_id,
    member_sk,
    validity_start_ts,
    validity_end_ts,
    coalesce(state, '(unknown)') as state,
    -- As yyyymmdd: from one such day to another it is their difference by 10,000 in whole years.
    (
        10000 * date_part('year', dob) + 100 * date_part('month', dob) + date_part('day', dob)
    )::integer as born
from dim_member
where {of_members};

-- name: spans
-- Coverage of known members, with their version in force on its first day, or the last before that.
-- One row per enrollment.
select
    m.*,
    e.enrollment_id,
    e.start_date,
    e.end_date + 1 as next_day,
    e.plan_sk,
    coalesce(e.csr_variant, '(none)') as csr_variant,
    coalesce(e.premium_paid, 0)::numeric(16, 2) as net_premium,
    coalesce(e.aptc_amount, 0)::numeric(16, 2) as tax_credit
from fact_enrollment as e
inner join ({versions}) as m on e.member_sk = m.member_sk
where e.member_sk > 0;

-- name: definition
-- The cube as a plain query. One row per member, month and plan.
with spans as materialized (
    select
        c.*,
        coalesce(max(c.next_day) over before > c.start_date, false)
        or coalesce(lead(c.start_date) over history < c.next_day, false) as is_overlapped
    from ({spans}) as c
    window
        history as (partition by c.member_id order by c.start_date, c.enrollment_id),
        before as (history rows between unbounded preceding and 1 preceding)
),

-- Few spans overlap others.
days as (
    select
        member_id,
        start_date as from_day
    from spans
    where is_overlapped
    union
    select
        member_id,
        next_day
    from spans
    where is_overlapped
),

-- Between two of these days the same spans cover a member.
cuts as (
    select
        member_id,
        from_day,
        lead(from_day) over (partition by member_id order by from_day) as next_day
    from days
),

owned as (
    select distinct on (d.member_id, d.from_day)
        s.*,
        d.from_day,
        d.next_day as cut_day,
        count(*) over (partition by d.member_id, d.from_day) > 1 as is_of_several
    from cuts as d
    inner join spans as s
        on d.member_id = s.member_id and d.from_day >= s.start_date and d.next_day <= s.next_day
    where s.is_overlapped
    order by d.member_id, d.from_day, s.start_date desc, s.enrollment_id desc
),

sections as (
    select
        *,
        start_date as from_day,
        next_day as cut_day,
        false as is_of_several
    from spans
    where not is_overlapped
    union all
    select *
    from owned
),

-- Months are numbered on from the year 0, so that they can be counted.
numbered as (
    select
        *,
        (12 * date_part('year', from_day) + date_part('month', from_day))::integer as first_number,
        (
            12 * date_part('year', cut_day - 1) + date_part('month', cut_day - 1)
        )::integer as last_number
    from sections
),

-- As few as there are, spelled once.
plans as materialized (
    select
        plan_sk,
        case when plan_sk > 0 then plan_id else '(unknown)' end as plan_id,
        coalesce(initcap(metal_tier), '(unknown)') as metal_tier
    from dim_plan
),

breaks as materialized (
    select
        n.*,
        p.plan_id,
        p.metal_tier,
        row_number() over history = 1 as is_first,
        coalesce(lag(n.cut_day) over history <> n.from_day, true) as begins,
        coalesce(lead(n.from_day) over history <> n.cut_day, true) as ends,
        coalesce(lag(n.last_number) over history = n.first_number, false) as shares_first_month,
        coalesce(lead(n.first_number) over history = n.last_number, false) as shares_last_month,
        n.validity_start_ts <= n.from_day and n.validity_end_ts >= n.cut_day as has_version
    from numbered as n
    inner join plans as p on n.plan_sk = p.plan_sk
    window history as (partition by n.member_id order by n.from_day)
),

calendar as materialized (
    select
        n.number,
        10000 * ((n.number - 1) / 12) + 100 * ((n.number - 1) % 12 + 1) as day_before,
        make_date((n.number - 1) / 12, (n.number - 1) % 12 + 1, 1) as month,
        make_date(n.number / 12, n.number % 12 + 1, 1) as next_month
    from (
        select generate_series(min(first_number), max(last_number)) as number
        from breaks
    ) as n
),

cut_up as (
    select
        *,
        false as is_shared,
        generate_series(
            first_number + shares_first_month::integer, last_number - shares_last_month::integer
        ) as number
    from breaks
    union all
    select
        b.*,
        true,
        shared.number
    from breaks as b
    cross join lateral (
        select b.first_number
        where b.shares_first_month
        union
        select b.last_number
        where b.shares_last_month
    ) as shared (number)
    -- Few months have several sections of a member.
    where b.shares_first_month or b.shares_last_month
),

pieces as not materialized (
    select
        c.*,
        m.month,
        m.next_month - m.month as days_in_month,
        greatest(c.from_day, m.month) as first_day,
        least(c.cut_day, m.next_month) - greatest(c.from_day, m.month) as covered_days,
        -- As yyyymmdd.
        m.day_before + 1 + greatest(c.from_day - m.month, 0) as first_day_number,
        c.begins and c.number = c.first_number as begins_now,
        c.ends and c.number = c.last_number as ends_now,
        c.number > c.first_number or (c.from_day = m.month and not c.begins) as continues,
        c.from_day <= m.month + 14 and c.cut_day > m.month + 14 as has_mid
    from cut_up as c
    inner join calendar as m on c.number = m.number
),

shared as (
    select
        member_id,
        month,
        plan_id,
        min(days_in_month) as days_in_month,
        sum(covered_days)::integer as covered_days,
        coalesce(sum(covered_days) filter (where is_of_several), 0)::integer as overlapped_days,
        bool_or(has_mid) as has_mid,
        min(first_day) as first_day,
        min(first_day_number) as first_day_number,
        (array_agg(has_version order by first_day))[1] as has_version,
        (array_agg(member_sk order by first_day))[1] as member_sk,
        (array_agg(state order by first_day))[1] as state,
        (array_agg(born order by first_day))[1] as born,
        (array_agg(plan_sk order by first_day))[1] as plan_sk,
        (array_agg(metal_tier order by first_day))[1] as metal_tier,
        (array_agg(csr_variant order by first_day))[1] as csr_variant,
        round(
            sum(net_premium * covered_days) / min(days_in_month), 2
        )::numeric(16, 2) as net_premium,
        round(
            sum(tax_credit * covered_days) / min(days_in_month), 2
        )::numeric(16, 2) as tax_credit,
        count(*) filter (where begins_now)::integer as beginnings,
        count(*) filter (where ends_now)::integer as endings,
        bool_or(begins_now and is_first) as is_new,
        bool_or(continues) as continues
    from pieces
    where is_shared
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
        has_version,
        member_sk,
        state,
        born,
        plan_sk,
        metal_tier,
        csr_variant,
        days_in_month,
        first_day,
        first_day_number,
        covered_days,
        case when is_of_several then covered_days else 0 end as overlapped_days,
        true as is_any,
        has_mid,
        -- Most months are whole ones, whose money need not be divided.
        case
            when covered_days = days_in_month then net_premium
            else round(net_premium * covered_days / days_in_month, 2)::numeric(16, 2)
        end as net_premium,
        case
            when covered_days = days_in_month then tax_credit
            else round(tax_credit * covered_days / days_in_month, 2)::numeric(16, 2)
        end as tax_credit,
        begins_now and is_first as is_new,
        continues,
        ends_now as is_last,
        1 as plans,
        begins_now and is_first as is_first_month,
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
        has_version,
        member_sk,
        state,
        born,
        plan_sk,
        metal_tier,
        csr_variant,
        days_in_month,
        first_day,
        first_day_number,
        covered_days,
        overlapped_days,
        is_any,
        has_mid,
        net_premium,
        tax_credit,
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
    coalesce(on_day.member_sk, r.member_sk) as member_sk,
    r.plan_sk,
    r.first_day as first_covered_date,
    coalesce(on_day.state, r.state) as state,
    r.metal_tier,
    r.csr_variant,
    (
        r.first_day_number - case when on_day.member_sk is null then r.born else on_day.born end
    ) / 10000 as rating_age,
    r.covered_days,
    r.days_in_month,
    r.overlapped_days,
    case
        when r.covered_days = r.days_in_month then 1.000000
        else round(r.covered_days::numeric / r.days_in_month, 6)
    end as member_months_day,
    r.is_any::integer as member_months_any,
    r.has_mid::integer as member_months_mid,
    (r.net_premium + r.tax_credit)::numeric(16, 2) as premium_usd,
    r.tax_credit as tax_credit_usd,
    r.net_premium as net_premium_usd,
    r.is_new,
    r.continues and r.first_day_number / 100 % 100 = 1 as is_renewed,
    r.is_last,
    r.plans,
    r.is_first_month,
    r.is_at_start,
    r.beginnings,
    r.endings
from months as r
-- Most rows are of a section throughout which the version of its first day is in force.
left join ({versions}) as on_day
    on case when not r.has_version then r.member_id end = on_day.member_id
    and r.first_day >= on_day.validity_start_ts and r.first_day < on_day.validity_end_ts;

-- name: touched_members
-- Members whose coverage can have changed since a load, what is known of them, or a plan of theirs.
-- One row per member.
with plans_changed as (
    select p.plan_sk
    from dim_plan as p
    where p.load_id > %(since)s
    union
    select w.plan_sk
    from dim_plan_past as w
    where w.known_to_load_id > %(since)s
),

changed as (
    select e.member_sk
    from fact_enrollment_past as e
    where e.known_to_load_id > %(since)s
    union
    select e.member_sk
    from fact_enrollment as e
    where e.load_id > %(since)s
    union
    select e.member_sk
    from plans_changed as p
    inner join fact_enrollment as e on p.plan_sk = e.plan_sk
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
where w.known_to_load_id > %(since)s
    -- What else is corrected in place, such as counters, changes no month.
    and not exists (
        select 1
        from dim_member as m
        where m.member_sk = w.member_sk
            and row(m.member_id, m.validity_start_ts, m.validity_end_ts, m.state, m.dob)
            is not distinct from
            row(w.member_id, w.validity_start_ts, w.validity_end_ts, w.state, w.dob)
    );

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
    ('days_in_month', 'when within a year', ''),
    ('overlapped_days', 'none', ''),
    ('member_months_day', 'days between dates of the person', ''),
    ('member_months_any', 'none', ''),
    ('member_months_mid', 'none', ''),
    ('premium_usd', 'none', 'By the share of days of the month.'),
    ('tax_credit_usd', 'none', 'By the share of days of the month.'),
    ('net_premium_usd', 'none', 'By the share of days of the month.'),
    ('is_new', 'none', 'Whether the member is covered for the first time ever.'),
    ('is_renewed', 'when within a year', 'Whether coverage continues from the year before.'),
    ('is_last', 'none', 'Whether coverage ends in the month, and does not continue the day after.'),
    ('plans', 'none', 'Of the member in the month.'),
    ('is_first_month', 'none', 'First month of the member ever, at the plan with most days.'),
    ('is_at_start', 'none', 'Member covered from the month before, at the plan with most days.'),
    ('beginnings', 'none', ''),
    ('endings', 'none', '')
) as c (column_name, identifier, description);
