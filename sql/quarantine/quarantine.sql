-- name: open_rows
-- What is open, by batch, file, reason and column, oldest first. One row per load, feed, column and
-- reason.
select
    o.batch_id,
    o.file,
    o.is_refused,
    o.reason,
    o.column_name,
    o.rows_open,
    o.first_line,
    o.since
from quarantine_open as o
inner join batch_order as l on o.load_id = l.load_id
order by l.batch_rank, o.feed, o.rows_open desc, o.reason;

-- name: batch_is_known
-- Whether a batch of this name was ever loaded, or tried. One row.
select exists(select 1 from load where batch_id = %(batch_id)s and kind = 'batch');

-- name: open_files
-- The files of a batch with open entries. One row per load and feed.
select
    o.load_id,
    o.feed,
    f.header
from (
    select distinct
        load_id,
        feed
    from quarantine_open
    where batch_id = %(batch_id)s and (%(feed)s::text is null or feed = %(feed)s)
) as o
inner join load_file as f on o.load_id = f.load_id and o.feed = f.feed
order by o.feed, o.load_id;

-- name: entries_of_file
-- The open entries of a file, with their raw lines for whoever may read them. One row per entry.
select
    rejected_row_id,
    line,
    file,
    file_line,
    column_name,
    reason,
    raw_line
from rejected_row
where load_id = %(load_id)s and feed = %(feed)s and closed_at is null
order by line, rejected_row_id;

-- name: entries_named
-- The entries that bear these numbers. One row per entry.
select
    rejected_row_id,
    load_id,
    feed,
    line,
    reason,
    raw_line,
    closed_at
from rejected_row
where rejected_row_id = any(%(ids)s);

-- name: file
-- A file of a load, as the ledger has it. One row.
select
    f.load_id,
    l.batch_id,
    l.as_of,
    f.feed as feed_name,
    f.file_name,
    f.kind,
    f.contract,
    f.status,
    f.xxh3_128,
    f.header,
    f.rows_read,
    f.rows_rejected,
    f.rows_duplicate,
    f.rows_expired,
    f.rows_filtered,
    f.rows_added,
    f.totals,
    f.findings,
    p.part_names,
    p.part_lines
from load_file as f
inner join load as l on f.load_id = l.load_id
cross join lateral (
    select
        coalesce(array_agg(part.file_name order by part.part), array[]::text[]) as part_names,
        coalesce(array_agg(part.first_line order by part.part), array[]::bigint[]) as part_lines
    from load_file_part as part
    where part.load_id = f.load_id and part.feed = f.feed and part.first_line is not null
) as p
where f.load_id = %(load_id)s and f.feed = %(feed)s;

-- name: loads_of_file
-- The loads of a build that have a file with these bytes. One row per load.
select l.load_id
from load_file as f
inner join load as l on f.load_id = l.load_id
where f.feed = %(feed)s and f.xxh3_128 = %(xxh3_128)s::uuid and f.status = 'loaded'
    and {ledger/build.is_of_build}
order by l.load_id;

-- name: open_entries
-- The open entries of a file on some of its lines. One row per entry.
select
    q.rejected_row_id,
    q.line,
    q.reason,
    t.raw_line
from quarantined_row as q
left join quarantined_line as t on q.rejected_row_id = t.rejected_row_id
where q.load_id = %(load_id)s and q.feed = %(feed)s and q.line = any(%(lines)s)
    and q.closed_at is null
order by q.line, q.rejected_row_id;

-- name: open_reasons
-- Why rows of a file are still rejected, and their text. One row per line.
select
    q.line,
    min(q.reason) as reason,
    min(t.raw_line) as raw_line
from quarantined_row as q
left join quarantined_line as t on q.rejected_row_id = t.rejected_row_id
where q.load_id = %(load_id)s and q.feed = %(feed)s and q.closed_at is null
group by q.line;

-- name: find_rivals
-- The rows of a load that bear a key which a corrected row bears too: one of them may have to go.
-- One row per row.
create temporary table rival on commit drop as
select
    r.source_line,
    {columns}
from {table} as r
where r.load_id = %(load_id)s and not (r.source_line = any(%(lines)s))
    and exists (
        select 1
        from {table} as c
        where c.load_id = %(load_id)s and c.source_line = any(%(lines)s) and {same_key}
    );

-- name: rival_lines
-- On which lines they are, in the order in which their text is read. One row per row.
select source_line from rival
order by source_line;

-- name: rival_text
-- Their text, in the order of the file's columns. One row per row.
copy (select {texts} from rival order by source_line) to stdout with (format csv);

-- name: close
-- Close the entries on these lines of a file. One row per entry.
update quarantined_row
set
    closed_at = clock_timestamp(),
    closed_by = %(closed_by)s
where load_id = %(load_id)s and feed = %(feed)s and line = any(%(lines)s) and closed_at is null;

