-- Clauses of contracts in SQL, where the rows that break them are wanted or a few rows are asked.

-- name: counted
-- The rows of a table that break clauses of its contract, all in one scan. One row a clause.
select
    v.rule,
    counted.rows_checked,
    v.rows_failed,
    v.failing_keys
from (
    select
        count(*) as rows_checked,
        {tallies}
    from {table}
    where {scope}
) as counted
cross join lateral (
    values
    {tallied}
) as v (rule, rows_failed, failing_keys);
