-- What marts are about: which day they speak of.

-- name: as_of
-- The day that the data speaks of: that of the newest batch that is loaded. Empty where there is
-- none.
create or replace function {schema}.as_of() returns date
language sql stable parallel safe
return {ledger/as_of.loaded};

-- name: refuse_to_read
-- Refuses to read a view, with a sentence that says why: on a cluster in place of its rows.
create or replace function {schema}.refuse_to_read(why text) returns boolean
language plpgsql
as $refuse$
begin
    raise exception '%', why using errcode = 'feature_not_supported';
end
$refuse$;
