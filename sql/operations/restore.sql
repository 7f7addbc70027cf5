-- What restores and drills ask of a server.

-- name: loaded_batches
-- The batches that are loaded. One row per batch.
select distinct l.batch_id
from ledger.load as l
where l.status = 'loaded' and l.kind = 'batch'
order by l.batch_id;
