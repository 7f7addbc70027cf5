-- A load that cannot pass leaves staging again, so that those after it can.

-- name: delete_rows
-- Take the rows of a load out of a feed's staging table. One row per line.
delete from {table}
where load_id = %(load_id)s;

-- name: refuse_files
-- Let files of a load count as refused, which is what they are from now on. One row per file.
update load_file
set
    status = 'refused',
    refusal_code = %(refusal_code)s,
    rows_loaded = 0,
    notes = notes || to_jsonb(%(why)s::text)
where load_id = %(load_id)s and feed = any(%(feeds)s) and status = 'loaded';

-- name: refuse_parts
-- Counts of the rows of these files: none is stored. One row per load, feed and part.
update load_file_part
set
    rows_read = 0,
    rows_loaded = 0,
    rows_rejected = 0,
    rows_duplicate = 0,
    rows_expired = 0,
    rows_filtered = 0,
    rows_added = 0
where load_id = %(load_id)s and feed = any(%(feeds)s);

-- name: release_skipped
-- Files that were skipped because one of these files had brought the same are pending again.
-- One row per file.
update load_file as f
set
    status = 'refused',
    refusal_code = %(refusal_code)s,
    notes = f.notes || to_jsonb('the file that it equals was taken out: it is loaded again'::text)
from load_file as same
inner join batch_order as s on same.load_id = s.load_id
inner join load as l on l.status in ('running', 'loaded') and not l.is_rebuild
inner join batch_order as o on l.load_id = o.load_id
where same.load_id = %(load_id)s and same.feed = any(%(feeds)s)
    and f.load_id = l.load_id and f.feed = same.feed and f.status = 'skipped'
    and f.xxh3_128 = same.xxh3_128
    and o.batch_number >= s.batch_number;
