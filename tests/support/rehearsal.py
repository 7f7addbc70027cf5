"""The layout of a cluster on plain PostgreSQL, with stand-ins for Citus where tables are placed.

A stand-in moves no row. It refuses what Citus 14 refuses, with its words, at the time when a table
is placed and of statements on it afterwards.
"""

from __future__ import annotations

import psycopg
import pytest

from etl.schema import layout

# Statements that change a table on every node may name no other table but for what they insert;
# unique keys of what is spread have the column by which it is; its foreign keys lead to what is on
# every node, or by that column to what lies with it; a statement that changes what is spread asks
# no temporary table whether something exists, but a step that copied it, and says for which load it
# changes rows of which the past is kept; and triggers are for what is local, those on what is
# spread only if a setting allows them.
STAND_INS = r"""
create schema rehearsal;
create table rehearsal.placed (
    relation oid primary key, spread_by text, colocated_with oid, type oid
);

create function rehearsal.require_keys(placed regclass) returns void language plpgsql as $$
declare
    own rehearsal.placed := (select p from rehearsal.placed as p where p.relation = placed);
    by_column int2 := (
        select attnum from pg_attribute where attrelid = placed and attname = own.spread_by
    );
    refers record;
begin
    if own.spread_by is not null and exists (
        select from pg_index
        where indrelid = placed and indisunique and by_column <> all(indkey::int2[])
    ) then
        raise exception 'cannot create constraint on "%"', placed
            using detail = 'Distributed relations cannot have UNIQUE constraints that do not '
                'include the partition column';
    end if;
    for refers in
        select k.conkey, k.confkey, k.confrelid, p.relation, p.spread_by, p.colocated_with
        from pg_constraint as k left join rehearsal.placed as p on k.confrelid = p.relation
        where k.conrelid = placed and k.contype = 'f' and k.conparentid = 0
    loop
        if refers.relation is null or (
            refers.spread_by is not null
            and (own.spread_by is null or refers.colocated_with <> own.colocated_with
                or by_column <> all(refers.conkey))
        ) then
            raise exception 'cannot create foreign key constraint from % to %',
                placed, refers.confrelid::regclass;
        end if;
    end loop;
end $$;

create function rehearsal.require_plain() returns trigger language plpgsql as $$
declare
    asked text := regexp_replace(current_query(), '--[^\n]*', '', 'g');
begin
    if asked ~* '^\s*(with|merge|truncate)\y'
        or asked ~* '^\s*delete\y.*\y(using|select)\y'
        or asked ~* '^\s*update\y.*\y(from|select)\y'
    then
        raise exception 'relation % is not distributed', tg_table_name;
    end if;
    return null;
end $$;

create function rehearsal.require_copies() returns trigger language plpgsql as $$
declare
    -- What follows the steps before the change.
    asked text := substring(
        regexp_replace(current_query(), '--[^\n]*', '', 'g') from '.*\y(?:update|delete from)\y(.*)'
    );
    named text := (
        select relname from pg_class
        where relnamespace = pg_my_temp_schema() and relkind = 'r'
            and asked ~ format('\yexists\s*\(\s*select\y[^()]*\yfrom\s+%s\y', relname)
        limit 1
    );
begin
    if named is not null then
        raise exception 'relation % is not distributed', named;
    end if;
    -- Its past is kept on the workers, where no ledger says for which load.
    if nullif(current_setting('aca.load_id', true), '') is null and exists (
        select from pg_trigger as t inner join pg_proc as p on t.tgfoid = p.oid
        where t.tgrelid = tg_relid and p.proname = 'keep_past'
    ) then
        raise exception 'Rows of % are to change, and no setting says for which load.',
            tg_table_name;
    end if;
    return null;
end $$;

create function rehearsal.place(placed regclass, by_column text, other regclass) returns void
language plpgsql security definer as $$
declare
    column_type oid := (
        select atttypid from pg_attribute where attrelid = placed and attname = by_column
    );
begin
    if exists (select from pg_trigger where tgrelid = placed and not tgisinternal) then
        raise exception 'cannot distribute relation "%" because it has triggers', placed;
    end if;
    if by_column is not null and column_type is null then
        raise exception 'column "%" of relation "%" does not exist', by_column, placed;
    end if;
    if other is not null and column_type is distinct from (
        select type from rehearsal.placed where relation = other and spread_by is not null
    ) then
        raise exception 'cannot colocate tables % and %', other, placed;
    end if;
    insert into rehearsal.placed
    values (placed, by_column, coalesce(other, placed), column_type);
    perform rehearsal.require_keys(placed);
    if by_column is null then
        execute format(
            'create trigger rehearsal before update or delete or truncate on %s
            for each statement execute function rehearsal.require_plain()', placed
        );
    else
        execute format(
            'create trigger rehearsal before update or delete on %s
            for each statement execute function rehearsal.require_copies()', placed
        );
    end if;
end $$;

create function pg_catalog.create_reference_table(table_name regclass) returns void
language sql as 'select rehearsal.place(table_name, null, null)';
create function pg_catalog.create_distributed_table(
    table_name regclass, distribution_column text,
    distribution_type text default 'hash', colocate_with text default 'default'
) returns void language sql as $$
    select rehearsal.place(
        table_name, distribution_column, nullif(colocate_with, 'none')::regclass
    )
$$;

-- The one server is its own worker, and a table its own part.
create function pg_catalog.get_shard_id_for_distribution_column(
    table_name regclass, distribution_value text default null
) returns bigint language sql security definer as
    'select 1 from rehearsal.placed where relation = table_name';
create function pg_catalog.shard_name(object_name regclass, shard_id bigint) returns text
language sql strict as 'select object_name::text';
create function pg_catalog.run_command_on_workers(
    command text, out nodename text, out nodeport integer, out success boolean, out result text
) returns setof record language plpgsql as $$
begin
    if regexp_replace(command, '--[^\n]*', '', 'g') ~* '^\s*(select|with)\y' then
        execute command into result;
    else
        execute command;
    end if;
    success := true;
    return next;
exception when insufficient_privilege then
    success := false;
    result := sqlerrm;
    return next;
end $$;

create function rehearsal.watch() returns event_trigger language plpgsql security definer as $$
declare
    made record;
begin
    for made in
        select o.objid, o.object_type, coalesce(t.tgrelid, i.indrelid, o.objid) as relation,
            t.tgname, y.polrelid
        from pg_event_trigger_ddl_commands() as o
        left join pg_policy as y on o.classid = 'pg_policy'::regclass and y.oid = o.objid
        left join pg_trigger as t on o.classid = 'pg_trigger'::regclass and t.oid = o.objid
        left join pg_index as i on o.classid = 'pg_class'::regclass and i.indexrelid = o.objid
    loop
        if made.object_type = 'trigger' and made.tgname <> 'rehearsal' and exists (
            select from rehearsal.placed as p
            where p.relation = made.relation and (
                p.spread_by is null
                or coalesce(current_setting('citus.enable_unsafe_triggers', true), 'off') <> 'on'
            )
        ) then
            raise exception 'triggers are not supported on reference or distributed tables';
        end if;
        if exists (select from rehearsal.placed where relation = made.polrelid) then
            raise exception 'circular dependencies between distributed objects';
        end if;
        -- As where a partition is attached.
        if made.object_type = 'table' and exists (
            select from rehearsal.placed where relation = made.objid
        ) and exists (
            select from pg_proc as f
            inner join pg_type as t on f.prorettype = t.oid
            inner join pg_depend as d on d.refclassid = 'pg_proc'::regclass and d.refobjid = f.oid
            where t.typrelid = made.objid and d.classid = 'pg_rewrite'::regclass
        ) then
            raise exception 'circular dependencies between distributed objects';
        end if;
        if made.object_type in ('table', 'index') then
            perform rehearsal.require_keys(relation::regclass)
            from rehearsal.placed where relation = made.relation;
        end if;
    end loop;
end $$;
create event trigger rehearsal on ddl_command_end execute function rehearsal.watch();
grant usage on schema rehearsal to public;
"""


def begin(connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let builds of this database be made in the layout of a cluster from now on."""
    connection.execute(STAND_INS)
    database = connection.info.dbname
    monkeypatch.setattr(layout, "is_cluster", lambda asked: asked.info.dbname == database)


def placed(connection: psycopg.Connection) -> set[str]:
    """The tables of the live build that are not on the coordinator alone."""
    found = connection.execute(
        "select c.relname from rehearsal.placed as p inner join pg_class as c on p.relation = c.oid"
        " where c.relnamespace::regnamespace::text in ('warehouse', 'internal')"
    )
    return {name for (name,) in found}
