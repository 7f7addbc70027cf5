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
create or replace function {function}(load_id bigint) returns setof {rows_of}
language sql stable parallel safe
begin atomic  -- noqa: PRS, the rows are a statement of their own
    {schema/as_known.kept};
end;

-- name: grown_function
-- {table} as it was known after a load; for a table that only grows.
create or replace function {function}(load_id bigint) returns setof {rows_of}
language sql stable parallel safe
begin atomic
    {schema/as_known.grown};
end;

-- name: point
-- The load that a view of a cluster is asked for, by itself: workers know neither the settings of a
-- session nor the ledger, and Citus takes no step without a table. One row, none before a load.
point as materialized (  -- noqa: PRS, a step
    select {known_load}({load}) as load_id
    from ledger.load
    limit 1
)

-- name: known
-- That load, where such a view compares with it. A fragment.
(  -- noqa: PRS, a value
    select p.load_id
    from point as p
)

-- name: both
-- {table} as it was known after a load, whose rows lie on several nodes.
--
-- Each row lies next to what it was before the first change by a later load. One server reads both
-- as two parts of a union, which Citus cannot join to another table.
select {columns_of_both}
from {table} as kept
full join (
    select distinct on ({key}) *
    from {past} as later
    where later.known_to_load_id > {known}
    order by {key}, later.known_to_load_id
) as earlier on {same_key_kept_earlier} and {same_key_earlier_kept}
where case when {schema/as_known.is_kept} then kept.load_id else earlier.load_id end <= {known};

-- name: is_kept
-- Whether no later load changed a row: nothing that it was before lies next to it. A fragment.
(  -- noqa: PRS, a condition
    earlier.known_to_load_id is null
)

-- name: key_of_both
-- A column of the key of such rows, in the form whose value the planner looks up in both. A
-- fragment.
coalesce(  -- noqa: PRS, a column
    kept.{column}, earlier.{column}
) as {column}

-- name: value_of_both
-- Another column of such rows. A fragment.
case  -- noqa: PRS, a column
    when {schema/as_known.is_kept} then kept.{column}
    else earlier.{column}
end as {column}

-- name: both_from_point
-- {table} as it was known at the point that as_known_at() set; without one as it is.
with {schema/as_known.point}

{schema/as_known.both};

-- name: grown_by_then
-- {table} as it was known after a load, whose number the statement around it has.
select {columns}
from {table} as kept
where kept.load_id <= {known};

-- name: grown_from_point
-- {table} as it was known at the point that as_known_at() set; without one as it is.
--
-- For a table that only grows.
with {schema/as_known.point}

{schema/as_known.grown_by_then};

-- name: kept_on_nodes_function
-- {table} as it was known after a load. Citus has no functions in SQL with an argument over what it
-- manages.
create or replace function {function}(load_id bigint) returns setof {rows_of}
language plpgsql stable
as $known$
#variable_conflict use_column
begin
    return query {schema/as_known.kept};
end
$known$;

-- name: both_function
-- {table} as it was known after a load. Such a function brings all rows that were known to the
-- coordinator.
create or replace function {function}(load_id bigint) returns setof {rows_of}
language plpgsql stable
as $known$
#variable_conflict use_column
declare
    known_load_id bigint := {known_load}($1);
begin
    return query {schema/as_known.both};
end
$known$;

-- name: grown_on_nodes_function
-- {table} as it was known after a load; for a table that only grows.
create or replace function {function}(load_id bigint) returns setof {rows_of}
language plpgsql stable
as $known$
#variable_conflict use_column
declare
    known_load_id bigint := {known_load}($1);
begin
    return query {schema/as_known.grown_by_then};
end
$known$;

-- name: view
-- {table} as it was known at the point that as_known_at() set; without one as it is.
select *
from {function}({point}());
