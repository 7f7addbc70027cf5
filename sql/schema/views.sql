-- name: current
-- Current versions of {dim}, one row per {thing}.
--
-- Also the row -1.
select *
from {dim}
where current_flag;

-- name: as_is
-- For every {sk}, the current row of its {thing}, or the last one.
--
-- One row per version. Facts join it by the key that they have, and none is lost.
select
    version.{sk},
    latest.{sk} as {latest_sk},
    {columns}
from {dim} as version
inner join (
    select *
    from {dim} as latest
    where not exists (
        select 1
        from {dim} as later
        where {key_later_latest} and later.validity_start_ts > latest.validity_start_ts
    )
) as latest on {key_version_latest};

-- name: fact_history
-- Every reported state of a {fact}, one row per {fact} and load in which it changed; as_of and
-- batch_id order them. withdrawn_load_id is the load that withdrew the {fact}, if it is there no
-- more.
select
    state.{key},
    state.load_id,
    batch.as_of,
    batch.batch_id,
    state.{date},
    {states_of_state},
    state.is_latest,
    withdrawn.load_id as withdrawn_load_id
from (
    select
        {key},
        load_id,
        {date},
        {states},
        false as is_latest
    from {earlier_states}
    union all
    select
        {key},
        load_id,
        {date},
        {states},
        true as is_latest
    from {fact}
) as state
inner join ledger.load as batch on state.load_id = batch.load_id
-- A join to a group, which a query that does not ask for the load goes without. Next to the union,
-- not in it: Citus sends both to the workers.
left join (
    select
        past.{key},
        max(past.known_to_load_id) as load_id
    from {past} as past
    where not exists (select 1 from {fact} as present where present.{key} = past.{key})
    group by past.{key}
) as withdrawn on state.{key} = withdrawn.{key};
