-- Versions: what every row of a slowly changing dimension consists of, whoever makes it.

-- name: complete
-- Versions with all columns of their table: a query gives their keys, values and validity, and
-- other dimensions the surrogate keys that they take from there. One row per version.
select
    v.{sk},
    {columns_of_v},
    {lookup_values}
    v.validity_start_ts,
    v.validity_end_ts,
    v.validity_end_ts = {open_end} as current_flag,
    v.attr_hash,
    %(hash_version)s::smallint as hash_version,
    v.is_inferred,
    %(load_id)s::bigint as load_id,
    now() as created_at,
    v.known_from_ts
from ({given}) as v
{lookup_joins};

-- name: insert
-- Add versions. One row per version.
insert into {dim} ({table_columns})
select {table_columns}
from ({versions}) as v;

-- name: unknown_version
-- The key of the row that facts without a key point at, once. One row.
select
    -1::bigint as {sk},
    {unknown_key},
    false as is_inferred
where not exists (select 1 from {dim} where {sk} = -1);

-- name: inferred_versions
-- Keys that facts name and the dimension does not have, numbered in key order. One row per key.
select
    %(last_sk)s + row_number() over (order by {keys}) as {sk},
    {keys},
    true as is_inferred
from unknown_key;

-- name: without_values
-- A version for all time of each key that a query gives, of which no feed has said anything.
-- One row per key.
select
    {sk},
    {keys},
    {values_missing},
    {beginning} as validity_start_ts,
    {open_end} as validity_end_ts,
    {hash_of_nothing} as attr_hash,
    is_inferred,
    null::timestamp as known_from_ts
from ({keys_given}) as k;

-- name: last_sk
-- The highest surrogate key ever given. One row.
select greatest(
    0,
    (select max({sk}) from {dim}),
    (select max({sk}) from {past})
);

-- name: analyze
-- Statistics of the columns by which versions are looked up. No rows.
analyze {dim} ({looked_up});

-- name: hash_version
-- By which definition the hashes of the dimension were made. At most one row.
select hash_version from {dim}
where {sk} = -1;

-- name: rehash
-- Give the versions the hashes of the new definition; no version is made. One row per version.
update {dim} as v
set
    attr_hash = {hash_of_v},
    hash_version = %(hash_version)s;
