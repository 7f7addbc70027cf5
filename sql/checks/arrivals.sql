-- Checks of what came: how much, how it is distributed, and when.

-- name: unprofiled
-- Loads of a build that brought a feed and have no profile yet. One row per load.
select f.load_id
from load_file as f
where f.load_id = any(%(loads)s)
    and f.feed = %(feed)s
    and f.status = 'loaded'
    and not exists (
        select 1
        from feed_profile as p
        where p.load_id = f.load_id and p.feed = f.feed
    );

-- name: look
-- What the rows of these loads come to, column by column, in one scan of them; on all cores, which
-- a statement that inserts cannot use. One row per load.
create temporary table looked_at on commit drop as
select
    {aggregates},
    load_id
from {staging}
where load_id = any(%(loads)s)
group by load_id;

-- name: profile
-- Write down what the rows of these loads look like. Of a column that the file does not have
-- nothing is said. One row per load and figure.
insert into feed_profile (load_id, feed, metric, column_name, member, measured)
select
    f.load_id,
    f.feed,
    v.metric,
    v.column_name,
    v.member,
    v.measured
from load_file as f
left join looked_at as m on f.load_id = m.load_id
cross join lateral (
    values
    {figures}
) as v (metric, column_name, member, measured)
where f.load_id = any(%(loads)s)
    and f.feed = %(feed)s
    and v.measured is not null
    and (v.column_name = '' or v.column_name = any(f.columns));

-- name: unusual
-- The figures of a feed's latest load against those of the loads before it that are of its kind and
-- its place in the calendar: the first of a year, of a month, or another day; and of the same month
-- and weekday, else the same weekday, else of weekends or workdays, the narrowest of which there
-- are enough. How far a figure is from the median is measured in the usual distance from it, on a
-- logarithmic scale for rows and means: 1.4826 times the median distance, which of normal figures
-- is the standard deviation. Where weekdays are mixed, one of the five may be another every week:
-- there it is the distance that nine in ten keep, over that of normal figures (1.6449). It is at
-- least what chance does to so many rows. One row per rule; a row checked is a figure.
--: for each: feed
--: gate: arrivals
--: value: least_loads = 8, most_loads = 60
--: rule usual_volume: minor, volume
--:   fails when: the latest load brought far more or fewer rows than loads like it
--:   threshold: 8 robust z
--:   source: [decision 14](decisions/0014-volume-and-distribution.md)
--:   advice: See quality.feed_arrival; ask the sender whether the file is whole, and not twice.
--: rule usual_values: minor, reasonableness
--:   fails when: in the latest load a column is emptier or its values are other than in loads like
--:     it
--:   note: A load has many such figures, of which one is far out by chance more often.
--:   threshold: 12 robust z
--:   source: [decision 14](decisions/0014-volume-and-distribution.md)
--:   advice: See quality.feed_profile for the columns; ask the sender what changed.
with came as materialized (
    select
        l.load_id,
        f.kind,
        row_number() over (order by o.batch_rank desc) as place,
        case
            when extract(doy from d.day) = 1 then 'year'
            when extract(day from d.day) = 1 then 'month'
            else 'other'
        end as day_kind,
        extract(month from d.day) as month,
        extract(isodow from d.day) as weekday,
        extract(isodow from d.day) > 5 as is_weekend
    from load as l
    inner join batch_order as o on l.load_id = o.load_id
    inner join load_file as f on l.load_id = f.load_id
    cross join lateral (select l.as_of at time zone 'UTC') as d (day)
    where l.load_id = any(%(loads)s) and f.feed = %(feed)s and f.status = 'loaded'
),

alike as (
    select
        e.load_id,
        v.level,
        row_number() over (partition by v.level order by e.place) as place
    from came as e
    inner join came as t on e.kind = t.kind and e.day_kind = t.day_kind
    cross join lateral (
        values
        (1, e.month = t.month and e.weekday = t.weekday),
        (2, e.weekday = t.weekday),
        (3, e.is_weekend = t.is_weekend)
    ) as v (level, is_alike)
    where t.place = 1 and e.place > 1 and v.is_alike
),

