-- Documented reports asked of the staging tables, as somebody would write them who has only those:
-- what a claim is now and who a member was on a day has to be worked out each time. Each bears the
-- name of the report in docs/analysts.md to which it gives the same answer. The first six are the
-- steps that they share. Columns that a file leaves out are not looked for elsewhere, nor are keys
-- that a snapshot lacks: of generated feeds the answers are the same without.

-- name: claims_now
-- The latest state of every claim, by the order of the batches. One row per claim.
select distinct on (s.claim_id)
    s.claim_id,
    s.member_id,
    s.provider_id,
    s.plan_id,
    s.service_date::date as service_date,
    state.is_adjudicated,
    state.is_denied,
    state.is_paid,
    s.paid_amount::numeric(14, 2) as paid_usd
from staging.claims_raw as s
inner join ledger.batch_order as o on s.load_id = o.load_id
cross join lateral ({state}) as state
order by s.claim_id, o.batch_rank desc, s.source_line desc;

-- name: members_in_time
-- Who a member was from when to when, by the days on which changes took effect; the first version
-- reaches back. One row per member and row of the feed.
select
    s.member_id,
    s.state,
    s.broker_name,
    case
        when row_number() over states > 1
            then coalesce(s.source_updated_at, l.as_of) at time zone 'UTC'
        else {beginning}
    end as valid_from,
    coalesce(
        lead(coalesce(s.source_updated_at, l.as_of)) over states at time zone 'UTC',
        {open_end}
    ) as valid_to
from staging.members_raw as s
inner join ledger.load as l on s.load_id = l.load_id
inner join ledger.batch_order as o on s.load_id = o.load_id
window states as (
    partition by s.member_id
    order by coalesce(s.source_updated_at, l.as_of), o.batch_rank, s.source_line
);

-- name: members_now
-- Who a member is now. One row per member.
select distinct on (s.member_id)
    s.member_id,
    s.broker_name
from staging.members_raw as s
inner join ledger.load as l on s.load_id = l.load_id
inner join ledger.batch_order as o on s.load_id = o.load_id
order by
    s.member_id, coalesce(s.source_updated_at, l.as_of) desc, o.batch_rank desc,
    s.source_line desc;

-- name: plans_in_time
-- What a plan was from when to when. One row per plan, plan year and row of the feed.
select
    s.plan_id,
    s.effective_year,
    initcap(s.metal_tier) as metal_tier,
    case
        when row_number() over states > 1 then l.as_of at time zone 'UTC'
        else {beginning}
    end as valid_from,
    coalesce(lead(l.as_of) over states at time zone 'UTC', {open_end}) as valid_to
from staging.plans_raw as s
inner join ledger.load as l on s.load_id = l.load_id
inner join ledger.batch_order as o on s.load_id = o.load_id
window states as (
    partition by s.plan_id, s.effective_year
    order by o.batch_rank, s.source_line
);

-- name: providers_in_time
-- What a provider was from when to when. One row per provider and row of the feed.
select
    s.provider_id,
    s.specialty,
    case
        when row_number() over states > 1 then l.as_of at time zone 'UTC'
        else {beginning}
    end as valid_from,
    coalesce(lead(l.as_of) over states at time zone 'UTC', {open_end}) as valid_to
from staging.providers_raw as s
inner join ledger.load as l on s.load_id = l.load_id
inner join ledger.batch_order as o on s.load_id = o.load_id
window states as (
    partition by s.provider_id
    order by o.batch_rank, s.source_line
);

-- name: enrollments_now
-- The valid enrollments: the latest of its identifier and of its member, plan and start.
-- One row per enrollment.
select distinct on (e.member_id, e.plan_id, e.start_date)
    e.member_id,
    e.plan_id,
    e.start_date,
    coalesce(e.end_date, make_date(extract(year from e.start_date)::integer, 12, 31)) as end_date
from (
    select distinct on (s.enrollment_id)
        s.member_id,
        s.plan_id,
        s.start_date::date as start_date,
        s.end_date::date as end_date,
        o.batch_rank,
        s.source_line
    from staging.enrollments_raw as s
    inner join ledger.batch_order as o on s.load_id = o.load_id
    order by s.enrollment_id, o.batch_rank desc, s.source_line desc
) as e
order by e.member_id, e.plan_id, e.start_date, e.batch_rank desc, e.source_line desc;

-- name: paid_pmpm_by_tier
-- Paid per member per month of a quarter. One row per metal tier.
with claims as ({claims_now}),

plans as ({plans_in_time}),

enrollments as ({enrollments_now}),

paid as (
    select
        coalesce(p.metal_tier, '(unknown)') as metal_tier,
        count(*) filter (where c.is_adjudicated) as claims,
        sum(c.paid_usd) filter (where c.is_paid) as paid_usd
    from claims as c
    left join plans as p
        on c.plan_id = p.plan_id and extract(year from c.service_date) = p.effective_year
        and c.service_date >= p.valid_from and c.service_date < p.valid_to
    where c.service_date >= date '2025-01-01' and c.service_date < date '2025-04-01'
    group by coalesce(p.metal_tier, '(unknown)')
),

covered as (
    select
        coalesce(p.metal_tier, '(unknown)') as metal_tier,
        m.month,
        round(
            sum(
                least(e.end_date, (m.month + interval '1 month')::date - 1)
                - greatest(e.start_date, m.month::date) + 1
            ) / extract(day from m.month + interval '1 month' - interval '1 day'), 6
        ) as member_months
    from enrollments as e
    left join plans as p
        on e.plan_id = p.plan_id and extract(year from e.start_date) = p.effective_year
        and e.start_date >= p.valid_from and e.start_date < p.valid_to
    inner join generate_series(
        timestamp '2025-01-01', timestamp '2025-03-01', interval '1 month'
    ) as m (month)
        on e.start_date < m.month + interval '1 month' and e.end_date >= m.month
    group by coalesce(p.metal_tier, '(unknown)'), m.month
),

