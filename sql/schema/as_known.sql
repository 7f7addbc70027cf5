-- name: kept
-- {table} as it was known after a load.
--
-- That is: its rows that existed then and no later load changed, and the rows that later loads
-- changed as they were before the first of these changes.
create or replace function {function}(load_id bigint) returns setof {table}
language sql stable parallel safe
begin atomic
    select {columns}
    from {table} as kept
    where kept.load_id <= (select {known_load}($1))
        and not exists (
            select 1
            from {past} as later
            where later.{key} = kept.{key} and later.known_to_load_id > (select {known_load}($1))
        )
    union all
    select {columns}
    from {past} as kept
    where kept.load_id <= (select {known_load}($1))
        and kept.known_to_load_id > (select {known_load}($1))
        and not exists (
            select 1
            from {past} as sooner
            where sooner.{key} = kept.{key} and sooner.known_to_load_id > (select {known_load}($1))
                and sooner.known_to_load_id < kept.known_to_load_id
        );
end;

-- name: grown
-- {table} as it was known after a load.
--
-- For a table that only grows.
create or replace function {function}(load_id bigint) returns setof {table}
language sql stable parallel safe
begin atomic
    select {columns}
    from {table} as kept
    where kept.load_id <= (select {known_load}($1));
end;

-- name: view
-- {table} as it was known at the point that as_known_at() set; without one as it is.
select *
from {function}({point}());
