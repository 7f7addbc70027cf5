-- Erasure. Numbers and values in clear come by COPY into temporary tables alone, so that no text
-- of a statement, no parameter and no log contains one; the key of the tokens never comes here.

-- name: create_members
-- The members to erase. One row per member.
create temporary table erased_member (
    member_id text primary key,
    token text not null
) on commit drop;

-- name: create_values
-- The direct values of these members. One row per identifier and value.
create temporary table erased_value (
    identifier text,
    value text,
    token text not null,
    primary key (identifier, value)
) on commit drop;

-- name: create_lines
-- Texts of whole rows as they are to be. One row per text.
create temporary table erased_line (
    row_id bigint primary key,
    line text not null
) on commit drop;

-- name: empty_lines
-- Make room for the texts of another table. No rows.
truncate erased_line;

-- name: fill
-- Stream rows into one of these tables. One row per row.
copy {table} from stdin;

-- name: anywhere
-- Every row of a table. A fragment.
true  -- noqa: PRS, a condition

-- name: of_load
-- The rows of a load. A fragment.
r.load_id = %(load_id)s  -- noqa: PRS, a condition

-- name: numbers
-- The numbers of members that a table has. One row per number.
select distinct r.{number}
from {table} as r
where r.{number} is not null and {scope};

-- name: direct_values
-- The direct values of the members to erase. One row per identifier and value.
select distinct
    v.identifier,
    v.value
from {table} as r
inner join erased_member as e on r.{number} = e.member_id
cross join lateral (values {pairs}) as v (identifier, value)
where v.value is not null and {scope};

-- name: people
-- What the rows of erased members say of them besides the number. One row per different saying.
select distinct
    {number},
    {email},
    {names},
    extract(year from {born})::text
from {table}
where {number} = any(%(tokens)s);

-- name: tokenize
-- Give the rows of the members to erase their tokens. One row per row.
update {table} as r
set {assignments}
from erased_member as e
where r.{number} = e.member_id and {scope};

-- name: token_of_member
-- A member's number. A fragment.
{column} = e.token  -- noqa: PRS, an assignment

-- name: token_of_value
-- A direct value. A fragment.
{column} = (  -- noqa: PRS, an assignment
    select v.token
    from erased_value as v
    where v.identifier = {identifier} and v.value = r.{column}
)

-- name: strip
-- Let of a birth date stay its year, and of a ZIP code nothing. One row per row.
update {table} as r
set {assignments}
where r.{number} = any(%(tokens)s) and {scope};

-- name: first_of_year
-- A birth date. A fragment.
{column} = date_trunc('year', r.{column})::date  -- noqa: PRS, an assignment

-- name: nothing
-- What is not kept. A fragment.
{column} = null  -- noqa: PRS, an assignment

-- name: rehash
-- Make the hashes of these members' versions again. One row per version.
update {table} as v
set attr_hash = {hash_of_v}
where v.{number} = any(%(tokens)s);

-- name: triggers
-- The triggers of a table but for those that keep the limited copy, which has to follow. One row per
-- trigger, with the statements that disable it and enable it again.
select
    format('alter table %%s disable trigger %%I', g.tgrelid::regclass, g.tgname) as disable_it,
    format('alter table %%s enable trigger %%I', g.tgrelid::regclass, g.tgname) as enable_it
from pg_trigger as g
inner join pg_proc as p on g.tgfoid = p.oid
where g.tgrelid = to_regclass(%(table)s) and not g.tgisinternal and p.proname <> 'keep_limited';

-- name: relations
-- The tables of the warehouse, also of builds that were replaced and are kept, with their columns
-- and the categories of their types, and whether they have triggers. One row per table.
select
    n.nspname as schema_name,
    c.relname as relation_name,
    array_agg(a.attname::text order by a.attnum) as columns,
    array_agg(t.typcategory::text order by a.attnum) as categories,
    exists (
        select 1
        from pg_trigger as g
        where g.tgrelid = c.oid and not g.tgisinternal
    ) as has_triggers
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
inner join pg_type as t on a.atttypid = t.oid
where n.nspname ~ %(schemas)s and (n.nspname !~ %(histories)s or {schema/layout.is_history})
    and c.relkind in ('r', 'p') and not c.relispartition
