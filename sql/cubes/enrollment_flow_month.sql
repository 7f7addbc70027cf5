-- enrollment_flow_month: who came, stayed and went.
-- Grain: one row per month, state and metal tier with coverage.
-- Units: counts of members; of new, returned and ended of events, of which one member can have
-- several a month.
-- Assumptions:
--   * A member counts in the state and metal tier of the plan with most days of the month.
--   * at_start: coverage continues from the month before. new: the first covered day ever.
--     returned: a covered day after a day without. ended: a covered day before a day without. So
--     at_start + new + returned - ended = at_end, and over all states and tiers at_end is the
--     next month's at_start. Coverage to the last day of a month that does not continue has ended.
--   * A renewal at New Year and a change of plan without a day between are neither.

-- name: sums
-- What rows of member_month add up to, of some members where that is said. One row per month,
-- state and metal tier.
select
    month,
    state,
    metal_tier,
    count(*) as members,
    count(*) filter (where is_at_start) as at_start,
    count(*) filter (where is_first_month) as new,
    sum(beginnings) - count(*) filter (where is_first_month) as returned,
    sum(endings) as ended
from member_month
where member_months_any = 1 and {of_members}
group by month, state, metal_tier;

-- name: definition
-- The cube as a plain query. One row per month, state and metal tier.
select
    month,
    state,
    metal_tier,
    members,
    at_start,
    new,
    returned,
    ended,
    at_start + new + returned - ended as at_end
from ({sums}) as s;

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. Of a measure only what is so of this column: the
-- rest is declared in etl/warehouse/measures.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('month', 'none', 'First day of the month.'),
    ('state', 'none', 'State of the members, or (unknown).'),
    ('metal_tier', 'none', 'Metal tier of the plans, or (unknown).'),
    ('members', 'none', 'With a covered day.'),
    ('at_start', 'none', ''),
    ('new', 'none', ''),
    ('returned', 'none', ''),
    ('ended', 'none', ''),
    ('at_end', 'none', '')
) as c (column_name, identifier, description);
