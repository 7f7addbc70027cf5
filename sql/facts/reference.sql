-- name: join_in_force
-- The version of a dimension in force on the fact's own date (at its first instant, UTC); where
-- the key was gone on that date, the last version before it. At most one row a fact.
left join {dim} as {in_force}  -- noqa: PRS, part of a from clause
    on {same_key} and {in_force}.validity_start_ts <= {date} and {date} < {in_force}.validity_end_ts
left join lateral (
    select before.{sk}
    from {dim} as before
    -- Said inside, so that the look-up is only made for the few rows that need it.
    where {in_force}.{sk} is null and {same_key_before} and before.validity_start_ts <= {date}
    order by before.validity_start_ts desc
    limit 1
) as {last_before} on true

-- name: find_unknown
-- The keys that the load's facts name and the dimension does not hold: a table of its own, for what
-- inserts at once would use one core. One row a key.
create temporary table unknown on commit drop as
select named.*
from (
    select distinct {key_values}
    from {staging} as s
    inner join dim_date as day on s.{date} = day.full_date
    where {in_hand} and s.is_deleted is not true
) as named
where {all_present}
    and not exists (
        select 1
        from {dim} as d
        where {same_key}
    );

-- name: infer
-- Make a row for every unknown key, in key order. One row a key.
insert into {dim} (
    {sk},
    {keys},
    validity_start_ts,
    validity_end_ts,
    current_flag,
    attr_hash,
    hash_version,
    is_inferred,
    load_id
)
select
    %(last_sk)s + row_number() over (order by {keys}),
    {keys},
    timestamp '1900-01-01',
    timestamp '9999-12-31',
    true,
    {hash_of_nothing},
    %(hash_version)s,
    true,
    %(made_by)s
from unknown;

-- name: drop_unknown
-- Make room for the next dimension. No rows.
drop table unknown;
