-- Partitions of fact_claim and of what claims consist of, one a month of service. A month that has
-- none yet is filled on its own, gets its keys, and is attached: readers of the table wait for
-- nothing.
--
--   before    fact_claim: 2025_01              arrivals  claims of January and February
--   between   fact_claim_loading: 2025_02      filled with the claims of February
--   after     fact_claim: 2025_01, 2025_02     the claims of January are inserted row by row

-- name: months
-- Months of the days of service given, and whether each lacks a partition. One row per month, in
-- order.
with months as (
    select distinct date_trunc('month', days.service_date)::date as month
    from ({days}) as days
)

select
    month,
    to_regclass(
        format('%%I.%%I', %(schema)s::text, %(table)s::text || '_' || to_char(month, 'yyyy_mm'))
    ) is null as is_new
from months
order by month;

-- name: create_loading
-- A parent of their own for the partitions of new months: they are filled without keys and indexes
-- and without a lock that a reader of the table would wait for. No rows.
create table {loading} (like {table}) partition by range (service_date);

-- name: create_partition
-- An empty partition of the loading parent. One row per row of the table.
create table {partition} partition of {loading} for values from ({month}) to ({next});

-- name: detach
-- Take a filled partition from the loading parent. One row per row of the table.
alter table {loading} detach partition {partition};

-- name: add_key
-- Give a filled partition the key of the table. One row per row of the table.
alter table {partition} add primary key ({key});

-- name: add_statistics
-- Let the planner know how often a claim has which status in the form in which reports compare it:
-- without that it expects one row in a hundred. One row per claim.
create statistics on (lower(coalesce(status, 'approved'))) from {partition};

-- name: add_bounds
-- Constrain the partition to its month, so that attaching it need not read it. One row per row of
-- the table.
alter table {partition} add constraint bounds check (
    service_date >= {month} and service_date < {next}
);

-- name: attach
-- Make a filled partition part of the table: foreign keys are checked here, as a set.
-- One row per row of the table.
alter table {table} attach partition {partition} for values from ({month}) to ({next});

-- name: drop_bounds
-- The partition's own bounds say the same. One row per row of the table.
alter table {partition} drop constraint bounds;

-- name: drop_loading
-- All partitions are attached elsewhere. No rows.
drop table {loading};

-- name: analyze
-- Refresh the planner's statistics of one partition, of the columns that joins and filters use.
analyze {partition} ({filtered});
