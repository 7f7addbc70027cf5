-- name: keep_limited
-- Keeps dim_member_limited equal to what the limited standard makes of dim_member, whoever writes.
--
-- Rows that a statement touched leave it, and come back as they are now. A version without a code
-- does not come, so that nobody sees it until it has one. Where a statement only ended versions, or
-- opened them again, their rows stay and get the new end: masked views show it as it is, no index
-- has it, and pages of the copy have room for such rows.
create or replace function {schema}.keep_limited() returns trigger
language plpgsql
as $limited$
declare
    other_values_differ text;
    only_ends_differ boolean;
    moved bigint[];
    -- On a cluster the dimension is changed in schema history.
    place text := regexp_replace(tg_table_schema, '^history', 'warehouse');
begin
    if tg_op = 'TRUNCATE' then
        -- A statement that truncates both tables uses this one, so it cannot be truncated again.
        execute format('delete from %I.dim_member_limited', place);
        execute format('delete from %I.member_scope', place);
        return null;
    end if;
    if tg_op = 'UPDATE' then
        select format(
            '(%s) is distinct from (%s)',
            string_agg(format('o.%I', a.attname), ', ' order by a.attnum),
            string_agg(format('n.%I', a.attname), ', ' order by a.attnum)
        )
        into other_values_differ
        from pg_attribute as a
        where a.attrelid = tg_relid and a.attnum > 0 and not a.attisdropped
            and a.attname not in ('validity_end_ts', 'current_flag');
        execute format(
            'select not exists (
                select from touched as o full join changed as n on o.member_sk = n.member_sk
                where %s
            )',
            other_values_differ
        )
        into only_ends_differ;
        if only_ends_differ then
            execute format(
                'update %I.dim_member_limited as l
                set validity_end_ts = n.validity_end_ts, current_flag = n.current_flag
                from changed as n
                where l.version_sk = n.member_sk',
                place
            );
            return null;
        end if;
    end if;
    execute format(
        'delete from %I.dim_member_limited as l using touched as t
        where l.version_sk = t.member_sk',
        place
    );
    if tg_op <> 'DELETE' then
        execute format(
            'insert into %1$I.dim_member_limited
            select r.* from %1$I.dim_member_limited_rows as r
            where r.version_sk in (select t.member_sk from touched as t)',
            place
        );
    end if;
    -- Of versions that changed few are of another state.
    execute
        case
            when tg_op <> 'UPDATE' then 'select array_agg(member_sk) from touched'
            else 'select array_agg(coalesce(o.member_sk, n.member_sk))
                from touched as o full join changed as n on o.member_sk = n.member_sk
                where (o.member_sk, o.state) is distinct from (n.member_sk, n.state)'
        end
    into moved;
    execute format('select %I.follow_scope($1)', place) using moved;
    return null;
end
$limited$;

-- name: follow_scope
-- Makes the parts of member_scope again that have these surrogate keys, from the limited copy.
create or replace function {schema}.follow_scope(keys bigint[]) returns void
language sql
begin atomic  -- noqa: PRS, two statements
    delete from {schema}.member_scope
    where part in (select (k.version_sk + 1) >> 12 from unnest(keys) as k (version_sk));
    insert into {schema}.member_scope (state, part, bits)
    select
        m.state,
        p.part,
        bit_or(set_bit(0::bit(4096), ((m.version_sk + 1) & 4095)::integer, 1))
    from (select distinct (k.version_sk + 1) >> 12 as part from unnest(keys) as k (version_sk)) as p
    inner join {schema}.dim_member_limited as m
        on m.version_sk >= (p.part << 12) - 1 and m.version_sk < ((p.part + 1) << 12) - 1
    where m.state is not null
    group by m.state, p.part;
end;

-- name: limit_inserts
-- Brings inserted versions to the limited copy.
create or replace trigger {trigger} after insert on {table}
referencing new table as touched
for each statement execute function {schema}.keep_limited();

-- name: limit_updates
-- Brings changed versions to the limited copy. A surrogate key never changes; one that somebody
-- changes nevertheless is not shown.
create or replace trigger {trigger} after update on {table}
referencing old table as touched new table as changed
for each statement execute function {schema}.keep_limited();

-- name: limit_deletes
-- Takes deleted versions from the limited copy.
create or replace trigger {trigger} after delete on {table}
referencing old table as touched
for each statement execute function {schema}.keep_limited();

-- name: limit_truncates
-- Empties the limited copy with the dimension.
create or replace trigger {trigger} after truncate on {table}
for each statement execute function {schema}.keep_limited();
