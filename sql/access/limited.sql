-- The limited copy of the member dimension: a table with each version as the limited standard shows
-- it, its codes as columns. A report that joins members then has the owner's plan.

-- name: rows
-- What dim_member_limited has to contain: the masked rows that have both codes, each with the
-- surrogate key of its version.
select
    k.member_sk as version_sk,
    m.*
from {shown} as m
inner join access.member_key as k on m.member_sk = k.limited_sk
where m.member_id is not null;

-- name: dimension
-- {relation}.
select {columns}
from {copy} as m;

-- name: remove_differing
-- Take from the copy what is not in it as it has to be. One row per row.
delete from {copy} as l
where not exists (
    select 1
    from {due} as r
    where l.version_sk = r.version_sk and (l is not distinct from r)
);

-- name: add_missing
-- Add to the copy what it lacks. One row per row.
insert into {copy}
select r.*
from {due} as r
where not exists (select 1 from {copy} as l where l.version_sk = r.version_sk);

-- name: add_scope
-- Note of which states the versions of the copy are that surrogate keys are of. One row.
select follow_scope(%(keys)s::bigint[]);

-- name: add_scopes
-- The same of all versions of a copy that was empty. One row per state and part of the keys.
insert into {scope} (state, part, bits)
select
    m.state,
    (m.version_sk + 1) >> 12,
    bit_or(set_bit(0::bit(4096), ((m.version_sk + 1) & 4095)::integer, 1))
from {copy} as m
where m.state is not null
group by m.state, (m.version_sk + 1) >> 12;

-- name: remove_scopes
-- Forget of which states versions are. One row per state and part of the keys.
delete from {scope};

-- name: lacking
-- The surrogate keys of the versions that the copy lacks: new ones, and any that came when its
-- member had no code, also where the key was another member's before. One row.
select coalesce(array_agg(m.member_sk), array[]::bigint[])
from dim_member as m
where not exists (select 1 from {copy} as l where l.version_sk = m.member_sk);

-- name: lacking_of_load
-- The surrogate keys of the versions that a load made and the copy lacks. One row.
select coalesce(array_agg(m.member_sk), array[]::bigint[])
from dim_member as m
where m.load_id = %(load_id)s
    and not exists (select 1 from {copy} as l where l.version_sk = m.member_sk);

-- name: add
-- Add to the copy the versions with these surrogate keys. One row per row.
insert into {copy}
select r.*
from {due} as r
where r.version_sk = any(%(keys)s::bigint[]);
