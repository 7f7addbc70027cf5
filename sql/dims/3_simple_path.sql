-- The simple path: arrivals that are the latest of their key end the current version and add one.
-- Here last_name is a Type 2 attribute, and call_count one of Type 1.
--
-- before:
--   member_id | last_name | call_count | valid_from | valid_until
--   A         | Ames      | 1          | 1900-01-01 | 9999-12-31
--   B         | Bell      | 1          | 1900-01-01 | 9999-12-31
--
-- arrivals, delta as of 2025-02-01:
--   member_id | last_name | call_count
--   A         | Archer    | 2
--   B         | Bell      | 5
--   C         | Cole      | 1
--
-- after, the dimension:
--   member_id | last_name | call_count | valid_from | valid_until
--   A         | Ames      | 2          | 1900-01-01 | 2025-02-01
--   A         | Archer    | 2          | 2025-02-01 | 9999-12-31
--   B         | Bell      | 5          | 1900-01-01 | 9999-12-31
--   C         | Cole      | 1          | 1900-01-01 | 9999-12-31

-- name: has_markers
-- Whether the load has a delete marker. One row.
select exists(select 1 from {staging} as s where s.load_id = %(load_id)s and {marked});

-- name: first_versions
-- The first versions of a load that has each key once; surrogate keys are the places of the rows
-- in the file. One row per version.
select
    v.source_line - 1 as {sk},
    {columns},
    {beginning} as validity_start_ts,
    {open_end} as validity_end_ts,
    {hash_of_v} as attr_hash,
    false as is_inferred,
    effective_ts as known_from_ts
from (
    select
        source_line,
        {typed_columns},
        {effective} as effective_ts
    from {staging} as s
    where load_id = %(load_id)s
) as v;

-- name: fill
-- A dimension with only its unknown row, plus the versions of a load. One row per version.
create table {filled} as
select {table_columns}
from {dim}
union all
select {table_columns}
from ({versions}) as v;

-- name: disable_overlap_guard
-- Disable the guard while only first versions of new keys come, each of them current from 1900
-- on: the unique index on current versions then forbids overlaps. No rows.
alter table {dim} disable trigger {guard};

-- name: enable_overlap_guard
-- Enable the guard again. No rows.
alter table {dim} enable trigger {guard};

-- name: complete_inferred
-- Fill the row that a fact made, now that its feed has come; its surrogate key stays.
-- One row per version.
update {dim} as d
set
    {assign_values},
    {lookup_assign}
    is_inferred = false,
    attr_hash = v.attr_hash,
    hash_version = %(hash_version)s,
    load_id = %(load_id)s,
    known_from_ts = v.effective_ts
from arrival as v
{lookup_joins}
where v.class = 'inferred' and not v.is_deleted and d.{sk} = v.current_sk;

-- name: close_replaced
-- End the versions that a change replaces or a delete marker removes. One row per version ended.
update {dim} as d
set
    validity_end_ts = a.effective_ts,
    current_flag = false
from arrival as a
where a.class in ('changed', 'gone') and d.{sk} = a.current_sk;

-- name: close_absent
-- A snapshot that no longer names a key ends its current version at the snapshot's time.
-- One row per version ended.
update {dim} as d
set
    validity_end_ts = %(as_of)s::timestamptz at time zone 'UTC',
    current_flag = false
from arrival as a
where a.class = 'absent' and d.{sk} = a.current_sk;

-- name: arrived_versions
-- The versions that arrivals add; surrogate keys follow the lines of the file. One row per version.
select
    %(last_sk)s + row_number() over (order by source_line) as {sk},
    {columns},
    case when class = 'changed' then effective_ts else {beginning} end as validity_start_ts,
    {open_end} as validity_end_ts,
    attr_hash,
    false as is_inferred,
    effective_ts as known_from_ts
from arrival
where class in ('new', 'changed') and not is_deleted;

-- name: correct_type_1
-- Correct the Type 1 attributes on every version of the keys that the load corrects.
-- One row per version touched.
update {dim} as d
set {assign_type_1}
from arrival as v
where v.corrects and {same_key_d_v} and {type_1_differ};