-- name: change_entry
-- An entry whose corrected row is bad again: it stays open, with what is wrong now. One row.
with changed as (
    update quarantined_row
    set
        reason = %(reason)s,
        column_name = %(column_name)s
    where rejected_row_id = %(rejected_row_id)s
    returning rejected_row_id
)

insert into quarantined_line (rejected_row_id, raw_line)
select
    rejected_row_id,
    %(raw_line)s
from changed
on conflict (rejected_row_id) do update set raw_line = excluded.raw_line;

-- name: close_entry
-- Close one entry of several on a line. One row.
update quarantined_row
set
    closed_at = clock_timestamp(),
    closed_by = %(closed_by)s
where rejected_row_id = %(rejected_row_id)s;

-- name: recount_file
-- What the ledger says of a file whose rows were corrected. One row.
update load_file
set
    rows_loaded = %(rows_loaded)s,
    rows_rejected = %(rows_rejected)s,
    rows_duplicate = %(rows_duplicate)s,
    rows_filtered = %(rows_filtered)s,
    rows_added = %(rows_added)s,
    totals = %(totals)s,
    latest_effective_ts = %(latest_effective_ts)s,
    distinct_keys = %(distinct_keys)s,
    findings = (findings - 'totals_not_compared')
    || jsonb_strip_nulls(jsonb_build_object('totals_not_compared', %(not_compared)s::text[]))
where load_id = %(load_id)s and feed = %(feed)s;

-- name: keep
-- Keep a corrected row, for files of these bytes that are staged later. One row per line.
insert into correction (feed, xxh3_128, line, load_id, columns, record)
values (
    %(feed)s,
    %(xxh3_128)s::uuid,
    %(line)s,
    %(load_id)s,
    %(columns)s,
    %(record)s
)
on conflict (feed, xxh3_128, line, load_id) do update set
    columns = excluded.columns,
    record = excluded.record,
    created_at = excluded.created_at,
    created_by = excluded.created_by;

-- name: kept
-- The corrected rows of files of these bytes, as known before a load: of two for one line the
-- later one counts. One row per line.
select distinct on (line)
    line,
    record
from correction
where feed = %(feed)s and xxh3_128 = %(xxh3_128)s::uuid
    and (%(before)s::bigint is null or load_id < %(before)s)
order by line, load_id desc;

-- name: kept_by
-- The corrected rows that a load brought. One row per file and line.
select
    feed,
    xxh3_128::text,
    line,
    record
from correction
where load_id = %(load_id)s;

-- name: replays
-- The replays of the live build, in order. One row per load.
select
    load_id,
    batch_id,
    as_of
from load
where kind = 'replay' and status = 'loaded'
order by load_id;

-- name: hand_over
-- Let the corrected rows belong to the replays of the build that takes the live place.
-- One row per corrected row.
update correction as c
set load_id = m.new_load_id
from unnest(%(old)s::bigint[], %(new)s::bigint[]) as m (old_load_id, new_load_id)
where c.load_id = m.old_load_id;

-- name: close_refused
-- Close the entries of a file that was refused and has come after all: what is still wrong with
-- it is entered with the load that brought it. One row per entry.
update quarantined_row as q
set
    closed_at = clock_timestamp(),
    closed_by = %(load_id)s
from load_file as f
where q.load_id = f.load_id and q.feed = f.feed and q.closed_at is null
    and f.feed = %(feed)s and f.xxh3_128 = %(xxh3_128)s::uuid and f.status = 'refused'
    and f.load_id < %(load_id)s;

-- name: twin_skipped
-- Files of the same bytes that were skipped because this one came before, which say something
-- after all now that a row of it lies in the future. One row per load.
select
    l.load_id,
    l.as_of
from load_file as f
inner join load as l on f.load_id = l.load_id
inner join load_file as o on o.load_id = %(load_id)s and f.feed = o.feed
inner join load as b on o.load_id = b.load_id
inner join batch_order as place_of_l on l.load_id = place_of_l.load_id
inner join batch_order as place_of_b on b.load_id = place_of_b.load_id
where f.feed = %(feed)s and f.status = 'skipped' and f.xxh3_128 = o.xxh3_128
    and {ledger/build.is_of_build}
    and l.batch_id <> b.batch_id
    and place_of_l.batch_number > place_of_b.batch_number
    and o.latest_effective_ts > b.as_of at time zone 'UTC'
    and not exists (
        select 1
        from load_file as between_file
        inner join load as n on between_file.load_id = n.load_id
        inner join batch_order as place_of_n on n.load_id = place_of_n.load_id
        where between_file.feed = f.feed and between_file.status in ('loaded', 'skipped')
            and n.status = any(%(statuses)s) and (n.is_rebuild or not %(is_rebuild)s)
            and place_of_n.batch_number > place_of_b.batch_number
            and place_of_n.batch_number < place_of_l.batch_number
    );
