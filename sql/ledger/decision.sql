-- name: confirmed_snapshot
-- Whether somebody confirmed this file of a batch as a snapshot that may end many keys. One row a
-- decision.
select decision_id
from decision
where kind = 'confirm_snapshot' and batch_id = %(batch_id)s and feed = %(feed)s
    and xxh3_128 = %(checksum)s;

-- name: decide
-- Record what somebody decided about a file of a batch. One row.
insert into decision (kind, batch_id, feed, xxh3_128, load_id, says, os_user)
values (
    %(kind)s,
    %(batch_id)s,
    %(feed)s,
    %(xxh3_128)s::uuid,
    %(load_id)s,
    %(says)s,
    %(os_user)s
);
