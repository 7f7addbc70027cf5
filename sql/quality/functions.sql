-- Functions of the checks.

-- name: add_keys
-- Adds objects of keys to an array of them, up to a hundred.
--
-- Made for the scan that counts the rows that fail a check: it keeps a hundred keys at most, and
-- rows that pass cost nothing.
create or replace function quality.add_keys(kept jsonb, more jsonb) returns jsonb
language plpgsql immutable strict parallel safe
as $add$
begin
    if jsonb_array_length(kept) >= 100 then
        return kept;
    end if;
    return jsonb_path_query_array(kept || more, '$[0 to 99]');
end
$add$;

-- name: some_keys
-- Up to a hundred objects of keys, as an array.
create or replace aggregate quality.some_keys (jsonb)(
    sfunc = quality.add_keys,
    stype = jsonb,
    initcond = '[]',
    combinefunc = quality.add_keys,
    parallel = safe
);
