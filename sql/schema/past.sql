-- name: keep_past
-- Keeps rows as they were before a statement changed or deleted them, whoever sends it.
--
-- The change belongs to the current load; a change by hand to the next load that succeeds. What one
-- load does to a row in several steps is one change, and so is what a load does to a row that was
-- changed by hand for a load which then failed: nobody can ask what was known after that one.
--
-- Of a table that is spread over the nodes of a cluster each part has its trigger, on its node, and
-- the rows go into the part of the past next to it. Workers do not have the ledger: there the
-- settings of the transaction say which load it is.
create or replace function {schema}.keep_past() returns trigger
language plpgsql
as $past$
declare
    -- The number at the end of the name of such a part.
    part bigint := substring(tg_table_name from '_(\d\d\d\d\d\d+)$');
    -- What goes with schema warehouse of a build bears the end of its name, such as warehouse_next;
    -- on a cluster dimensions are changed in schema history.
    past regclass := format(
        '%I.%I',
        regexp_replace(tg_table_schema, '^(warehouse|history)', 'internal'),
        regexp_replace(tg_table_name, '_\d\d\d\d\d\d+$', '') || '_past'
    )::regclass;
    known_to bigint := nullif(current_setting('aca.load_id', true), '');
    last_known bigint := nullif(current_setting('aca.last_known_load_id', true), '');
    matching text;
    kept text;
    same_key text;
begin
    if known_to is null and to_regclass('ledger.load') is null then
        raise exception 'Rows of % are to change, and no setting says for which load.', tg_table_name
        using hint = 'They lie on workers, which do not have the ledger. In the same transaction, '
            'before the change: set local citus.propagate_set_commands = ''local''; set local '
            'aca.load_id = ''N''; where N is one more than the greatest load_id of ledger.load.';
    end if;
    if known_to is null then
        known_to := coalesce(
            (
                select min(l.load_id)
                from ledger.load as l
                where l.status = 'running' and not l.is_rebuild
            ),
            (select max(l.load_id) + 1 from ledger.load as l),
            1
        );
        last_known := null;
    end if;
    if last_known is null and to_regclass('ledger.load') is not null then
        last_known := (
            select coalesce(max(l.load_id), 0)
            from ledger.load as l
            where l.load_id < known_to and l.status in ('loaded', 'running', 'rebuilt')
        );
    end if;
    if part is not null then
        select past || '_' || other.shardid
        into matching
        from pg_dist_shard as own
        inner join pg_dist_shard as other on own.shardminvalue = other.shardminvalue
        where own.shardid = part and other.logicalrelid = past;
        past := coalesce(matching::regclass, past);
    end if;
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
    into kept
    from pg_attribute as a
    where a.attrelid = past and a.attnum > 0 and not a.attisdropped
        and a.attname <> 'known_to_load_id';
    select string_agg(format('earlier.%1$I = was.%1$I', a.attname), ' and ')
    into same_key
    from pg_index as i
    inner join pg_attribute as a on i.indrelid = a.attrelid and a.attnum = any(i.indkey)
    where i.indrelid = past and i.indisprimary and a.attname <> 'known_to_load_id';
    execute format(
        'insert into %1$s (%2$s, known_to_load_id)
        select %2$s, $1 from was
        where load_id <> $1' || case
            when last_known < known_to - 1
                then ' and not exists (
            select from %1$s as earlier
            where %3$s
                and earlier.known_to_load_id > $2 and earlier.known_to_load_id < $1
        )'
            else ''
        end || '
        on conflict do nothing',
        past, kept, same_key
    )
    using known_to, last_known;
    return null;
end
$past$;

-- name: keep_updates
-- Keeps rows as they were before an update.
create or replace trigger {trigger} after update on {table}
referencing old table as was
for each statement execute function {schema}.keep_past();

-- name: keep_deletes
-- Keeps rows as they were before a delete.
create or replace trigger {trigger} after delete on {table}
referencing old table as was
for each statement execute function {schema}.keep_past();