months as (
    select
        metal_tier,
        sum(member_months) as member_months
    from covered
    group by metal_tier
)

select
    t.metal_tier,
    coalesce(c.claims, 0) as claims,
    round(coalesce(m.member_months, 0), 1) as member_months,
    coalesce(c.paid_usd, 0) as paid_usd,
    round(coalesce(c.paid_usd, 0) / nullif(m.member_months, 0), 2) as paid_pmpm_usd
from (
    select metal_tier from plans
    union
    select metal_tier from paid
    union
    select metal_tier from months
) as t
left join paid as c on t.metal_tier = c.metal_tier
left join months as m on t.metal_tier = m.metal_tier
order by t.metal_tier;

-- name: covered_on_a_day
-- Who was covered on a day, as they were that day. One row per state and metal level.
with members as ({members_in_time}),

plans as ({plans_in_time}),

enrollments as ({enrollments_now})

select
    m.state,
    p.metal_tier,
    count(distinct m.member_id) as members
from enrollments as e
inner join plans as p
    on e.plan_id = p.plan_id and extract(year from e.start_date) = p.effective_year
    and e.start_date >= p.valid_from and e.start_date < p.valid_to
inner join members as m
    on e.member_id = m.member_id
    and timestamp '2025-07-01' >= m.valid_from and timestamp '2025-07-01' < m.valid_to
where date '2025-07-01' between e.start_date and e.end_date
group by m.state, p.metal_tier
order by m.state, p.metal_tier;

-- name: denied_by_specialty
-- Share of claims denied. One row per specialty.
with claims as ({claims_now}),

providers as ({providers_in_time})

select
    coalesce(p.specialty, '(unknown)') as specialty,
    count(*) filter (where c.is_adjudicated) as claims,
    count(*) filter (where c.is_denied) as denied_claims,
    round(
        100.0 * count(*) filter (where c.is_denied)
        / nullif(count(*) filter (where c.is_adjudicated), 0), 1
    ) as denied_percent
from claims as c
left join providers as p
    on c.provider_id = p.provider_id
    and c.service_date >= p.valid_from and c.service_date < p.valid_to
where c.service_date >= date '2025-01-01'
group by coalesce(p.specialty, '(unknown)')
order by denied_percent desc nulls last;

-- name: paid_by_broker_as_was
-- Paid in a year, by the broker on the day of service. One row per broker.
with claims as ({claims_now}),

members as ({members_in_time})

select
    m.broker_name,
    sum(c.paid_usd) as paid_usd
from claims as c
left join members as m
    on c.member_id = m.member_id
    and c.service_date >= m.valid_from and c.service_date < m.valid_to
where c.service_date >= date '2025-01-01' and c.service_date < date '2026-01-01'
    and c.is_paid
group by m.broker_name
order by paid_usd desc nulls last;

-- name: paid_by_broker_as_is
-- Paid in a year, by the broker of now. One row per broker.
with claims as ({claims_now}),

members as ({members_now})

select
    m.broker_name,
    sum(c.paid_usd) as paid_usd
from claims as c
left join members as m on c.member_id = m.member_id
where c.service_date >= date '2025-01-01' and c.service_date < date '2026-01-01'
    and c.is_paid
group by m.broker_name
order by paid_usd desc nulls last;

-- name: days_to_first_payment
-- How long until a claim was paid first. One row per month of service.
with claims as ({claims_now}),

payments as (
    select
        claim_id,
        min(paid_date)::date as first_paid_date
    from staging.claims_raw
    where paid_date is not null
    group by claim_id
)

select
    date_trunc('month', c.service_date)::date as month_of_service,
    count(*) as claims_paid,
    percentile_disc(0.5) within group (
        order by p.first_paid_date - c.service_date
    ) as median_days,
    percentile_disc(0.9) within group (
        order by p.first_paid_date - c.service_date
    ) as days_for_90_percent
from claims as c
inner join payments as p on c.claim_id = p.claim_id
where c.service_date >= date '2025-01-01'
group by month_of_service
order by month_of_service;

-- name: paid_as_known_after_each_load
-- How each load changed what was paid. One row per load that brought a claim.
with staged as (
    select
        s.claim_id,
        s.load_id,
        o.batch_rank,
        case when state.is_paid then coalesce(s.paid_amount::numeric(14, 2), 0.00) else 0.00 end
        as paid_usd
    from staging.claims_raw as s
    inner join ledger.batch_order as o on s.load_id = o.load_id
    cross join lateral ({state}) as state
),

changes as (
    select
        load_id,
        paid_usd - lag(paid_usd, 1, 0.00) over (
            partition by claim_id
            order by batch_rank
        ) as change_usd
    from staged
),

by_load as (
    select
        load_id,
        sum(change_usd) filter (where change_usd > 0) as up_usd,
        sum(change_usd) filter (where change_usd < 0) as down_usd,
        sum(change_usd) as net_usd
    from changes
    group by load_id
)

select
    b.load_id,
    l.batch_id,
    b.up_usd,
    b.down_usd,
    b.net_usd,
    sum(b.net_usd) over (order by o.batch_rank) as paid_so_far_usd
from by_load as b
inner join ledger.load as l on b.load_id = l.load_id
inner join ledger.batch_order as o on b.load_id = o.load_id
order by o.batch_rank;