group by n.nspname, c.relname, c.oid
order by n.nspname, c.relname;

-- name: forget_new_codes
-- A member who was erased before has a code: drop one that was given since. One row per member.
delete from access.member_crosswalk as c
using erased_member as e
where c.member_id = e.member_id
    and exists (select 1 from access.member_crosswalk as x where x.member_id = e.token);

-- name: rejected_keys
-- Give keys that rejected rows name their tokens. One row per load and key.
update {table} as r
set key = array_replace(r.key, e.member_id, e.token)
from erased_member as e
where r.feed = any(%(feeds)s) and r.key @> array[e.member_id];

-- name: failing_keys
-- Give keys of failing rows their tokens. One row per result.
update {table} as r
set
    failing_keys = (
        select
            jsonb_agg(
                case
                    when e.token is null then k.item
                    else jsonb_set(k.item, array[%(number)s], to_jsonb(e.token))
                end
                order by k.place
            )
        from jsonb_array_elements(r.failing_keys) with ordinality as k (item, place)
        left join erased_member as e on k.item ->> %(number)s = e.member_id
    )
where exists (
    select 1
    from jsonb_array_elements(r.failing_keys) as k (item)
    inner join erased_member as e on k.item ->> %(number)s = e.member_id
);

-- name: quarantined_lines
-- Texts of rejected rows that may name a member to erase, all of those whose contract makes the
-- number of several fields. One row per text.
select
    t.rejected_row_id as row_id,
    q.feed,
    f.contract,
    f.header,
    f.findings,
    t.raw_line as line
from {table} as t
inner join {rows} as q on t.rejected_row_id = q.rejected_row_id
inner join {files} as f on q.load_id = f.load_id and q.feed = f.feed
where f.contract = any(%(making)s)
    or exists (select 1 from erased_member as e where strpos(t.raw_line, e.member_id) > 0)
    or exists (
        select 1
        from erased_value as v
        where v.identifier = any(%(said)s) and strpos(t.raw_line, v.value) > 0
    );

-- name: corrections
-- Texts of corrected rows that may name a member to erase. One row per text.
select
    row_number() over (order by c.feed, c.xxh3_128, c.line, c.load_id) as row_id,
    c.feed,
    (
        select f.contract
        from {files} as f
        where f.feed = c.feed and f.xxh3_128 = c.xxh3_128
        order by f.load_id desc
        limit 1
    ) as contract,
    c.columns as header,
    (
        select f.findings
        from {files} as f
        where f.feed = c.feed and f.xxh3_128 = c.xxh3_128
        order by f.load_id desc
        limit 1
    ) as findings,
    c.record as line
from {table} as c;

-- name: change_quarantined
-- Put the texts of rejected rows in their places. One row per text.
update {table} as t
set raw_line = e.line
from erased_line as e
where t.rejected_row_id = e.row_id;

-- name: change_corrections
-- Put the texts of corrected rows in their places. One row per text.
update {table} as t
set record = e.line
from (
    select
        c.ctid as place,
        row_number() over (order by c.feed, c.xxh3_128, c.line, c.load_id) as row_id
    from {table} as c
) as c
inner join erased_line as e on c.row_id = e.row_id
where t.ctid = c.place;

-- name: lines_in_inbox
-- Where files of the inbox name the members to erase; without a header, the first row is on line 1.
-- One row per batch, file and line.
select distinct
    l.batch_id,
    p.file_name,
    s.source_line - read_as.first_line + 2 as line
from {table} as s
inner join erased_member as e on s.{number} = e.member_id
inner join ledger.load_file_part as read_as
    on s.load_id = read_as.load_id
    and read_as.feed = {feed}
    and read_as.first_line = (
        select max(x.first_line)
        from ledger.load_file_part as x
        where x.load_id = s.load_id and x.feed = {feed}
            and x.first_line <= greatest(s.source_line, 2)
    )
