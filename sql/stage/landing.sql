-- name: create
-- A table for the fields of a file whose columns are not those of staging: typed as there where
-- COPY can read the value, text elsewhere. One row per record.
create temporary table landing on commit drop as
select
    load_id,
    source_line,
    {columns}
from {table}
with no data;

-- name: move
-- Move the known columns of a file with unknown ones into staging. One row per record.
insert into {table} (load_id, source_line, {columns})
select
    load_id,
    source_line,
    {columns}
from landing
where {is_meant};

-- name: count_filtered
-- What a file has of rows that its contract does not mean, by the line on which the rows of a part
-- begin: rows, and sums of money as an array. One row per part that has such rows.
select
    greatest(width_bucket(source_line, {first_lines}), 1) as part,
    count(*) as rows_filtered,
    array[{sums}]::numeric[] as amounts
from landing
where ({is_meant}) is not true
group by greatest(width_bucket(source_line, {first_lines}), 1);

-- name: sum_of
-- The sum of the amounts of a row that repeat. A fragment.
(
    select sum(a.amount)
    from (values {value_rows}) as a (amount)
)

-- name: repeated
-- The rows that a row of the file gives, where columns are next to each other that each give one.
-- One row per row that has a value in the first of these columns.
select r.*
from (values {value_rows}) as r ({names})
where r.{first} is not null;

-- name: move_read
-- Parse values as the contract declares, and move the rows whose values are all of their types into
-- staging. One row per rejected line, with the first column at fault and the
-- beginning of its value.
with judged as materialized (
    select
        landed.*,
        {first_fault} as fault
    from (
        -- Each value is made once, whoever asks for it.
        select
            load_id,
            source_line,
            {values}
        from landing
        {repeated}
        where {is_meant}
        offset 0  -- noqa: AM09, a fence: rows are in no order
    ) as landed
),

moved as (
    insert into {table} (load_id, source_line, {columns})
    select
        load_id,
        source_line,
        {typed}
    from judged
    where fault is null
)

select
    source_line,
    fault,
    {shown} as beginning
from judged
where fault is not null;

-- name: drop
-- Make room for the next file that lands.
drop table landing;
