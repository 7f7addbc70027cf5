-- name: kept
-- {table} as it was known after a load, without facts that have gone to the archive since.
--
-- That is: its rows that existed then and no later load changed, and the rows that later loads
-- changed as they were before the first of these changes. What has gone is listed in
-- ledger.retention_file.
select {columns}
from {table} as kept
where kept.load_id <= (select {known_load}({load}))
    and not exists (
        select 1
        from {past} as later
        where {same_key_later_kept} and later.known_to_load_id > (select {known_load}({load}))
    )
union all
select {columns}
from {past} as kept
where kept.load_id <= (select {known_load}({load}))
    and kept.known_to_load_id > (select {known_load}({load}))
    and not exists (
        select 1
        from {past} as sooner
        where {same_key_sooner_kept} and sooner.known_to_load_id > (select {known_load}({load}))
            and sooner.known_to_load_id < kept.known_to_load_id
    );

-- name: grown
-- {table} as it was known after a load.
--
-- For a table that only grows.
select {columns}
from {table} as kept
where kept.load_id <= (select {known_load}({load}));

-- name: kept_function
-- {table} as it was known after a load.
create or replace function {function}(load_id bigint) returns setof {table}
language sql stable parallel safe
begin atomic  -- noqa: PRS, the rows are a statement of their own
    {schema/as_known.kept};
end;

-- name: grown_function
-- {table} as it was known after a load; for a table that only grows.
create or replace function {function}(load_id bigint) returns setof {table}
language sql stable parallel safe
begin atomic
    {schema/as_known.grown};
end;

-- name: refused_function
-- {table} as it was known after a load; on a cluster refused: Citus has no functions over rows that
-- lie on several nodes.
create or replace function {function}(load_id bigint) returns setof {table}
language plpgsql stable
as $refuse$
begin
    raise exception '%', {why}
        using errcode = 'feature_not_supported', hint = 'docs/cluster.md says more.';
end
$refuse$;

-- name: view
-- {table} as it was known at the point that as_known_at() set; without one as it is.
select *
from {function}({point}());
