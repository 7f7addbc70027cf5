-- The codes that persons and keys have in masked schemas. Each is random, drawn from the server's
-- strong random numbers, and stays whatever is loaded again.

-- name: is_empty
-- Whether no member has a code yet. One row.
select not exists (select 1 from access.member_crosswalk);

-- name: add_members
-- A code for each member who has none, of those with these keys or, if whole, of all. Nobody, as
-- the dimension has them and as cubes do, stays as they are. One row per member.
insert into access.member_crosswalk (member_id, limited_ref, safe_harbor_ref)
select
    n.member_id,
    case when n.is_nobody then n.member_id else gen_random_uuid()::text end,
    case when n.is_nobody then n.member_id else gen_random_uuid()::text end
from (
    select distinct
        m.member_id,
        m.member_sk < 0 as is_nobody
    from dim_member as m
    where %(whole)s
        or m.member_sk < 0
        or m.member_sk = any(%(keys)s::bigint[])
    union all
    select
        %(no_member)s,
        true
) as n
where not exists (
    select 1 from access.member_crosswalk as c where c.member_id = n.member_id
);

-- name: add_keys
-- Codes for the surrogate keys above the highest one that has them; -1 stays. One row per key.
-- Of a random identifier the last eight bytes have 62 random bits, and the first eight 60: all but
-- the four that say of which version it is.
insert into access.member_key (member_sk, limited_sk, safe_harbor_sk)
select
    -1,
    -1,
    -1
where not exists (select 1 from access.member_key)
union all
select
    s.member_sk,
    substring(s.random_bytes from 9)::bigint & 4611686018427387903,
    substring(s.random_bytes from 1 for 8)::bigint & 4611686018427387903
from (
    select
        n.member_sk,
        uuid_send(gen_random_uuid()) as random_bytes
    from generate_series(
        (
            select coalesce(max(k.member_sk), 0) + 1
            from access.member_key as k
            where k.member_sk > 0
        ),
        (select max(m.member_sk) from dim_member as m)
    ) as n (member_sk)
) as s;

-- name: analyze
-- Refresh what the planner knows of the codes. No rows.
analyze access.member_crosswalk, access.member_key;
