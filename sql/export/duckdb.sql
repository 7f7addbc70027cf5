-- Statements of DuckDB, which an export as one file runs in that file.

-- name: create
-- An empty table with the columns of rows that are given. No rows.
create table {name} as
select *
from {taken}
where false;

-- name: take_in
-- Take in rows that are given. No rows.
insert into {name}
select *
from {taken};

-- name: describe_table
-- Say what a table is. No rows.
comment on table {name} is {comment};

-- name: describe_column
-- Say what a column means. No rows.
comment on column {name}.{column} is {comment};

-- name: make_mart
-- The schema by which reports name marts. No rows.
create schema mart;

-- name: show_as_mart
-- A table by the name that reports have for a mart. No rows.
create view mart.{name} as
select *
from main.{name};

-- name: as_of
-- The day that the data speaks of, as the warehouse has it. No rows.
create macro mart.as_of() as {day}::date;  -- noqa: PRS, DuckDB's own