baseline as materialized (
    select
        a.load_id,
        case when a.level = 3 then 0.9 else 0.5 end as quantile,
        case when a.level = 3 then 1 / 1.6449 else 1.4826 end as to_sigma
    from alike as a
    where a.place <= %(most_loads)s
        and a.level = (
            select min(o.level)
            from alike as o
            where o.place >= %(least_loads)s
        )
),

figures as materialized (
    select
        p.load_id,
        p.metric,
        p.column_name,
        p.member,
        case
            when p.metric in ('rows', 'mean') then sign(p.measured) * ln(1 + abs(p.measured))
            else p.measured
        end as x
    from feed_profile as p
    where p.feed = %(feed)s and p.metric <> 'mean_log'
        and p.load_id in (
            select load_id
            from baseline
            union all
            select load_id
            from came
            where place = 1
        )
),

medians as materialized (
    select
        f.metric,
        f.column_name,
        f.member,
        percentile_cont(0.5) within group (order by f.x) as median_x
    from figures as f
    inner join baseline as b on f.load_id = b.load_id
    group by f.metric, f.column_name, f.member
    having count(*) >= %(least_loads)s
),

spreads as (
    select
        m.metric,
        m.column_name,
        m.member,
        m.median_x,
        b.to_sigma
        * percentile_cont(b.quantile) within group (order by abs(f.x - m.median_x)) as spread_x
    from medians as m
    inner join figures as f using (metric, column_name, member)
    inner join baseline as b on f.load_id = b.load_id
    group by m.metric, m.column_name, m.member, m.median_x, b.quantile, b.to_sigma
),

tested as (
    select
        case s.metric when 'rows' then 'usual_volume' else 'usual_values' end as rule,
        s.metric,
        s.column_name,
        s.member,
        abs(f.x - s.median_x) / greatest(
            s.spread_x,
            case s.metric
                when 'rows' then greatest(0.05, exp(-s.median_x / 2))
                when 'mean' then greatest(0.1, 2 / sqrt(n.row_count))
                else greatest(0.01, sqrt(c.chance * (1 - c.chance) / n.row_count))
            end
        ) as z
    from spreads as s
    inner join figures as f using (metric, column_name, member)
    inner join came as t on f.load_id = t.load_id and t.place = 1
    inner join feed_profile as p
        on f.load_id = p.load_id and p.feed = %(feed)s and p.metric = 'rows'
    cross join lateral (select greatest(p.measured, 1)) as n (row_count)
    cross join lateral (
        select (s.median_x * n.row_count + 1) / (n.row_count + 2)
    ) as c (chance)
)

select
    r.rule,
    count(t.rule) as rows_checked,
    count(t.rule) filter (where t.z > r.threshold) as rows_failed,
    coalesce(max(t.z), 0) as measured,
    (
        select
            coalesce(
                jsonb_agg(
                    jsonb_build_object(
                        'metric',
                        o.metric,
                        'column',
                        o.column_name,
                        'value',
                        o.member,
                        'robust_z',
                        round(o.z::numeric, 1)
                    )
                    order by o.z desc
                ),
                '[]'
            )
        from (
            select *
            from tested
            where rule = r.rule and z > r.threshold
            order by z desc
            limit 100
        ) as o
    ) as failing_keys
from unnest(%(rules)s::text[], %(thresholds)s::double precision[]) as r (rule, threshold)
left join tested as t on r.rule = t.rule
group by r.rule, r.threshold;

