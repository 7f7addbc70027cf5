-- name: current
-- A dimension's versions that are current. One row a key that is there now, and the row -1.
create view {view} as
select *
from {dim}
where current_flag;

-- name: as_is
-- For every surrogate key of a dimension, the current row of its key, or its last one where the
-- key is gone: facts join it by the key that they bear and none is lost. One row a version.
create view {view} as
select
    version.{sk},
    latest.{sk} as {latest_sk},
    {columns_of_latest}
from {dim} as version
inner join {dim} as latest
    on {key_version_latest}
    and not exists (
        select 1
        from {dim} as later
        where {key_later_latest} and later.validity_start_ts > latest.validity_start_ts
    );

-- name: fact_history
-- Every state that a fact was told to be in; the time and name of its batch order them.
-- One row a fact and load in which it changed.
create view {view} as
select
    told.{key},
    told.load_id,
    batch.as_of,
    batch.batch_id,
    told.{date},
    {states_told},
    told.is_latest
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
) as told
inner join ledger.load as batch on told.load_id = batch.load_id;

-- name: describe
-- Say in the catalog what a view is for.
comment on view {view} is {comment};
