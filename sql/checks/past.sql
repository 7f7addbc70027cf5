-- Checks of the rows kept as they were before a load changed them.

-- name: kept
-- What a past table says of loads: which one made a row, and which one changed it. One row a rule.
with ledger_ends as (
    select
        coalesce(max(l.load_id), 0) as last_load_id,
        (
            select coalesce(max(b.load_id), 0)
            from unnest(%(loads)s::bigint[]) as b (load_id)
        ) as last_of_build
    from load as l
),

judged as (
    select
        p.{key},
        p.known_to_load_id,
        p.load_id > p.known_to_load_id as made_before_changed,
        -- A change by hand counts for the next load, whose number may be left out: it stands
        -- between the loads on either side of it.
        l.load_id is null and p.known_to_load_id > e.last_load_id + 1 as changed_by_a_load,
        p.known_to_load_id > e.last_of_build as present_is_last_known
    from {past} as p
    cross join ledger_ends as e
    left join load as l on p.known_to_load_id = l.load_id
),

counted as (
    select
        count(*) as past_rows,
        {tallies}
    from judged
)

select
    v.rule,
    counted.past_rows as rows_checked,
    v.rows_failed,
    v.failing_keys
from counted
cross join lateral (
    values
    {tallied}
) as v (rule, rows_failed, failing_keys);

-- name: one_key
-- A surrogate key names one natural key for all time: versions that were taken away count with
-- those that are there. One row.
with named as (
    select
        {sk},
        {keys}
    from {past}
    union
    select
        d.{sk},
        {keys_of_dim}
    from {dim} as d
    -- Of the others there is but one row, or the check sk_unique finds them.
    where exists (
        select 1
        from {past} as p
        where p.{sk} = d.{sk}
    )
)

select
    'sk_one_key' as rule,
    coalesce(sum(of_sk.named), 0)::bigint as rows_checked,
    count(*) filter (where of_sk.named > 1) as rows_failed,
    some_keys({key_of_row}) filter (where of_sk.named > 1) as failing_keys
from (
    select
        {sk},
        count(*) as named
    from named
    group by {sk}
) as of_sk;