-- name: extreme
-- The figures of a feed's latest load against the largest of the loads before it of its kind, the
-- first one apart, which brings all that is known at first; on January 1, when everybody renews, it
-- counts too. However much days differ, many times the rows, or amounts of another unit, are no day
-- like others. The size of amounts is the mean of their logarithms, which a few large ones do not
-- move. One row per rule; a row checked is a figure.
--: for each: feed
--: gate: arrivals
--: value: least_loads = 8, most_loads = 60
--: rule volume_like_before: major, volume
--:   fails when: the latest load brought many times the rows of any load before
--:   threshold: 5 times the most before
--:   source: [decision 14](decisions/0014-volume-and-distribution.md)
--:   advice: See quality.feed_arrival; ask the sender whether rows came twice or for many days.
--: rule amounts_like_before: major, reasonableness
--:   fails when: in the latest load amounts are many times those of any load before
--:   threshold: 6 times the most before
--:   source: [decision 14](decisions/0014-volume-and-distribution.md)
--:   advice: Ask the sender whether amounts came in cents. Until a corrected batch is loaded, sums
--:     of these days are wrong.
with came as (
    select
        l.load_id,
        f.kind,
        row_number() over (order by o.batch_rank desc) as place,
        row_number() over (order by o.batch_rank) as place_from_first,
        extract(doy from l.as_of at time zone 'UTC') = 1 as is_new_year
    from load as l
    inner join batch_order as o on l.load_id = o.load_id
    inner join load_file as f on l.load_id = f.load_id
    where l.load_id = any(%(loads)s) and f.feed = %(feed)s and f.status = 'loaded'
),

figures as (
    select
        case p.metric when 'rows' then 'volume_like_before' else 'amounts_like_before' end as rule,
        p.column_name,
        c.place,
        case p.metric when 'rows' then p.measured else exp(p.measured) end as x
    from came as c
    inner join came as t on t.place = 1 and c.kind = t.kind
    inner join feed_profile as p on c.load_id = p.load_id and p.feed = %(feed)s
    where p.metric in ('rows', 'mean_log') and c.place <= %(most_loads)s
        and (c.place = 1 or c.place_from_first > 1 or t.is_new_year)
),

compared as (
    select
        f.rule,
        f.column_name,
        max(f.x) filter (where f.place = 1)
        / greatest(max(f.x) filter (where f.place > 1), 1) as times
    from figures as f
    group by f.rule, f.column_name
    having count(*) filter (where f.place > 1) >= %(least_loads)s
)

select
    r.rule,
    count(c.times) as rows_checked,
    count(*) filter (where c.times > r.threshold) as rows_failed,
    coalesce(max(c.times), 0) as measured,
    coalesce(
        jsonb_agg(jsonb_build_object('column', c.column_name, 'times', round(c.times::numeric, 1)))
            filter (where c.times > r.threshold),
        '[]'
    ) as failing_keys
from unnest(%(rules)s::text[], %(thresholds)s::double precision[]) as r (rule, threshold)
left join compared as c on r.rule = c.rule
group by r.rule, r.threshold;

-- name: fresh
-- How many days a feed is behind: from its newest batch to the newest of any feed, and to today
-- where that is given. A feed that never came is behind from the first batch on. One row.
--: for each: feed with freshness_days
--: gate: arrivals
--: rule fresh: minor, timeliness
--:   fails when: the feed has not come for longer than it may
--:   threshold: {freshness_days} days
--:   advice: Ask the sender for the batches that are missing.
select
    'fresh' as rule,
    count(*) as rows_checked,
    0 as rows_failed,
    coalesce(
        extract(
            epoch from greatest(max(l.as_of), %(now)s::timestamptz)
            - coalesce(max(l.as_of) filter (where f.feed = %(feed)s), min(l.as_of))
        ) / 86400,
        0
    )::double precision as measured
from load as l
inner join load_file as f on l.load_id = f.load_id
where l.load_id = any(%(loads)s) and f.status in ('loaded', 'skipped');

-- name: agreed
-- Whether the latest file of a feed has as many rows as its contract expects, by
-- what was noticed of it. One row.
--: for each: feed with volume
--: gate: arrivals
--: rule agreed_volume: minor, volume
--:   fails when: the latest file has fewer or more rows than the contract expects
--:   advice: Ask the sender whether the file is whole; if so, change the volume in the contract.
select
    'agreed_volume' as rule,
    count(*) as rows_checked,
    count(*) filter (where f.findings ? 'rows_expected') as rows_failed,
    coalesce(
        jsonb_agg(jsonb_build_object('load_id', f.load_id))
            filter (where f.findings ? 'rows_expected'),
        '[]'
    ) as failing_keys
from (
    select
        f.load_id,
        f.findings
    from load_file as f
    inner join batch_order as l on f.load_id = l.load_id
    where l.load_id = any(%(loads)s) and f.feed = %(feed)s and f.status = 'loaded'
    order by l.batch_rank desc
    limit 1
) as f;
