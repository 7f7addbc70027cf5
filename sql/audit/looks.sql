-- What the server's log says of looks, brought into audit.look, and chains verified and shortened.

-- name: is_there
-- Whether the tables of audit are there. One row.
select to_regclass('audit.look') is not null;

-- name: lock
-- Bring looks one after the other; whoever reads them does not wait. No rows.
lock table audit.look in share row exclusive mode;

-- name: unrecorded
-- Settings that keep looks out of the log, or out of a log that can be read: of the server, and of
-- single logins or databases. One row per setting and place.
select
    s.name,
    s.value,
    s.place
from (
    values
    ('log_min_messages', current_setting('log_min_messages'), ''),
    ('log_destination', current_setting('log_destination'), '')
) as s (name, value, place)
where case s.name
    when 'log_min_messages' then s.value in ('fatal', 'panic')
    else s.value not like '%jsonlog%'
end
union all
select
    split_part(c.setting, '=', 1),
    split_part(c.setting, '=', 2),
    concat(' of ' || r.rolname, ' in ' || d.datname)
from pg_db_role_setting as o
cross join lateral unnest(o.setconfig) as c (setting)
left join pg_roles as r on o.setrole = r.oid
left join pg_database as d on o.setdatabase = d.oid
where c.setting in ('log_min_messages=fatal', 'log_min_messages=panic')
    and (d.datname is null or d.datname = current_database());

-- name: files_read
-- How far each file of the log was read. One row per file.
select
    file_name,
    bytes_read
from audit.log_read;

-- name: note_file
-- Note how far a file was read. One row.
insert into audit.log_read (file_name, bytes_read)
values (%(file_name)s, %(bytes_read)s)
on conflict (file_name) do update
    set
        bytes_read = excluded.bytes_read,
        read_at = excluded.read_at;

-- name: make_brought
-- Entries as they are read, before those that are there already are left out. No rows.
create temporary table brought on commit drop as
select {columns}
from audit.look
where false;

-- name: copy_brought
-- Take in entries. One row per entry.
copy brought ({columns}) from stdin;

-- name: add
-- Add the entries that are not there, by time; of a read that pgaudit records too, its line alone.
-- One row per entry.
insert into audit.look ({columns})
select {values}
from brought as b
where not exists (
    select 1
    from (
        select
            session_id,
            transaction_id,
            relation_name,
            source
        from brought
        union all
        select
            session_id,
            transaction_id,
            relation_name,
            source
        from audit.look
        where source = 'pgaudit'
    ) as p
    where p.source = 'pgaudit' and b.source = 'noted' and b.kind = 'look'
        and p.session_id = b.session_id and p.transaction_id = b.transaction_id
        and p.relation_name = b.relation_name
)
and not exists (
    select 1
    from audit.look as known
    where known.session_id = b.session_id and known.session_line = b.session_line
)
order by b.looked_at, b.session_id, b.session_line
on conflict do nothing
returning kind;

-- name: broken
-- Rows of a chain that are not as they came, and where rows are missing. previous_position is empty
-- for the first row. One row per break.
with rows_before as (
    select
        t.position,
        t.hash,
        lag(t.position) over by_position as previous_position,
        lag(t.hash) over by_position as previous_hash,
        t as entry
    from {chain} as t
    window by_position as (order by t.position)
),

deleted as (
    select
        through_position,
        last_hash
    from audit.deletion
    where chain = %(chain)s
    order by position desc
    limit 1
),

expected as (
    select
        r.position,
        r.previous_position,
        coalesce(r.previous_position, d.through_position, 0) as before,
        r.hash <> audit.link(coalesce(r.previous_hash, d.last_hash), r.entry) as is_changed
    from rows_before as r
    left join deleted as d on true
)

select
    position,
    before,
    is_changed
from expected
where is_changed or position <> before + 1
order by position;

-- name: head
-- The last row of a chain, or of its deleted rows if there is none. At most one row.
select
    position,
    hash
from (
    select
        position,
        hash
    from {chain}
    union all
    select
        through_position,
        last_hash
    from audit.deletion
    where chain = %(chain)s
) as h
order by position desc
limit 1;

-- name: hash_at
-- The hash of a row of a chain, also of the last that was deleted. At most one row.
select hash
from {chain}
where position = %(position)s
union all
select last_hash
from audit.deletion
where chain = %(chain)s and through_position = %(position)s
limit 1;

-- name: old
-- The rows at the beginning of a chain that are older than six years: how many, the last one and
-- its hash. One row.
with old as (
    select
        t.position,
        t.hash
    from {chain} as t
    where t.position < coalesce(
        (select min(n.position) from {chain} as n where n.{written_at} >= %(before)s),
        9223372036854775807
    )
)

select
    count(*) as rows_deleted,
    max(position) as through_position,
    (select o.hash from old as o order by o.position desc limit 1) as last_hash
from old;

-- name: note_deletion
-- Note what is deleted of a chain, with what is needed to verify the rest. One row.
insert into audit.deletion
(chain, rows_deleted, through_position, last_hash, older_than, os_user)
values (
    %(chain)s, %(rows_deleted)s, %(through_position)s, %(last_hash)s, %(before)s, %(os_user)s
);

-- name: allow_deletion
-- For this transaction, let rows of a chain be deleted. No rows.
alter table {chain} disable trigger {trigger};

-- name: delete
-- Delete the rows at the beginning of a chain. One row per row.
delete from {chain}
where position <= %(through_position)s;

-- name: refuse_deletion
-- Rows of a chain are only added again. No rows.
alter table {chain} enable trigger {trigger};

-- name: who_looked
-- Who looked at a member, as audit.who_looked says. One row per look.
select *
from audit.who_looked(%(member)s, %(since)s, %(until)s);

-- name: add_disclosure
-- Enter a disclosure. One row.
insert into audit.disclosure (disclosed_on, member_id, recipient, what, purpose, os_user)
values (
    coalesce(%(day)s, current_date), %(member)s, %(recipient)s, %(what)s, %(purpose)s, %(os_user)s
)
returning disclosed_on;

-- name: member_is_known
-- Whether there is or was such a member. One row.
select
    exists (select 1 from warehouse.dim_member as m where m.member_id = %(member)s)
    or exists (select 1 from audit.disclosure as d where d.member_id = %(member)s);

-- name: disclosures
-- What was disclosed of a member in the six years before today. One row per disclosure.
select
    disclosed_on,
    recipient,
    what,
    purpose
from audit.disclosure
where member_id = %(member)s and disclosed_on >= current_date - interval '6 years'
order by disclosed_on, position;
