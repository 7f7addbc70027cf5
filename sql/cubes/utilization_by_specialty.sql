-- utilization_by_specialty: claims and money by specialty, per 1,000 member-months.
-- Grain: one row per specialty and month of service with a claim of any state.
-- Units: counts of claims and members; amounts in US dollars, to the cent; rates per 1,000
-- member-months of all members of the month, whether or not they had a claim.
-- Assumptions:
--   * Claims, members and specialties: see claims_by_month; member-months: see
--     claims_by_plan_metal_month.

-- name: definition
-- The cube as a plain query. One row per specialty and month of service.
with coverage as (
    select
        month,
        sum(covered_days)
        / extract(day from month + interval '1 month' - interval '1 day') as member_months
    from claims_by_plan_metal_month
    where covered_days <> 0
    group by month
)

select
    c.category as specialty,
    c.month,
    c.claims,
    c.pending_claims,
    c.denied_claims,
    c.unknown_status_claims,
    c.members,
    c.pending_members,
    c.denied_members,
    c.unknown_status_members,
    c.paid_members,
    coalesce(round(v.member_months, 6), 0) as member_months,
    c.billed_usd,
    c.pending_billed_usd,
    c.unknown_status_billed_usd,
    c.allowed_usd,
    c.paid_usd,
    round(c.claims * 1000 / v.member_months, 2) as claims_per_1000,
    round(c.members * 1000 / v.member_months, 2) as members_per_1000,
    round(c.allowed_usd * 1000 / v.member_months, 2) as allowed_per_1000_usd,
    round(c.paid_usd * 1000 / v.member_months, 2) as paid_per_1000_usd
from claims_by_month as c
left join coverage as v on c.month = v.month
where c.breakdown = 'specialty';

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. Of a measure only what is so of this column: the
-- rest is declared in etl/warehouse/measures.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('specialty', 'none', 'Specialty of the provider on the day of service, or (unknown).'),
    ('month', 'none', 'First day of the month of service.'),
    ('claims', 'none', ''),
    ('pending_claims', 'none', ''),
    ('denied_claims', 'none', ''),
    ('unknown_status_claims', 'none', ''),
    ('members', 'none', 'With an adjudicated claim; unknown ones count as one.'),
    ('pending_members', 'none', ''),
    ('denied_members', 'none', ''),
    ('unknown_status_members', 'none', ''),
    ('paid_members', 'none', ''),
    ('member_months', 'none', 'Of all specialties together.'),
    ('billed_usd', 'none', ''),
    ('pending_billed_usd', 'none', ''),
    ('unknown_status_billed_usd', 'none', ''),
    ('allowed_usd', 'none', ''),
    ('paid_usd', 'none', ''),
    ('claims_per_1000', 'none', ''),
    ('members_per_1000', 'none', ''),
    ('allowed_per_1000_usd', 'none', ''),
    ('paid_per_1000_usd', 'none', '')
) as c (column_name, identifier, description);
