-- What the measurement of peers runs itself: the raw table before, what peers that are libraries
-- need, keys afterwards, and what is in the history.

-- name: create_raw_schema
-- Where members are brought as they are for peers that do not read files.
create schema if not exists raw;

-- name: drop_raw
-- Room for the next file.
drop table if exists raw.members;

-- name: create_dimension
-- The table that pygrametl writes to: it makes none itself, and looks members up by their key.
-- One row per version.
create table members (
    member_sk bigint primary key,
    {column_types},
    version integer not null,
    valid_from timestamptz not null,
    valid_to timestamptz,
    unique (member_id, version)
);

-- name: copy_rows
-- Rows of a data frame. One row per line.
copy {table} ({columns}) from stdin with (format csv);

-- name: current_versions
-- What a data frame is compared with. One row per member.
select {columns}
from members
where valid_to is null;

-- name: end_versions
-- End the current versions of the members in ended. One row per member.
update members as m
set valid_to = %(as_of)s::timestamptz
from ended as e
where m.member_id = e.member_id and m.valid_to is null;

-- name: analyze
-- Statistics as autovacuum would have gathered them until the next file comes.
analyze;

-- name: create_copy
-- The database as it is after the first load, to go on from there a second time.
create database {database} template {original} strategy file_copy; -- noqa: PRS

-- name: create_gist
-- Equality for the exclusion constraint.
create extension if not exists btree_gist;

-- name: add_primary_key
-- A key for facts to point at, unless the peer has one.
alter table {table} add primary key ({columns});

-- name: add_unique
-- One version a member and start.
alter table {table} add unique (member_id, {valid_from});

-- name: add_unique_current
-- One current version a member.
create unique index on {table} (member_id)
where {is_current};

-- name: add_no_overlap
-- No two versions of a member at one time.
alter table {table}
add exclude using gist (member_id with =, {period}({valid_from}, {valid_to}) with &&);

-- name: versions
-- What is in a history. One row.
select
    count(*) as versions,
    count(*) filter (where {is_current}) as current_versions,
    count(distinct member_id) filter (where {is_current}) as members,
    count(*) filter (where {is_current} and last_name like 'New%%') as renamed
from {table}
where {is_member};

-- name: guards
-- The guarantees on a table: kinds of keys, constraints and triggers. One row per kind.
select kind
from (
    select
        case contype
            when 'p' then 'primary key'
            when 'u' then 'unique'
            when 'x' then 'no overlap'
            when 'c' then 'check'
            when 'f' then 'foreign key'
        end as kind
    from pg_catalog.pg_constraint
    where conrelid = %(table)s::regclass and contype in ('p', 'u', 'x', 'c', 'f')
    union
    select case when i.indpred is null then 'unique' else 'unique current' end as kind
    from pg_catalog.pg_index as i
    where i.indrelid = %(table)s::regclass
        and i.indisunique
        and not exists (
            select 1
            from pg_catalog.pg_constraint as c
            where c.conindid = i.indexrelid
        )
    union
    select 'trigger' as kind
    from pg_catalog.pg_trigger
    where tgrelid = %(table)s::regclass and not tgisinternal
) as found
order by
    array_position(
        array['primary key', 'unique', 'unique current', 'no overlap', 'check', 'foreign key'], kind
    );