inner join ledger.load_file_part as p
    on read_as.feed = p.feed and read_as.xxh3_128 = p.xxh3_128
inner join ledger.load as l on p.load_id = l.load_id
order by l.batch_id, p.file_name, line;

-- name: lines_of_quarantine
-- Where files of the inbox have rejected rows. One row per batch, file and line.
select distinct
    l.batch_id,
    q.file,
    q.file_line
from quality.rejected_row as q
inner join ledger.load as l on q.load_id = l.load_id
where q.rejected_row_id = any(%(ids)s)
order by l.batch_id, q.file, q.file_line;

-- name: erased
-- The members who were erased. One row per member.
select
    member_token,
    through_load_id,
    key_check
from access.erased;

-- name: add_erased
-- Enter that the members were erased. One row per member.
insert into access.erased (member_token, why, through_load_id, key_check)
select
    token,
    %(why)s,
    (select coalesce(max(l.load_id), 0) from ledger.load as l),
    %(key_check)s
from unnest(%(tokens)s::text[]) as t (token)
on conflict (member_token) do update set files_done_at = null;

-- name: move_erased
-- Let the erasures of a rebuild be at their places among its loads. One row per member.
update access.erased as e
set through_load_id = m.load_id
from unnest(%(tokens)s::text[], %(load_ids)s::bigint[]) as m (token, load_id)
where e.member_token = m.token;

-- name: files_are_due
-- Whether an erasure was committed whose files were not seen to. One row.
select exists (select 1 from access.erased where files_done_at is null);

-- name: files_done
-- Enter that files and free space were seen to. One row per member.
update access.erased
set files_done_at = clock_timestamp()
where files_done_at is null;

-- name: vacuum
-- Free the space of rows as they were, and take statistics of the values that are there now.
vacuum (analyze) {table};

-- name: evidence
-- How many looks and disclosures name the members to erase. One row.
select
    (
        select count(*)
        from audit.look as l
        inner join erased_member as e
            on strpos(coalesce(l.statement, ''), e.member_id) > 0
            or strpos(coalesce(l.parameters, ''), e.member_id) > 0
    ) + (
        select count(*)
        from audit.disclosure as d
        inner join erased_member as e on d.member_id = e.member_id
    );

-- name: is_held
-- Whether one of the members to erase is under legal hold. One row.
select exists (
    select 1
    from access.legal_hold as h
    inner join erased_member as e on h.member_id = e.member_id
    where h.released_at is null
);

-- name: is_known
-- Whether the warehouse has a member. One row.
select exists (
    select 1
    from dim_member
    where member_id = %(member_id)s and member_sk > 0
    union all
    select 1
    from members_raw
    where member_id = %(member_id)s
);

-- name: place_hold
-- Put a member under legal hold, who is not yet. One row.
insert into access.legal_hold (member_id, why)
select
    %(member_id)s,
    %(why)s
where not exists (
    select 1 from access.legal_hold where member_id = %(member_id)s and released_at is null
);

-- name: release_hold
-- End the legal hold of a member. One row per hold.
update access.legal_hold
set released_at = clock_timestamp()
where member_id = %(member_id)s and released_at is null;

-- name: is_erased
-- Whether a number is the token of a member who was erased. A fragment.
{number} in (  -- noqa: PRS, a condition
    select member_token from access.erased
)

-- name: enter_archive
-- Let the ledger have the checksums of a folder of the archive as it is. One row per file.
with changed as (
    update ledger.retention_run
    set manifest_sha256 = %(manifest_sha256)s
    where archive_folder = %(archive_folder)s
    returning retention_run_id
)

update ledger.retention_file as f
set
    sha256 = m.sha256,
    size_bytes = m.size_bytes
from changed as c
cross join unnest(
    %(file_names)s::text[], %(checksums)s::text[], %(sizes)s::bigint[]
) as m (file_name, sha256, size_bytes)
where f.retention_run_id = c.retention_run_id and f.file_name = m.file_name;
