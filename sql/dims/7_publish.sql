-- Publish: on a cluster a dimension is changed in schema history on the coordinator, with its guard
-- and its past, and facts and readers find a table with the same rows on every node. Here version 1
-- is updated and version 2 added before facts are re-keyed; what history has no more would go after
-- that.
--
-- before, published:
--   member_sk | member_id | last_name | valid_from | valid_until
--   1         | A         | Ames      | 1900-01-01 | 9999-12-31
--
-- arrivals, delta as of 2025-02-01:
--   member_id | last_name
--   A         | Archer
--
-- after, published:
--   member_sk | member_id | last_name | valid_from | valid_until
--   1         | A         | Ames      | 1900-01-01 | 2025-02-01
--   2         | A         | Archer    | 2025-02-01 | 9999-12-31

-- name: bring
-- Bring versions that are new or changed to what is published. Only a statement that inserts may
-- read what one node alone has, so this one updates too. One row per version.
insert into {published} ({columns})
select {columns}
from {dim} as d
where not exists (
    select 1
    from {published} as p
    where {same_version} and p is not distinct from d
)
on conflict ({sk}) do update set {assign_columns};

-- name: gone
-- The surrogate keys of versions that history has no more. One row.
select array_agg(p.{sk})
from {published} as p
where not exists (
    select 1
    from {dim} as d
    where {same_version}
);

-- name: withdraw
-- Take them from what is published. One row per version.
delete from {published}
where {sk} = any(%(gone)s);
