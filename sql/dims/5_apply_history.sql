-- Apply: change the dimension where it differs from the rebuilt history, and nowhere else.
-- Here version 1 is shortened, version 3 added, and version 2 left alone.
--
-- before:
--   member_sk | member_id | last_name | valid_from | valid_until
--   1         | A         | Ames      | 1900-01-01 | 2025-03-01
--   2         | A         | Archer    | 2025-03-01 | 9999-12-31
--
-- arrivals, delta as of 2025-04-01:
--   member_id | last_name | source_updated_at
--   A         | Abbott    | 2025-02-01T00:00:00Z
--
-- after, the dimension:
--   member_sk | member_id | last_name | valid_from | valid_until
--   1         | A         | Ames      | 1900-01-01 | 2025-02-01
--   3         | A         | Abbott    | 2025-02-01 | 2025-03-01
--   2         | A         | Archer    | 2025-03-01 | 9999-12-31

-- name: create_differing
-- Keys whose history is not as it has to be: a version is missing, or is not as it should be, or
-- should not be. One row per key.
create temporary table differing on commit drop as
select v.key_id
from rebuilt as v
left join {dim} as d on v.existing_sk = d.{sk}
where d.{sk} is null
    or d.is_inferred
    or d.validity_end_ts <> v.validity_end_ts
    or d.known_from_ts is distinct from v.known_from_ts
    or {drivers_differ}
    or {type_1_differ}
union
select x.key_id
from existing_version as x
where not exists (
    select 1
    from rebuilt as v
    where v.existing_sk = x.existing_sk
);

-- name: remove_unchanged_keys
-- Keys whose history is as it has to be are left alone. One row per key.
delete from key_to_rebuild as k
where not exists (
    select 1
    from differing as d
    where d.key_id = k.key_id
);

-- name: remove_unchanged_versions
-- Versions of keys that are left alone need not be made. One row per version.
delete from rebuilt as v
where not exists (
    select 1
    from key_to_rebuild as k
    where k.key_id = v.key_id
);

-- name: defer_keys
-- A version may go before its facts are re-keyed: by the commit they are. No rows.
set constraints all deferred;

-- name: drop_orphaned_versions
-- Versions that the rebuilt history no longer has. One row per version.
delete from {dim} as d
using existing_version as x
where d.{sk} = x.existing_sk
    and x.key_id in (select key_id from key_to_rebuild)
    and not exists (
        select 1
        from rebuilt as v
        where v.existing_sk = x.existing_sk
    );

-- name: shorten
-- Bring forward the ends that come earlier in the rebuilt history. One row per version.
update {dim} as d
set
    validity_end_ts = v.validity_end_ts,
    current_flag = false
from rebuilt as v
where d.{sk} = v.existing_sk and v.validity_end_ts < d.validity_end_ts;

-- name: rewrite
-- Make the versions that stay agree with the rebuilt history. One row per version.
update {dim} as d
set
    {assign_values},
    {lookup_assign}
    validity_end_ts = v.validity_end_ts,
    current_flag = v.validity_end_ts = {open_end},
    is_inferred = false,
    attr_hash = {hash_of_v},
    hash_version = %(hash_version)s,
    load_id = case when d.is_inferred or {drivers_differ} then %(load_id)s else d.load_id end,
    known_from_ts = v.known_from_ts
from rebuilt as v
{lookup_joins}
where d.{sk} = v.existing_sk
    and (
        d.is_inferred
        or d.validity_end_ts <> v.validity_end_ts
        or d.known_from_ts is distinct from v.known_from_ts
        or {drivers_differ}
        or {type_1_differ}
    );

-- name: added_versions
-- The versions that the rebuilt history adds, in key order. One row per version.
select
    %(last_sk)s + row_number() over (order by key_id, validity_start_ts) as {sk},
    {columns},
    validity_start_ts,
    validity_end_ts,
    {hash_of_v} as attr_hash,
    false as is_inferred,
    known_from_ts
from rebuilt as v
where existing_sk is null;
