-- What marts are about: which day they speak of.

-- name: as_of
-- The day that the data speaks of: that of the newest batch that is loaded. Empty where there is
-- none.
create or replace function {schema}.as_of() returns date
language sql stable parallel safe
return (
    select {ledger/as_of.newest}
    from ledger.load as l
    where l.status = 'loaded'
);
