-- Checks of a synthetic warehouse against the truth that the generator tells of its feeds.

-- name: dimension_counts
-- What a dimension holds, counted as the truth counts: keys, versions and current rows that a
-- feed brought, and inferred rows. The unknown row counts for nothing. One row.
select
    count(distinct row({key})) filter (where not is_inferred) as keys,
    count(*) filter (where not is_inferred) as versions,
    count(*) filter (where not is_inferred and current_flag) as current,
    count(*) filter (where is_inferred) as inferred
from {dim}
where {sk} <> -1;

-- name: files
-- The files of the build, as the ledger tells of them. One row a file.
select
    l.batch_id,
    f.feed,
    f.file_name,
    f.xxh3_128,
    f.rows_read,
    f.rows_loaded,
    f.rows_rejected,
    f.rows_duplicate,
    f.totals
from load_file as f
inner join load as l on f.load_id = l.load_id
where f.status = 'loaded' and l.status = any(%(statuses)s);
