-- name: measure
-- What staging has of each part of a file, by the line on which its rows begin: rows, and sums of
-- money as an array. One row per part that has rows.
select
    width_bucket(source_line, %(first_lines)s::bigint[]) as part,
    count(*) as rows_loaded,
    array[{sums}]::numeric[] as amounts
from {table}
where load_id = %(load_id)s
group by width_bucket(source_line, %(first_lines)s::bigint[]);

-- name: recount
-- What the ledger says of a part whose rows were corrected; without a header, its first row is on
-- line 1. One row.
with open_lines as (
    select count(distinct line) as lines
    from quarantined_row
    where load_id = %(load_id)s and feed = %(feed)s and closed_at is null
        and greatest(line, 2) >= %(first_line)s and line < coalesce(%(next_line)s::bigint, line + 1)
)

update load_file_part as p
set
    rows_rejected = o.lines,
    rows_duplicate = p.rows_duplicate + %(more_duplicates)s,
    rows_filtered = p.rows_filtered + %(more_filtered)s,
    rows_added = %(rows_added)s,
    rows_loaded = p.rows_read + %(rows_added)s - o.lines
    - p.rows_duplicate - %(more_duplicates)s - p.rows_expired
    - p.rows_filtered - %(more_filtered)s
from open_lines as o
where p.load_id = %(load_id)s and p.feed = %(feed)s and p.part = %(part)s;

-- name: seen
-- The files that the live warehouse loaded or skipped, as they were on the disk, the latest load
-- of a feed first. One row per load, feed and part.
select
    l.load_id,
    l.batch_id,
    p.feed,
    p.part,
    p.file_name,
    p.size_bytes,
    p.modified_ns,
    p.changed_ns,
    replace(p.xxh3_128::text, '-', '') as xxh3_128
from load_file_part as p
inner join load_file as f on p.load_id = f.load_id and p.feed = f.feed
inner join load as l on p.load_id = l.load_id
where l.status in ('loaded', 'running') and f.status in ('loaded', 'skipped')
order by l.load_id desc, p.feed, p.part;

-- name: note_change
-- A file whose bytes were compared and are the same, though the file system saw it change since.
-- One row.
update load_file_part
set changed_ns = %(changed_ns)s
where load_id = %(load_id)s and feed = %(feed)s and part = %(part)s;
