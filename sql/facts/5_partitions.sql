-- Partitions of fact_claim and of what claims consist of: one a month of service, and one a year
-- before the last few years, or on a cluster. One that is not there yet is filled on its own, gets
-- its keys, and is attached: readers of the table wait for nothing.
--
--   before    fact_claim: 2025_01              arrivals  claims of January, February and 2016
--   between   fact_claim_loading: 2016,        filled with the claims of 2016 and February
--                                 2025_02
--   after     fact_claim: 2016, 2025_01,       the claims of January are inserted row by row
--                         2025_02

-- name: bounds
-- Partitions of tables that are divided by day of service: of which days each is, up to the one
-- after the last, and how many rows it has by its statistics. The days come from the bounds: the
-- names of other relations may be read before the parents are compared. One row per partition.
select
    b.relname,
    substring(b.bound from $$FROM \('(\d{{4}}-\d\d-\d\d)'$$)::date as first_day,
    substring(b.bound from $$TO \('(\d{{4}}-\d\d-\d\d)'$$)::date as next_day,
    greatest(b.reltuples, 0)::bigint as row_count
from (
    select
        c.relname,
        c.reltuples,
        pg_get_expr(c.relpartbound, c.oid) as bound
    from pg_inherits as i
    inner join pg_class as c on i.inhrelid = c.oid
    where i.inhparent = any(array[{parents}]::regclass[])
) as b;

-- name: by_month_from
-- The day from which on partitions are of a month; those before it are of a year. A full load
-- decides it, which knows the newest of all batches; after that the partitions that are there say
-- it, and a load's own day where there is none. On the nodes of a cluster all are of a year, unless
-- some of a month are there. One row.
with bounds as ({facts/5_partitions.bounds}),

parts as (
    select
        b.first_day,
        b.next_day,
        b.next_day > b.first_day + interval '1 month' as is_of_year
    from bounds as b
)

select
    case
        when %(is_on_nodes)s and not exists (select 1 from parts as p where not p.is_of_year)
            then date '9999-12-31'
        else greatest(
            date_trunc(
                'year',
                coalesce(
                    case
                        when %(newest_day)s::date is null
                            then (select min(p.first_day) from parts as p where not p.is_of_year)
                    end::timestamp,
                    coalesce(
                        %(newest_day)s::date,
                        (select l.as_of::date from load as l where l.load_id = %(current_load_id)s)
                    )::timestamp - %(months_before)s * interval '1 month'
                )
            )::date,
            (select max(p.next_day) from parts as p where p.is_of_year)
        )
    end as by_month_from;

-- name: first_day
-- The first day of the partition that a day of service is in. A fragment.
case  -- noqa: PRS, a value
    when {day} < %(by_month_from)s::date then date_trunc('year', {day}::timestamp)
    else date_trunc('month', {day}::timestamp)
end::date

-- name: is_wanted
-- Whether a row goes into a partition that is being filled, or else into one that is there.
-- A fragment.
(  -- noqa: PRS, a condition
    ({facts/5_partitions.first_day} = any(%(new_days)s)) = %(into_new)s
)

-- name: parts
-- The partitions that days of service belong in, and whether each lacks. One row per partition, in
-- order.
with parts as (
    select distinct {facts/5_partitions.first_day} as first_day
    from ({days}) as days
)

select
    p.first_day,
    case
        when p.first_day < %(by_month_from)s::date then p.first_day + interval '1 year'
        else p.first_day + interval '1 month'
    end::date as next_day,
    not exists (
        select 1
        from ({facts/5_partitions.bounds}) as b
        where p.first_day >= b.first_day and p.first_day < b.next_day
    ) as is_new
from parts as p
order by p.first_day;

-- name: create_loading
-- A parent of their own for new partitions: they are filled without keys and indexes
-- and without a lock that a reader of the table would wait for. No rows.
create table {loading} (like {table}) partition by range (service_date);

-- name: create_partition
-- An empty partition of the loading parent. One row per row of the table.
create table {partition} partition of {loading} for values from ({first_day}) to ({next_day});

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
-- Constrain the partition to its days, so that attaching it need not read it. One row per row of
-- the table.
alter table {partition} add constraint bounds check (
    service_date >= {first_day} and service_date < {next_day}
);

-- name: attach
-- Make a filled partition part of the table: foreign keys are checked here, as a set.
-- One row per row of the table.
alter table {table} attach partition {partition} for values from ({first_day}) to ({next_day});

-- name: drop_bounds
-- The partition's own bounds say the same. One row per row of the table.
alter table {partition} drop constraint bounds;

-- name: drop_loading
-- All partitions are attached elsewhere. No rows.
drop table {loading};

-- name: analyze
-- Refresh the planner's statistics of one partition, of the columns that joins and filters use.
analyze {partition} ({filtered});
