-- name: refuse_overlapping_versions
-- Refuses a statement, whoever sends it, that would leave two versions of one key that overlap.
-- Arguments: surrogate key, natural key.
--
-- Compares the rows that the statement touched with all versions of their keys. The lock makes two
-- writers at once wait for each other. A transaction on an older snapshot could not see what the
-- other one wrote, so it is refused.
create or replace function {schema}.refuse_overlapping_versions() returns trigger
language plpgsql
as $guard$
declare
    same_key text;
    overlapping boolean;
begin
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise exception 'versions of % are only written in a READ COMMITTED transaction',
            tg_table_name
            using errcode = 'invalid_transaction_state',
                hint = 'Begin the transaction again without REPEATABLE READ or SERIALIZABLE.';
    end if;
    perform pg_advisory_xact_lock(tg_relid::bigint);
    select string_agg(format('d.%1$I = t.%1$I', tg_argv[i]), ' and ')
    into same_key
    from generate_series(1, tg_nargs - 1) as i;
    execute format(
        'select exists (
            select 1
            from touched as t
            inner join %1$s as d on %2$s
            where d.%3$I <> t.%3$I
                and d.validity_start_ts < t.validity_end_ts
                and t.validity_start_ts < d.validity_end_ts
        )',
        tg_relid::regclass, same_key, tg_argv[0]
    )
    into overlapping;
    if overlapping then
        raise exception 'two versions of one key in % would overlap', tg_table_name
            using errcode = 'exclusion_violation',
                hint = 'End the version in force before another one begins.';
    end if;
    return null;
end
$guard$;

-- name: guard_inserts
-- Guards inserted versions against overlaps.
create or replace trigger {trigger} after insert on {table}
referencing new table as touched
for each statement execute function {schema}.refuse_overlapping_versions({arguments});

-- name: guard_updates
-- Guards changed versions against overlaps.
create or replace trigger {trigger} after update on {table}
referencing new table as touched
for each statement execute function {schema}.refuse_overlapping_versions({arguments});
