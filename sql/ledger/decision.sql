-- name: confirmed_snapshot
-- Whether somebody confirmed this file of a batch as a snapshot that may end many keys. One row per
-- decision.
select decision_id
from decision
where kind = 'confirm_snapshot' and batch_id = %(batch_id)s and feed = %(feed)s
    and xxh3_128 = %(checksum)s;
