-- name: latest_load
-- The load that was live last at an instant.
create or replace function {schema}.latest_load(at timestamptz) returns bigint
language plpgsql stable parallel safe
as $latest$
declare
    found_load bigint;
begin
    select l.load_id
    into found_load
    from ledger.load as l
    where l.live_at <= $1
    order by l.live_at desc, l.load_id desc
    limit 1;
    if found_load is null then
        raise exception 'no load is known to have been live at %', coalesce($1::text, 'no time')
            using errcode = 'no_data_found',
                hint = 'live_at in ledger.load says when a load could first be read.';
    end if;
    return found_load;
end
$latest$;

-- name: known_load
-- The load of the live build that represents what was known after a load.
--
-- A load of a superseded build is matched by its history: the files loaded up to it, in order, what
-- was restated and what was replayed. The live load with the same history represents it.
-- The greatest bigint is the present and represents itself.
create or replace function {schema}.known_load(load_id bigint) returns bigint
language plpgsql stable parallel safe
as $known$
#variable_conflict use_column
declare
    requested ledger.load;
    latest ledger.load;
    live_build bigint;
    matching_load bigint;
begin
    if $1 = 9223372036854775807 then
        return $1;
    end if;
    select l.* into requested from ledger.load as l where l.load_id = $1;
    if requested.load_id is null then
        raise exception 'there is no load %', coalesce($1::text, 'without a number')
            using errcode = 'no_data_found', hint = 'ledger.load lists the loads.';
    end if;
    if requested.status in ('running', 'rebuilt') then
        raise exception 'load % is still under way', $1
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'Ask again when ledger.load calls it loaded.';
    end if;
    -- A load that failed left what the one before it had left.
    select l.*
    into latest
    from ledger.load as l
    where l.build_id = requested.build_id and l.load_id <= $1 and l.finished_at is not null
        and l.status in ('loaded', 'superseded')
    order by l.load_id desc
    limit 1;
    if latest.load_id is null then
        raise exception 'load % failed, and no load of its build came before it', $1
            using errcode = 'no_data_found', hint = 'ledger.load lists the loads.';
    end if;
    if latest.live_at is null then
        raise exception 'what was known after load % is not kept: '
            'later loads changed it before rows were kept as they had been', $1
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'live_at in ledger.load is set where it is kept.';
    end if;
    select max(l.build_id) into live_build from ledger.load as l where l.status = 'loaded';
    if requested.build_id = live_build then
        return latest.load_id;
    end if;
    with history as materialized (
        select
            l.build_id,
            l.load_id,
            row_number() over (partition by l.build_id order by l.load_id, f.feed) as place,
            row(l.batch_id, l.as_of, f.feed, f.kind, f.xxh3_128) as what
        from ledger.load as l
        left join ledger.load_file as f on l.load_id = f.load_id and f.status in ('loaded', 'superseded')
        where l.finished_at is not null and l.status in ('loaded', 'superseded')
            and (f.load_id is not null or l.kind <> 'batch')
            and (l.build_id = live_build or (l.build_id = requested.build_id and l.load_id <= $1))
    ),

    lengths as (
        select
            l.load_id,
            sum(count(h.load_id)) over (order by l.load_id) as length
        from ledger.load as l
        left join history as h on l.load_id = h.load_id
        where l.build_id = live_build and l.status = 'loaded'
        group by l.load_id
    )

    select max(s.load_id)
    into matching_load
    from lengths as s
    where s.length = (select count(*) from history as h where h.build_id = requested.build_id)
        and not exists (
            select 1
            from history as before
            left join history as now on before.place = now.place and now.build_id = live_build
            where before.build_id = requested.build_id and before.what is distinct from now.what
        );
    if matching_load is null then
        raise exception 'load % was replaced by a rebuild from other batches, '
            'and what was known after it is no longer kept', $1
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'ledger.load_file lists its files: load them in a database of their own.';
    end if;
    return matching_load;
end
$known$;

-- name: known_load_at_time
-- The load of the live build that represents what was known at an instant.
create or replace function {schema}.known_load(at timestamptz) returns bigint
language sql stable parallel safe
return {schema}.known_load({schema}.latest_load(at));

-- name: present_path
-- The session's search path without the schemas that show what was known.
create or replace function {schema}.present_path() returns text
language sql stable parallel safe
return regexp_replace(current_setting('search_path'), '"?\m(limited_)?as_known\M"?, *', '', 'g');

-- name: as_known_at
-- Puts the session at what was known after a load: names without a schema show it, and schema
-- as_known does.
create or replace function {schema}.as_known_at(load_id bigint) returns text
language sql
begin atomic
    select
        format(
            'as known after load %s (batch %s, %s)%s',
            l.load_id,
            l.batch_id,
            coalesce(
                to_char(l.live_at at time zone 'UTC', '"live" YYYY-MM-DD HH24:MI "UTC"'), l.status
            ),
            case
                when l.status = 'superseded' then format('; load %s represents it', point.known)
            end
        )
    from (
        select
            {schema}.known_load($1) as known,
            set_config('aca.as_known_load_id', $1::text, false) as load_id,
            set_config('search_path', 'as_known, ' || {schema}.present_path(), false) as path
    ) as point
    inner join ledger.load as l on l.load_id = point.load_id::bigint;
end;

-- name: as_known_at_time
-- Puts the session at what was known at an instant: names without a schema show it, and schema
-- as_known does.
create or replace function {schema}.as_known_at(at timestamptz) returns text
language sql
return {schema}.as_known_at({schema}.latest_load(at));

-- name: as_known_now
-- Puts the session back to the present.
create or replace function {schema}.as_known_now() returns text
language sql
return 'as known now'
|| set_config('aca.as_known_load_id', '', false)
|| left(set_config('search_path', {schema}.present_path(), false), 0);

-- name: as_known_point
-- The load that the session is put at.
--
-- Without one the greatest bigint, which is the present.
create or replace function {schema}.as_known_point() returns bigint
language sql stable parallel safe
return coalesce(
    nullif(current_setting('aca.as_known_load_id', true), '')::bigint, 9223372036854775807
);
