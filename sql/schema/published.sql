-- name: compare_published
-- How many versions of a dimension a cluster has to publish, how many are not published as loads
-- have them, and the surrogate keys of some; nothing where loads change what everybody reads.
-- One row.
--
-- Which build is meant is what the search path says: a text that named its schema would be wrong as
-- soon as a full load goes live.
create or replace function {schema}.compare_published(
    dimension text, sk text, out rows_checked bigint, out rows_failed bigint, out failing_keys jsonb
)
language plpgsql stable
as $published$
declare
    published regclass := to_regclass(dimension);
    kept regclass;
begin
    select t.tgrelid
    into kept
    from pg_trigger as t
    inner join pg_class as k on t.tgrelid = k.oid
    inner join pg_class as p on p.oid = published and k.relname = p.relname
    where t.tgname = dimension || '_guard_inserts'
        and k.relnamespace = to_regnamespace(quote_ident(
            regexp_replace(p.relnamespace::regnamespace::text, '^warehouse', 'history')
        ));
    if kept is null then
        rows_checked := 0;
        rows_failed := 0;
        return;
    end if;
    execute format(
        'select
            count(*),
            count(*) filter (where is_other),
            quality.some_keys(jsonb_build_object(%3$L, sk)) filter (where is_other)
        from (
            select coalesce(k.%3$I, p.%3$I) as sk, k is distinct from p as is_other
            from %1$s as k full join %2$s as p on k.%3$I = p.%3$I
        ) as compared',
        kept, published, sk
    )
    into rows_checked, rows_failed, failing_keys;
end
$published$;
