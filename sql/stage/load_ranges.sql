-- Partitions of staging, each of a range of loads. A load that none is for fills a table of its
-- own, which is attached with its rows: only then it gets the indexes of the whole, and attaching
-- locks out neither readers nor writers.
--
--   before    claims_raw: claims_raw_000001 (loads 1 to 32)     arrivals  load 33
--   between   claims_raw_000033                                 filled by itself
--   after     claims_raw: claims_raw_000001, claims_raw_000033 (loads 33 to 64)

-- name: ranges
-- The partitions of a staging table: name, first load, and the first load that is not in it.
-- One row per partition.
select
    c.relname::text as partition_name,
    (r.bounds)[1]::bigint as first_load,
    (r.bounds)[2]::bigint as end_load
from pg_inherits as i
inner join pg_class as c on i.inhrelid = c.oid
cross join lateral (
    select regexp_match(pg_get_expr(c.relpartbound, c.oid), '\(''(\d+)''\) TO \(''(\d+)''\)')
) as r (bounds)
where i.inhparent = to_regclass(%(table)s);

-- name: of_load
-- The partition that a load's rows are in. At most one row.
select p.partition_name
from ({stage/load_ranges.ranges}) as p
where p.first_load <= %(load_id)s and %(load_id)s < p.end_load;

-- name: next_first
-- The first load of the partition after a load; empty where there is none. One row.
select min(p.first_load)
from ({stage/load_ranges.ranges}) as p
where p.first_load > %(load_id)s;

-- name: create
-- A table as the whole, for the rows of a load that no partition is for. No rows.
create table {partition} (like {table} including defaults);

-- name: attach
-- Make a filled table the partition of these loads, with all indexes. One row per row of the table.
alter table {table} attach partition {partition} for values from ({first_load}) to ({end_load});
