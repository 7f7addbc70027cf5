-- name: missing
-- The pairs of state and region that the load's members name and that are not there yet.
-- One row per pair.
select
    state,
    region
from (
    select distinct
        state,
        region
    from members_raw
    where load_id = %(load_id)s and state is not null and region is not null
) as pair
where not exists (
    select 1
    from dim_geography as g
    where g.state = pair.state and g.region = pair.region
);

-- name: extend
-- Add pairs, in order, so that a rebuild gives the same keys. One row per state and region.
insert into dim_geography (geography_sk, state, region, load_id)
select
    (select greatest(max(geography_sk), 0) from dim_geography)
    + row_number() over (order by pair.state, pair.region),
    pair.state,
    pair.region,
    %(made_by)s
from unnest(%(states)s::text[], %(regions)s::text[]) as pair (state, region);

-- name: ensure_unknown
-- The row for members whose state or region is not known. One row, once.
insert into dim_geography (geography_sk, load_id)
values (-1, 0)
on conflict (geography_sk) do nothing;
