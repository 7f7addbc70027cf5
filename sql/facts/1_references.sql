-- References: each fact takes the surrogate keys of the dimension versions in force on its date.
--
--   before    member_sk  member_id  valid from  valid until
--             1          A          1900-01-01  2025-02-01
--             2          A          2025-02-01  9999-12-31
--
--   arrivals  claim  member_id  service_date
--             C1     A          2025-01-15
--             C2     A          2025-02-15
--             C3     B          2025-02-15
--
--   after     claim  member_sk
--             C1     1
--             C2     2
--             C3     3          an inferred version of B, valid from 1900-01-01

-- name: find_unknown_keys
-- The keys that the load's facts name and the dimension does not have. They become a table first,
-- because an insert from a query never runs in parallel. One row per key.
create temporary table unknown_key on commit drop as
select named.*
from (
    select distinct {key_values}
    from {staging} as s
    inner join dim_date as day on s.{date} = day.full_date
    where {is_current} and s.is_deleted is not true
) as named
where {all_present}
    and not exists (
        select 1
        from {dim} as d
        where {same_key}
    );

-- name: join_in_force
-- The version of a dimension in force on the fact's own date (at its first instant, UTC); where
-- the key was gone on that date, the last version before it. At most one row per fact.
left join {dim} as {in_force}  -- noqa: PRS, part of a from clause
    on {same_key} and {in_force}.validity_start_ts <= {date} and {date} < {in_force}.validity_end_ts
left join lateral (
    select before.{sk}
    from {dim} as before
    -- The condition is inside, so that only the few rows that need the look-up make it.
    where {in_force}.{sk} is null and {same_key_before} and before.validity_start_ts <= {date}
    order by before.validity_start_ts desc
    limit 1
) as {last_before} on true
