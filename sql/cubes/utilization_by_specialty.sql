-- utilization_by_specialty: claims and money by specialty, per 1,000 member-months.
-- Grain: one row a specialty and month of service with a claim of any state.
-- Units: counts of claims and members; amounts in US dollars, to the cent; rates per 1,000
-- member-months of all members of the month, whether or not they had a claim.
-- Assumptions:
--   * Pending and denied claims, and those of an unknown status: see claims_daily_member;
--     member-months: see claims_by_plan_metal_month.
--   * The specialty is that of the provider version in force on the day of service, not the one
--     billed on the claim; '(unknown)' where the provider or its specialty is not known.
--   * A member counts once a specialty and month; claims that name no member count as one.

-- name: definition
-- The cube as a plain query. One row a specialty and month of service.
with provider_specialties as (
    select
        provider_sk,
        coalesce(specialty, '(unknown)') as specialty
    from dim_provider
),

claim_sums as (
    select
        p.specialty,
        d.month_start as month,
        f.status,
        count(*) as claims,
        sum(f.claim_amount) as billed_usd,
        sum(f.allowed_amount) as allowed_usd,
        sum(f.paid_amount) as paid_usd
    from fact_claim as f
    inner join dim_date as d on f.date_key = d.date_key
    inner join provider_specialties as p on f.provider_sk = p.provider_sk
    group by p.specialty, d.month_start, f.status
),

-- What a status says is asked of sums: claims are many, statuses are few.
claims as (
    select
        c.specialty,
        c.month,
        coalesce(sum(c.claims) filter (where state.is_adjudicated), 0) as claims,
        coalesce(sum(c.claims) filter (where state.is_pending), 0) as pending_claims,
        coalesce(sum(c.claims) filter (where state.is_denied), 0) as denied_claims,
        coalesce(sum(c.claims) filter (where state.is_unknown), 0) as unknown_status_claims,
        coalesce(sum(c.billed_usd) filter (where state.is_adjudicated), 0) as billed_usd,
        coalesce(sum(c.billed_usd) filter (where state.is_pending), 0) as pending_billed_usd,
        coalesce(sum(c.billed_usd) filter (where state.is_unknown), 0)
        as unknown_status_billed_usd,
        coalesce(sum(c.allowed_usd) filter (where state.is_adjudicated), 0) as allowed_usd,
        coalesce(sum(c.paid_usd) filter (where state.is_paid), 0) as paid_usd
    from claim_sums as c
    cross join lateral ({state}) as state
    group by c.specialty, c.month
),

-- Two versions of a member in one month are one member.
claimants as (
    select
        specialty,
        month,
        count(*) as members
    from (
        select distinct
            p.specialty,
            d.month_start as month,
            m.member_id
        from fact_claim as f
        inner join dim_date as d on f.date_key = d.date_key
        inner join provider_specialties as p on f.provider_sk = p.provider_sk
        inner join dim_member as m on f.member_sk = m.member_sk
        cross join lateral ({state}) as state
        where state.is_adjudicated
    ) as member
    group by specialty, month
),

-- Equal spans are counted before they are laid out over their months.
spans as (
    select
        start_date,
        end_date,
        count(*) as enrollments
    from fact_enrollment
    group by start_date, end_date
),

coverage as (
    select
        m.month::date as month,
        sum(
            s.enrollments * (
                least(s.end_date, (m.month + interval '1 month')::date - 1)
                - greatest(s.start_date, m.month::date) + 1
            )
        ) / extract(day from m.month + interval '1 month' - interval '1 day') as member_months
    from spans as s
    cross join lateral generate_series(
        date_trunc('month', s.start_date::timestamp), s.end_date::timestamp, interval '1 month'
    ) as m (month)
    group by m.month
)

select
    c.specialty,
    c.month,
    c.claims::bigint as claims,
    c.pending_claims::bigint as pending_claims,
    c.denied_claims::bigint as denied_claims,
    c.unknown_status_claims::bigint as unknown_status_claims,
    coalesce(n.members, 0) as members,
    coalesce(round(v.member_months, 6), 0) as member_months,
    c.billed_usd::numeric(16, 2) as billed_usd,
    c.pending_billed_usd::numeric(16, 2) as pending_billed_usd,
    c.unknown_status_billed_usd::numeric(16, 2) as unknown_status_billed_usd,
    c.allowed_usd::numeric(16, 2) as allowed_usd,
    c.paid_usd::numeric(16, 2) as paid_usd,
    round(c.claims * 1000 / v.member_months, 2) as claims_per_1000,
    round(coalesce(n.members, 0) * 1000 / v.member_months, 2) as members_per_1000,
    round(c.allowed_usd * 1000 / v.member_months, 2) as allowed_per_1000_usd,
    round(c.paid_usd * 1000 / v.member_months, 2) as paid_per_1000_usd
from claims as c
left join claimants as n on c.specialty = n.specialty and c.month = n.month
left join coverage as v on c.month = v.month;

-- name: columns
-- What each column means, for the catalog. One row a column.
select
    c.column_name,
    c.description
from (
    values
    ('specialty', 'Specialty of the provider on the day of service, or (unknown).'),
    ('month', 'First day of the month of service.'),
    ('claims', 'Adjudicated claims, denied ones included, pending ones not.'),
    ('pending_claims', 'Claims not adjudicated yet.'),
    ('denied_claims', 'Denied claims; they are part of claims.'),
    ('unknown_status_claims', 'Claims of a status that the contract does not know.'),
    ('members', 'Members with an adjudicated claim; unknown ones count as one.'),
    ('member_months', 'Member-months of all coverage in the month, of any specialty.'),
    ('billed_usd', 'Billed on adjudicated claims, US dollars.'),
    ('pending_billed_usd', 'Billed on pending claims, US dollars.'),
    ('unknown_status_billed_usd', 'Billed on claims of an unknown status, US dollars.'),
    ('allowed_usd', 'Allowed on adjudicated claims, US dollars.'),
    ('paid_usd', 'Paid on adjudicated claims; denied ones pay nothing. US dollars.'),
    ('claims_per_1000', 'Claims per 1,000 member-months; empty without member-months.'),
    ('members_per_1000', 'Members with a claim per 1,000 member-months.'),
    ('allowed_per_1000_usd', 'Allowed per 1,000 member-months, US dollars.'),
    ('paid_per_1000_usd', 'Paid per 1,000 member-months, US dollars.')
) as c (column_name, description);
