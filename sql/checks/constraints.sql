-- Constraints of contracts in SQL: for the rows that break them, or asked of the rows of one load.

-- name: counted
-- How many rows, of a load or of all loads, each constraint of contracts can judge, and how many
-- break it, all in one scan. One row per constraint.
select
    v.rule,
    v.rows_checked,
    v.rows_judged,
    v.rows_failed
from (
    select {tallies}
    from {table}
    where {scope}
) as counted
cross join lateral (
    values
    {tallied}
) as v (rule, rows_checked, rows_judged, rows_failed);

-- name: counts_of_load
-- The counts of one constraint, nothing where it is not about the load. A fragment.
(  -- noqa: PRS, a row of values
    {name},
    case when {about} then row_count else 0 end,
    case when {about} then {judged} else 0 end,
    case when {about} then {failed} else 0 end
)

-- name: failing_keys
-- Some keys of the rows that break constraints which any row breaks, all in one scan.
-- One row per constraint.
select
    v.rule,
    v.failing_keys
from (
    select {tallies}
    from {table}
    where {scope}
) as found
cross join lateral (
    values
    {tallied}
) as v (rule, failing_keys);

-- name: loads_under
-- The loads that came under any of some contracts, those of every build. One row per load.
select f.load_id
from load_file as f
where f.contract = any({contracts});

-- name: loads_by_contract
-- The loads that came under contracts of senders, those of every build. One row per contract.
select
    contract,
    array_agg(load_id) as loads
from load_file
where contract is not null
group by contract;

-- name: columns
-- The columns that a table has. One row per column, none where there is no such table.
select a.attname as column_name
from pg_attribute as a
inner join pg_class as t on a.attrelid = t.oid
inner join pg_namespace as n on t.relnamespace = n.oid
where n.nspname = %(schema)s and t.relname = %(table)s
    and a.attnum > 0 and not a.attisdropped;
