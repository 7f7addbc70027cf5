-- name: has_rows
-- Whether any claim was loaded before. One row.
select exists(select 1 from fact_claim);

-- name: find_known
-- The load's claims that the fact already holds. One row a claim.
create temporary table known on commit drop as
select
    s.claim_id,
    f.service_date,
    l.as_of > %(as_of)s as is_later
from claims_raw as s
inner join fact_claim as f on s.claim_id = f.claim_id
inner join load as l on f.load_id = l.load_id
where s.load_id = %(load_id)s;

-- name: no_known
-- The same when the fact is empty. No rows.
create temporary table known (
    claim_id text not null,
    service_date date not null,
    is_later boolean not null
) on commit drop;

-- name: index_known
-- Statistics for the joins that follow.
analyze known;

-- name: new_months
-- Months of service of the load that have no partition yet. One row a month, in order.
select month
from (
    select distinct date_trunc('month', service_date)::date as month
    from claims_raw
    where load_id = %(load_id)s
) as months
where to_regclass(format(
    '%%I.%%I', %(schema)s::text, 'fact_claim_' || to_char(month, 'yyyy_mm')
)) is null
order by month;

-- name: create_loading
-- A stand-alone parent for the partitions of new months: they fill without keys and indexes and
-- without a lock that a reader of fact_claim would wait for. No rows.
create table fact_claim_loading (like fact_claim) partition by range (service_date);

-- name: create_partition
-- An empty partition of the loading parent. One row a claim.
create table {partition} partition of fact_claim_loading for values from ({month}) to ({next});

-- name: detach
-- Take a filled partition from the loading parent. One row a claim.
alter table fact_claim_loading detach partition {partition};

-- name: add_key
-- Give a filled partition the key of the fact. One row a claim.
alter table {partition} add primary key (claim_id, service_date);

-- name: add_bounds
-- Say what the partition holds, so that attaching it need not read it again. One row a claim.
alter table {partition} add constraint bounds check (
    service_date >= {month} and service_date < {next}
);

-- name: attach
-- Make a filled partition part of the fact: foreign keys are checked here, as a set.
-- One row a claim.
alter table fact_claim attach partition {partition} for values from ({month}) to ({next});

-- name: drop_bounds
-- The partition's own bounds say the same. One row a claim.
alter table {partition} drop constraint bounds;

-- name: drop_loading
-- Nothing is left of the loading parent.
drop table fact_claim_loading;

-- name: insert_new
-- Claims that the fact does not hold yet, each keyed to the versions in force on its day of
-- service. One row a claim.
insert into {target} (
    claim_id,
    date_key,
    service_date,
    {sks},
    {carried},
    load_id
)
select
    s.claim_id,
    day.date_key,
    s.service_date,
    {sk_values},
    {carried_values},
    s.load_id
from claims_raw as s
inner join dim_date as day on s.service_date = day.full_date
{references}
where s.load_id = %(load_id)s
    and (date_trunc('month', s.service_date)::date = any(%(new_months)s)) = %(into_new)s
    and not exists (
        select 1
        from known as k
        where k.claim_id = s.claim_id
    );

-- name: update_known
-- Claims that the fact holds in an earlier state take the new one; a changed day of service moves
-- the row to its partition. Rows that do not change are left alone. One row a claim.
update fact_claim as f
set
    date_key = v.date_key,
    service_date = v.service_date,
    {assign_sks},
    {assign_carried},
    load_id = v.load_id
from (
    select
        s.claim_id,
        k.service_date as held_service_date,
        day.date_key,
        s.service_date,
        {sk_values_named},
        {carried_values},
        s.load_id
    from known as k
    inner join claims_raw as s on k.claim_id = s.claim_id and s.load_id = %(load_id)s
    inner join dim_date as day on s.service_date = day.full_date
    {references}
    where not k.is_later
) as v
where f.claim_id = v.claim_id and f.service_date = v.held_service_date
    and (f.service_date <> v.service_date or {sks_differ} or {carried_differ});

-- name: analyze
-- Refresh the planner's statistics of one partition, of the columns that joins and filters use.
analyze {partition} (claim_id, date_key, service_date, member_sk, provider_sk, plan_sk, status);

-- name: months_of_load
-- Months of service that the load touched. One row a month.
select distinct date_trunc('month', service_date)::date as month
from claims_raw
where load_id = %(load_id)s
order by month;

-- name: drop_known
-- Make room for the next load. No rows.
drop table known;
