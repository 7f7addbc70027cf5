-- high_cost_member_tracking: members whose paid claims over twelve months reach $50,000.
-- Grain: one row per member (natural member_id) and month in which the twelve months that end
-- with it come to at least $50,000. A month without claims counts too; a member falls out when the
-- window no longer has so much. The last month is the last with a claim of anyone.
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
-- One row per band.
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
-- One row per member and month.
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

-- Between two changes the window contains the same.
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
-- The cube as a plain query. One row per member and month over the threshold.
-- No window can contain more than all that was ever paid: few members are left from here on.
with candidates as (
    select member_id
    from claims_daily_member
    where paid_usd > 0 and member_id <> '(unknown)'
    group by member_id
    having sum(paid_usd) >= ({threshold})
),

monthly as (  -- noqa: ST03, the windows use it
    select
        d.member_id,
        date_trunc('month', d.service_date::timestamp)::date as month,
        sum(d.paid_usd) as paid_usd
    from candidates as c
    inner join claims_daily_member as d on c.member_id = d.member_id
    group by d.member_id, date_trunc('month', d.service_date::timestamp)::date
),

last_month as (  -- noqa: ST03, and this
    select max(month) as month
    from claims_by_month
)

select w.*
from ({windows}) as w;

-- name: last_month
-- The last month with a claim of anyone. One row.
select max(month) from claims_by_month;

-- name: members_to_track
-- Members whose rolling twelve months can have changed: what they were paid in some month did, or
-- the last month moved on and they were over the threshold in the one before, or have a claim
-- below zero that leaves the window now. One row per member.
create temporary table members_to_track on commit drop as
select member_id
from claim_changes
where member_id <> ''
group by member_id, month
having sum(paid_usd) <> 0
union
select member_id
from high_cost_member_tracking
where month = %(month_before)s::date and %(month_before)s::date < %(month_now)s::date
union
select m.member_id
from fact_claim as f
inner join dim_member as m on f.member_sk = m.member_sk
where f.paid_amount < 0 and f.member_sk <> -1
    and %(month_before)s::date < %(month_now)s::date
    and f.service_date >= (%(month_before)s::date - interval '11 months')::date
    and f.service_date < (%(month_now)s::date - interval '11 months')::date;

-- name: tracked
-- Their rows, made of their days. One row per member and month over the threshold.
create temporary table tracked on commit drop as
with candidates as (
    select k.member_id
    from members_to_track as k
    cross join lateral (
        select sum(c.paid_usd) as paid_usd
        from claims_daily_member as c
        where c.member_id = k.member_id and c.paid_usd > 0
    ) as ever
    where ever.paid_usd >= ({threshold})
),

monthly as (  -- noqa: ST03, the windows use it
    select
        d.member_id,
        d.month,
        sum(d.paid_usd) as paid_usd
    from candidates as k
    cross join lateral (
        select
            c.member_id,
            date_trunc('month', c.service_date::timestamp)::date as month,
            c.paid_usd
        from claims_daily_member as c
        where c.member_id = k.member_id
        order by c.service_date
        -- Keeps the look-up a look-up.
        offset 0
    ) as d
    group by d.member_id, d.month
),

last_month as (  -- noqa: ST03, and this
    select %(month_now)s::date as month
)

select w.*
from ({windows}) as w;

-- name: delete_untracked
-- Rows of these members that are none any more, and rows of months after the last.
-- One row per member and month.
delete from high_cost_member_tracking as h
where h.month > %(month_now)s::date
    or (
        h.member_id in (select k.member_id from members_to_track as k)
        and not exists (
            select 1
            from tracked as t
            where t.member_id = h.member_id and t.month = h.month
        )
    );

-- name: follow
-- Put their rows in; those that are as they have to be are left alone.
-- One row per member and month written.
merge into high_cost_member_tracking as h
using tracked as t
    on h.member_id = t.member_id and h.month = t.month
when matched and row(h.paid_12_months_usd, h.band, h.first_month_over)
    <> row(t.paid_12_months_usd, t.band, t.first_month_over)
    then update set
        paid_12_months_usd = t.paid_12_months_usd,
        band = t.band,
        first_month_over = t.first_month_over
when not matched then insert (member_id, month, paid_12_months_usd, band, first_month_over)
    values (t.member_id, t.month, t.paid_12_months_usd, t.band, t.first_month_over);

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
    ('month', 'date of the person', 'First day of the month that ends the window.'),
    ('paid_12_months_usd', 'none', ''),
    ('band', 'none', '$50k+, $100k+, $250k+ or $1M+: the highest lower bound that paid reaches.'),
    ('first_month_over', 'date of the person', 'First month in which the member reached $50,000.')
) as c (column_name, identifier, description);
