-- Who looked at whom: how a read is noted, and how the record is kept from being changed.

-- name: noted
-- Notes in the server's log that the session reads a relation; always true.
--
-- Policies call it in a sub-select, so once per statement and relation. No setting that a reader
-- may change keeps the line out of the log, and no rollback takes it away. The settings make its
-- context one text, by which a line that somebody else raises shows that it is none.
create or replace function {schema}.noted(relation text) returns boolean
language plpgsql stable parallel restricted cost 1000
set search_path = '' set quote_all_identifiers = off
as $noted$
begin
    raise log 'aca.noted %', json_build_object(
        'relation', relation,
        'statement_at', statement_timestamp(),
        'statement', current_query()
    );
    return true;
end
$noted$;

-- name: noted_from
-- The same, as a list of the value given: a condition that compares a column with it can be part of
-- what is looked up in an index, and so is noted where no row is found.
--
-- As its owner, since no reader may use the schema by name.
create or replace function {schema}.noted_from(relation text, least_value anyelement)
returns anyarray
language sql stable parallel restricted cost 1000 security definer
set search_path = ''
as $noted$
    select case when {schema}.noted(relation) then array[least_value] end;
$noted$;

-- name: noted_by_view
-- The same for a view that shows a column of a table to whom the table itself refuses it; the owner
-- of the table leaves no note.
create or replace function {schema}.noted_by_view(relation text) returns boolean
language sql stable parallel restricted cost 1000
return case
    when pg_has_role(
        current_user,
        (select c.relowner from pg_class as c where c.oid = to_regclass($1)),
        'member'
    ) then true
    else {schema}.noted($1)
end;

-- name: link
-- The hash of a row of a chain: SHA-256 over that of the row before and what the row says.
--
-- Columns without a value do not count, so a column that is added later changes no hash.
create or replace function {schema}.link(previous bytea, entry anyelement) returns bytea
language sql stable
set timezone = 'UTC'
as $link$
    select sha256(
        coalesce(previous, '')
        || convert_to(jsonb_strip_nulls(to_jsonb(entry) - 'hash')::text, 'UTF8')
    );
$link$;

-- name: add_link
-- Gives each row that comes its place and the hash that chains it to the row before; of a chain
-- whose rows were deleted, to the last of these. One writer at a time.
create or replace function {schema}.add_link() returns trigger
language plpgsql
as $link$
declare
    last_position bigint;
    last_hash bytea;
begin
    perform pg_advisory_xact_lock(tg_relid::bigint);
    execute format(
        'select position, hash from %s order by position desc limit 1', tg_relid::regclass
    )
    into last_position, last_hash;
    if last_position is null then
        select d.through_position, d.last_hash
        into last_position, last_hash
        from {schema}.deletion as d
        where d.chain = tg_table_name
        order by d.position desc
        limit 1;
    end if;
    new.position := coalesce(last_position, 0) + 1;
    new.hash := {schema}.link(last_hash, new);
    return new;
end
$link$;

-- name: refuse_change
-- Refuses to change, delete or truncate rows, whoever asks.
create or replace function {schema}.refuse_change() returns trigger
language plpgsql
as $refuse$
begin
    raise exception 'rows of audit.% are only added', tg_table_name
        using errcode = 'insufficient_privilege',
            hint = 'make audit-prune deletes those older than six years.';
end
$refuse$;

-- name: who_looked
-- Who looked at a member in a time: what was read, by whom, from where, and with which statement.
--
-- how: named (the statement, its parameters or one before it in the transaction name the member by
-- number, surrogate key or code), not named (it names nobody) or named others. For the auditor and
-- the owner; whoever asks is noted.
create or replace function {schema}.who_looked(
    of_member text, since timestamptz, until timestamptz
) returns table (
    how text,
    looked_at timestamptz,
    person text,
    client_address text,
    application_name text,
    relation_name text,
    statement text,
    parameters text
)
language plpgsql security definer
set search_path = pg_catalog, pg_temp set standard_conforming_strings = on
as $who$
declare
    numbers text[];
    named text;
    named_by_key text;
begin
    if not exists (
        select 1
        from pg_roles as r
        where pg_has_role(session_user, r.oid, 'member') and r.rolname in ('aca_auditor', current_user)
    ) then
        raise exception 'who looked is for members of aca_auditor'
            using errcode = 'insufficient_privilege';
    end if;
    perform {schema}.noted('audit.look');
    select array_agg(v.member_sk::text)
    into numbers
    from (
        select m.member_sk from warehouse.dim_member as m where m.member_id = of_member
        union
        select m.member_sk from internal.dim_member_past as m where m.member_id = of_member
    ) as v;
    -- A surrogate key is a small number: it names somebody only next to its column's name.
    if numbers is not null then
        named_by_key := format(
            '(^|[^[:alnum:]_])(%s)($|[^[:alnum:]_])', array_to_string(numbers, '|')
        );
    end if;
    select format(
        '(^|[^[:alnum:]_])(%s)($|[^[:alnum:]_])',
        string_agg(regexp_replace(n.number, '([^[:alnum:]])', '\\\1', 'g'), '|')
    )
    into named
    from (
        select of_member as number
        union all
        select unnest(array[c.limited_ref, c.safe_harbor_ref])::text
        from access.member_crosswalk as c
        where c.member_id = of_member
        union all
        select unnest(array[k.limited_sk, k.safe_harbor_sk])::text
        from access.member_key as k
        where k.member_sk::text = any(numbers)
    ) as n;
    -- The number of a member who was erased is in the record alone.
    if numbers is null and not exists (
        select 1
        from audit.look as l
        where l.relation_name is distinct from 'audit.look'
            and concat_ws(' ', l.statement, l.parameters) ~* named
    ) then
        raise exception 'there is no such member' using errcode = 'no_data_found';
    end if;
    return query
    with looks as (
        select
            l.*,
            concat_ws(' ', l.statement, l.parameters) as said
        from audit.look as l
        where l.kind <> 'imitation'
            and (since is null or l.looked_at >= since) and (until is null or l.looked_at < until)
    ),

    judged as (
        select
            l.*,
            n.names_member,
            bool_or(n.names_member) over transaction as is_named,
            bool_or(l.kind = 'look') over transaction as has_look
        from looks as l
        cross join lateral (
            select
                l.said ~* named or (l.said ~* 'member_sk' and l.said ~* named_by_key) is true
                    as names_member
        ) as n
        window transaction as (partition by l.session_id, l.transaction_id)
    )

    select
        case
            when j.is_named then 'named'
            when exists (
                select 1
                from regexp_matches(j.said, '[^[:space:]''"(),;=]+', 'g') as word (part)
                inner join warehouse.dim_member as m on m.member_id = word.part[1]
            ) then 'named others'
            else 'not named'
        end,
        j.looked_at,
        j.person,
        j.client_address,
        j.application_name,
        j.relation_name,
        j.statement,
        j.parameters
    from judged as j
    where j.kind = 'look' or (j.names_member and not j.has_look)
    order by j.looked_at, j.session_id, j.session_line;
end
$who$;
