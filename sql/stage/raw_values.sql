-- What a contract makes of the text of rows that are not in staging. The text comes by COPY, so
-- that no statement and no log has it.

-- name: create
-- A table for the fields of raw records. One row per record.
create temporary table raw_record (
    record_number integer not null,
    {fields}
);

-- name: fill
-- Stream records into it. One row per record.
copy raw_record from stdin;

-- name: make
-- The values that are made of each record, an array by column. One row per record.
select
    record_number,
    {values}
from raw_record;
