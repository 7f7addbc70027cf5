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

-- name: as_is_published
-- For every {sk}, the current row of its {thing}, or the last one.
--
-- One row per version. Facts join it by the key that they have, and none is lost. On a cluster the
-- coordinator finds the last version of each {thing} and sends two keys of each version to the
-- nodes, which have the rest.
with found as (
    select
        version.{sk},
        latest.{sk} as {latest_sk}
    from {kept} as version
    inner join (
        select *
        from {kept} as latest
        where not exists (
            select 1
            from {kept} as later
            where {key_later_latest} and later.validity_start_ts > latest.validity_start_ts
        )
    ) as latest on {key_version_latest}
)

select
    found.{sk},
    latest.{sk} as {latest_sk},
    {columns}
from found
inner join {dim} as latest on found.{latest_sk} = latest.{sk};

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
    -- Looked up for each state that asks, so that a query goes without it, and no plan, however few
    -- rows it expects, makes a set of all that were withdrawn again for each of them.
    case
        when not state.is_latest
            and not exists (select 1 from {fact} as present where present.{key} = state.{key})
            then (
                select max(past.known_to_load_id)
                from {past} as past
                where past.{key} = state.{key}
            )
    end as withdrawn_load_id
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
-- Every state has its load. Said so, a query that does not ask for the load goes without it, and
-- others know that no row is lost.
left join ledger.load as batch on state.load_id = batch.load_id;
