-- Views of the ledger: each statement is a view, made again by a run if its text has changed.

-- name: batch_order
-- The order in which batches became true, whenever they arrived: by as_of, then by name. Every load
-- has a batch_rank of its own; loads of the same batch share their batch_number. One row per load.
select
    load_id,
    row_number() over (order by as_of, batch_id collate "C", load_id) as batch_rank,
    dense_rank() over (order by as_of, batch_id collate "C") as batch_number
from load;
