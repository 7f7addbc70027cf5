-- high_cost_year: members whose paid claims of a benefit year reach $100,000, and what the
-- high-cost risk pool pays of them.
-- Grain: one row per member (natural member_id) and benefit year with at least $100,000 paid.
-- Units: amounts in US dollars, to the cent. Bands are named by their lower bound, which is in.
-- Assumptions:
--   * What is allowed and paid: see claims_daily_member. A claim is of the year of its day of
--     service, also where a stay goes on into the next.
--   * The pool pays a share (coinsurance) of what is above a threshold, both of the benefit year
--     (aca_parameter.csv in etl/reference; 45 CFR 153.320 and the Payment Notices). At exactly the
--     threshold it pays nothing. Of a year that the table does not have, excess and payment are
--     empty, and the check high_cost_year.pool_parameters fails.
--   * The state is that of the member version in force on the last day of service of the year, as
--     the claims of that day have it.
--   * Claims that name no member are nobody's and have no row here.

-- name: bands
-- The bands of what a year costs, by their lower bound in US dollars, which is in. One row per
-- band.
select
    b.band,
    b.from_usd
from (
    values ('$100k+', 100000), ('$250k+', 250000), ('$500k+', 500000), ('$1M+', 1000000)
) as b (band, from_usd);

-- name: threshold
-- What a year has to reach for a row: the lowest band begins there. One row.
select min(b.from_usd)
from ({bands}) as b;

-- name: definition
-- The cube as a plain query. One row per member and benefit year.
with years as (
    select
        c.member_id,
        extract(year from c.service_date)::integer as benefit_year,
        sum(c.allowed_usd) as allowed_usd,
        sum(c.paid_usd) as paid_usd,
        max(c.service_date) as last_service_date
    from claims_daily_member as c
    where c.member_id <> '(unknown)' and {of_members}
    group by c.member_id, extract(year from c.service_date)
    having sum(c.paid_usd) >= ({threshold})
)

select
    y.member_id,
    y.benefit_year,
    y.allowed_usd::numeric(16, 2) as allowed_usd,
    y.paid_usd::numeric(16, 2) as paid_usd,
    reached.band,
    above.excess_usd::numeric(16, 2) as pool_excess_usd,
    round(above.excess_usd * pool.coinsurance, 2)::numeric(16, 2) as pool_payment_usd,
    y.last_service_date,
    coalesce(of_day.state, '(unknown)') as state
from years as y
-- As facts find it: where the member was gone by then, the last version before.
left join lateral (
    select m.state
    from dim_member as m
    where m.member_id = y.member_id and m.validity_start_ts <= y.last_service_date
    order by m.validity_start_ts desc
    limit 1
) as of_day on true
cross join lateral (
    select b.band
    from ({bands}) as b
    where y.paid_usd >= b.from_usd
    order by b.from_usd desc
    limit 1
) as reached
left join ({high_cost_pools}) as pool on y.benefit_year = pool.benefit_year
cross join lateral (
    -- Without a threshold, which greatest would pass over, there is no excess either.
    select case
        when pool.threshold_usd is not null then greatest(y.paid_usd - pool.threshold_usd, 0)
    end as excess_usd
) as above;

-- name: touched_members
-- Members whose years can have changed: those who are in the cube, and those of whom more was paid
-- in a year that reaches the lowest band now. One row per member.
select c.member_id
from claim_changes as c
where c.member_id in (select h.member_id from high_cost_year as h)
union
select k.member_id
from (
    select
        c.member_id,
        date_trunc('year', c.month::timestamp)::date as first_day
    from claim_changes as c
    where c.member_id <> ''
    group by c.member_id, date_trunc('year', c.month::timestamp)
    having sum(c.paid_usd) > 0
) as k
cross join lateral (
    select sum(d.paid_usd) as paid_usd
    from claims_daily_member as d
    where d.member_id = k.member_id
        and d.service_date >= k.first_day and d.service_date < k.first_day + interval '1 year'
) as of_year
where of_year.paid_usd >= ({threshold});

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
    ('benefit_year', 'none', 'Calendar year of the days of service.'),
    ('allowed_usd', 'none', 'Of the benefit year.'),
    ('paid_usd', 'none', 'Of the benefit year.'),
    ('band', 'none', '$100k+, $250k+, $500k+ or $1M+: the highest lower bound that paid reaches.'),
    ('pool_excess_usd', 'none', ''),
    ('pool_payment_usd', 'none', ''),
    ('last_service_date', 'date of the person', 'Last day of service of the year.'),
    ('state', 'none', 'State of the member on the last day of service of the year, or (unknown).')
) as c (column_name, identifier, description);
