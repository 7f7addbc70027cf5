-- Partitions of fact_claim, one a month of service. A month that has none yet is filled on its own,
-- gets its keys, and is attached: readers of the fact wait for nothing.
--
--   before    fact_claim: 2025_01              arrivals  claims of January and February
--   between   fact_claim_loading: 2025_02      filled with the claims of February
--   after     fact_claim: 2025_01, 2025_02     the claims of January are inserted row by row

-- name: months
-- Months of service of the load, and whether each lacks a partition. One row per month, in order.
with days as (
    select s.service_date::date as day
    from claims_raw as s
    where {is_current} and s.is_deleted is not true
    group by s.service_date
),

months as (
    select distinct date_trunc('month', day)::date as month
    from days
)

select
    month,
    to_regclass(
        format('%%I.%%I', %(schema)s::text, 'fact_claim_' || to_char(month, 'yyyy_mm'))
    ) is null as is_new
from months
order by month;

-- name: create_loading
-- A parent of their own for the partitions of new months: they are filled without keys and indexes
-- and without a lock that a reader of fact_claim would wait for. No rows.
create table fact_claim_loading (like fact_claim) partition by range (service_date);

-- name: create_partition
-- An empty partition of the loading parent. One row per claim.
create table {partition} partition of fact_claim_loading for values from ({month}) to ({next});

-- name: detach
-- Take a filled partition from the loading parent. One row per claim.
alter table fact_claim_loading detach partition {partition};

-- name: add_key
-- Give a filled partition the key of the fact. One row per claim.
alter table {partition} add primary key (claim_id, service_date);

-- name: add_statistics
-- Let the planner know how often a claim has which status in the form in which reports compare it:
-- without that it expects one row in a hundred. One row per claim.
create statistics on (lower(coalesce(status, 'approved'))) from {partition};

-- name: add_bounds
-- Constrain the partition to its month, so that attaching it need not read it. One row per claim.
alter table {partition} add constraint bounds check (
    service_date >= {month} and service_date < {next}
);

-- name: attach
-- Make a filled partition part of the fact: foreign keys are checked here, as a set.
-- One row per claim.
alter table fact_claim attach partition {partition} for values from ({month}) to ({next});

-- name: drop_bounds
-- The partition's own bounds say the same. One row per claim.
alter table {partition} drop constraint bounds;

-- name: drop_loading
-- All partitions are attached elsewhere. No rows.
drop table fact_claim_loading;

-- name: analyze
-- Refresh the planner's statistics of one partition, of the columns that joins and filters use.
analyze {partition} (claim_id, date_key, service_date, member_sk, provider_sk, plan_sk, status);
