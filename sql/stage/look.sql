-- name: look
-- What is seen of a load in one pass: whether any row has a value of each kind that is looked for,
-- how many say that they run on, by column, and what all rows add up to. One row.
select
    array[{kinds}]::boolean[] as kinds,
    array[{open_ends}]::bigint[] as ends,
    count(*) as rows_staged,
    {totals} as sums,
    max({effective}) as latest_effective_ts
from {table}
where load_id = %(load_id)s;
