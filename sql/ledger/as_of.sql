-- The day that the data speaks of: what was known then is in it, and days after are not complete.

-- name: newest
-- That of the newest batch among loads l, in UTC; empty where there is none. A fragment.
(  -- noqa: PRS, a value
    max(l.as_of at time zone 'UTC') filter (where l.kind = 'batch')
)::date

-- name: loaded
-- That of what is loaded. In views it is asked of the ledger and not of mart.as_of(), which Citus
-- would ask workers. A fragment.
(  -- noqa: PRS, a value
    select {ledger/as_of.newest}
    from ledger.load as l
    where l.status = 'loaded'
)

-- name: of_build
-- That of the build whose cubes are made, with the load that is running. Once it is loaded and live
-- this is mart.as_of(). One row.
select {ledger/as_of.newest} as day
from load as l
cross join (
    select to_regclass('dim_date') = to_regclass({calendar_of_rebuild}) as is_rebuild
) as build
where l.status in ('running', case when build.is_rebuild then 'rebuilt' else 'loaded' end)
    and (l.is_rebuild or build.is_rebuild is not true);
