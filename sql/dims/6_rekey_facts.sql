-- Re-key: facts of a version whose validity was shortened get the version of their own date.
--
-- before:
--   member_sk | member_id | last_name | valid_from | valid_until
--   1         | A         | Ames      | 1900-01-01 | 9999-12-31
--
-- facts before:
--   claim_id | member_id | service_date | member_sk
--   C1       | A         | 2025-01-15   | 1
--   C2       | A         | 2025-02-15   | 1
--
-- arrivals, delta as of 2025-02-01:
--   member_id | last_name
--   A         | Archer
--
-- after, the facts:
--   claim_id | service_date | member_sk
--   C1       | 2025-01-15   | 1
--   C2       | 2025-02-15   | 2

-- name: create_shortened
-- Versions whose validity was, or may have been, shortened: facts of that time have to find
-- another. One row per version, with the instant from which on its facts may be concerned, and why.
create temporary table shortened on commit drop as
select
    {sk} as old_sk,
    {keys},
    validity_start_ts as from_ts,
    ''::text as reason
from {dim}
with no data;

-- name: add_changed
-- Versions that a change replaced. One row per version.
insert into shortened (old_sk, {keys}, from_ts, reason)
select
    current_sk,
    {keys},
    effective_ts,
    'changed'
from arrival
where class = 'changed';

-- name: add_rebuilt
-- Versions whose key had its history rebuilt. One row per version.
insert into shortened (old_sk, {keys}, from_ts, reason)
select
    x.existing_sk,
    {keys},
    %(since)s,
    case when x.is_inferred then 'completed' else %(reason)s end
from key_to_rebuild as k
inner join existing_version as x on k.key_id = x.key_id;

-- name: earliest_shortened
-- From which date on facts may be concerned; nothing if none are. One row.
select
    count(*) as versions,
    min(from_ts)::date as from_date
from shortened;

-- name: create_map
-- Which version the facts of these versions belong to, by their date: the one in force, or, where
-- the key was gone, the last one before it. One row per shortened version and other version.
create temporary table version_map on commit drop as
select
    o.old_sk,
    n.new_sk,
    o.reason,
    greatest(o.from_ts::date, n.validity_start_ts) as from_ts,
    n.next_ts
from shortened as o
cross join lateral (
    select
        d.{sk} as new_sk,
        d.validity_start_ts,
        lead(d.validity_start_ts, 1, 'infinity') over (order by d.validity_start_ts) as next_ts
    from {dim} as d
    where {same_key_d_o}
) as n
where n.new_sk <> o.old_sk and n.next_ts > o.from_ts::date;

-- name: rekey
-- Point the facts of these versions at those of their own date, and enter in the ledger how many
-- and why. One row per reason.
with rekeyed as (
    update {fact} as f
    set {sk} = m.new_sk
    from version_map as m
    where f.{sk} = m.old_sk and f.{date} >= %(from_date)s
        and f.{date} >= m.from_ts and f.{date} < m.next_ts
    returning
        m.reason,
        f.{date} as fact_date
)

insert into fact_rekey (load_id, fact, dimension, reason, facts, first_date, last_date)
select
    %(load_id)s,
    %(fact)s,
    %(dimension)s,
    reason,
    count(*),
    min(fact_date),
    max(fact_date)
from rekeyed
group by reason
returning facts;
