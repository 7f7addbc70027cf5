-- Checks of the rows kept as they were before a load changed them.
--: advice: Rows of the past or of the ledger were changed by hand, and what was known before cannot
--:     be trusted: make full-load.

-- name: kept
-- Whether the loads that made and changed a past row exist and are in order. One row per rule.
--: for each: dimension, fact or detail
--: about: {past}
--: key: {row_key}, known_to_load_id
--: rule made_before_changed: critical, consistency
--:   fails when: a load changed the row before another one made it
--: rule changed_by_a_load: critical, integrity
--:   fails when: the load that changed the row is neither in the ledger nor the next one
--: rule present_is_last_known: minor, consistency
--:   fails when: something other than a load changed the row since the latest load
--:   advice: Find out who changed it; if it was not meant, make full-load.
with ledger_ends as (
    select
        coalesce(max(l.load_id), 0) as last_load_id,
        (
            select coalesce(max(b.load_id), 0)
            from unnest(%(loads)s::bigint[]) as b (load_id)
        ) as last_of_build
    from load as l
),

judged as (  -- noqa: ST03, the fragment reads judged
    select
        {keys_of_past},
        p.known_to_load_id,
        p.load_id > p.known_to_load_id as made_before_changed,
        -- A change by hand counts for the next load, whose number may be left out: it stands
        -- between the loads on either side of it.
        l.load_id is null and p.known_to_load_id > e.last_load_id + 1 as changed_by_a_load,
        p.known_to_load_id > e.last_of_build as present_is_last_known
    from {past} as p
    cross join ledger_ends as e
    left join load as l on p.known_to_load_id = l.load_id
)

select *
from ({rules_counted}) as found;

-- name: one_key
-- A surrogate key names one natural key for all time: versions that were taken away count with
-- those that are there. One row.
--: for each: dimension
--: key: {row_key}
--: rule sk_one_key: critical, uniqueness
--:   fails when: one surrogate key was given to two keys, now or in the past
--:   advice: Rows of the past were changed by hand, and what was known before cannot be trusted:
--:     make full-load.
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
