-- name: confirmed_files
-- Which of these files of a batch somebody confirmed as snapshots that may end many keys.
-- One row a file.
select distinct xxh3_128
from decision
where kind = 'confirm_snapshot' and batch_id = %(batch_id)s and feed = %(feed)s
    and xxh3_128 = any(%(checksums)s::uuid[]);

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
