-- high_cost_member_tracking: members whose paid claims over twelve months reach $50,000.
-- Grain: one row a member (natural member_id) and month in which the twelve months that end
-- with it hold at least $50,000. A month without claims counts too; a member falls out when the
-- window no longer holds so much. The last month is the last with a claim of anyone.
-- Units: amounts in US dollars, to the cent. Bands are named by their lower bound, which is in.
-- Assumptions:
--   * What is paid: see claims_daily_member (claims that are pending, denied or of an unknown
--     status pay nothing).
--   * A month is the month of service, not of payment.
--   * first_month_over is the first month that a member ever reached $50,000, also where the
--     member fell out and came back.
--   * Claims that name no member are nobody's and have no row here.

-- name: bands
-- The bands of what twelve months cost, by their lower bound in US dollars, which is in.
-- One row a band.
select
    b.band,
    b.from_usd
from (
    values ('$50k+', 50000), ('$100k+', 100000), ('$250k+', 250000), ('$1M+', 1000000)
) as b (band, from_usd);

-- name: threshold
-- What twelve months have to reach for a row: the lowest band begins there. One row.
select min(b.from_usd)
from ({bands}) as b;

-- name: windows
-- The windows over the threshold, of what members were paid a month (monthly), up to the last month
-- (last_month). What enters the window in its month of service leaves it twelve months later.
-- One row a member and month.
with changes as (
    select
        member_id,
        moved.month,
        sum(moved.paid_usd) as paid_usd
    from monthly
    cross join lateral (
        values
        (monthly.month, monthly.paid_usd),
        ((monthly.month + interval '12 months')::date, -monthly.paid_usd)
    ) as moved (month, paid_usd)
    group by member_id, moved.month
),

-- Between two changes the window holds the same.
spells as (
    select
        member_id,
        month as from_month,
        lead(month) over history as to_month,
        sum(paid_usd) over history as paid_12_months_usd
    from changes
    window history as (partition by member_id order by month)
)

select
    s.member_id,
    m.month::date as month,
    s.paid_12_months_usd::numeric(16, 2) as paid_12_months_usd,
    reached.band,
    min(m.month::date) over (partition by s.member_id) as first_month_over
from spells as s
cross join last_month as l
cross join lateral (
    select b.band
    from ({bands}) as b
    where s.paid_12_months_usd >= b.from_usd
    order by b.from_usd desc
    limit 1
) as reached
cross join lateral generate_series(
    s.from_month::timestamp,
    least(s.to_month - interval '1 month', l.month::timestamp),
    interval '1 month'
) as m (month);

-- name: definition
-- The cube as a plain query. One row a member and month over the threshold.
with adjudicated as not materialized (
    select
        member_sk,
        date_key,
        paid_amount
    from fact_claim
    cross join lateral ({state}) as state
    where member_sk <> -1 and state.is_paid
),

-- No window can hold more than all that was ever paid: few members are left from here on.
candidates as (
    select m.member_id
    from (
        select
            member_sk,
            sum(paid_amount) as paid_usd
        from adjudicated
        where paid_amount > 0
        group by member_sk
    ) as version
    inner join dim_member as m on version.member_sk = m.member_sk
    group by m.member_id
    having sum(version.paid_usd) >= ({threshold})
),

monthly as (  -- noqa: ST03, the windows use it
    select
        m.member_id,
        d.month_start as month,
        sum(f.paid_amount) as paid_usd
    from candidates as c
    inner join dim_member as m on c.member_id = m.member_id
    inner join adjudicated as f on m.member_sk = f.member_sk
    inner join dim_date as d on f.date_key = d.date_key
    group by m.member_id, d.month_start
),

last_month as (  -- noqa: ST03, and this
    select d.month_start as month
    from dim_date as d
    where d.full_date = (select max(service_date) from fact_claim)
)

select w.*
from ({windows}) as w;

-- name: columns
-- What each column means, for the catalog. One row a column.
select
    c.column_name,
    c.description
from (
    values
    ('member_id', 'Identifier of the member.'),
    ('month', 'First day of the month that ends the window.'),
    ('paid_12_months_usd', 'Paid for services of this month and the eleven before, US dollars.'),
    ('band', '$50k+, $100k+, $250k+ or $1M+: the highest lower bound that paid reaches.'),
    ('first_month_over', 'First month in which the member ever reached $50,000.')
) as c (column_name, description);
