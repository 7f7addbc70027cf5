-- name: copy_in
-- Stream a file's records into its staging table. A row that fails a type or a domain's rule is
-- skipped with a notice that names its line and column. The first line is nothing but a line's end,
-- by which the server knows how lines end before quotes contain any. Rows that come frozen need
-- not be written again when they are read first; so only into a table that the transaction has
-- emptied.
-- One row per record.
copy {table} (load_id, source_line, {columns}) from stdin
with (
    format csv, header true, freeze {frozen}, on_error ignore, log_verbosity verbose, {empty_quotes}
);

-- name: set_aside_unordered
-- Take out the rows in which a date comes before the one that it must not precede, by more days
-- than say that the thing was canceled from its start.
-- One row per line taken out.
delete from {table}
where load_id = %(load_id)s and {is_unordered}
returning source_line;

-- name: set_aside_breaches
-- Take out the rows with a value that the contract allows in no row.
-- One row per line taken out, with the first column at fault.
delete from {table}
where load_id = %(load_id)s and ({is_breach})
returning source_line, {at_fault};

-- name: count_breaches
-- How many rows have a value that the contract allows in no file, by column. One row.
select {found} as counts
from {table}
where load_id = %(load_id)s;

-- name: set_aside_repeated
-- Keep the last row in the file of those with one key and effective time; where their amounts are
-- nothing together, the last that takes back what another one brought, in whichever order they are.
-- One row per line taken out, with whether it equals the one that stays in every column, whether it
-- is another line of the same thing, its amounts, and whether the row that stays takes all of it
-- back. Keys that are reversed so, or in part, are written down.
with repeated as materialized (
    select
        {key_list},
        {effective} as effective_ts
    from {table}
    where load_id = %(load_id)s
    group by {key_list}, {effective}
    having count(*) > 1
),

ranked as materialized (
    select
        t.source_line,
        row({row_columns}) as whole_row,
        {line_column} as line_value,
        array[{key_texts}] as key,
        array[{amounts}]::numeric[] as amounts,
        {is_reversal} as takes_back,
        {is_stated} as can_be_taken_back,
        case
            when {nets_to_nothing} and bool_or({is_stated}) over repeats
                then max(t.source_line) filter (where {is_reversal}) over repeats
        end as reversing_line,
        max(t.source_line) over repeats as last_line
    from {table} as t
    inner join repeated as r
        on {same_key} and {effective_of_row} is not distinct from r.effective_ts
    where t.load_id = %(load_id)s
    window repeats as (partition by {row_key}, {effective_of_row})
),

losers as materialized (
    select
        r.source_line,
        r.key,
        r.amounts,
        {equals} as is_equal,
        (r.line_value is distinct from k.line_value) = true as is_line,
        k.takes_back and r.can_be_taken_back as is_reversed,
        (
            select bool_and(coalesce(u.amount, 0) = -coalesce(u.amount_kept, 0))
            from unnest(r.amounts, k.amounts) as u (amount, amount_kept)
        ) as is_in_full
    from ranked as r
    inner join ranked as k
        on coalesce(r.reversing_line, r.last_line) = k.source_line and r.key = k.key
    where r.source_line <> k.source_line
),

named as (
    insert into rejected_key (load_id, feed, key, reversed_in_full)
    select
        %(load_id)s,
        {feed},
        key,
        bool_or(is_in_full)
    from losers
    where is_reversed and not is_line
    group by key
    on conflict (load_id, feed, key) do update set reversed_in_full = excluded.reversed_in_full
)

delete from {table} as t
using losers
where t.load_id = %(load_id)s and t.source_line = losers.source_line
    and array[{key_texts}] = losers.key
returning
    losers.source_line,
    losers.is_equal,
    losers.is_line,
    losers.amounts,
    losers.is_reversed and not losers.is_line and losers.is_in_full;

-- name: take_out_rejected
-- Take out every row of the lines that are rejected, where one line gave several. One row per row.
delete from {table}
where load_id = %(load_id)s and source_line = any(%(lines)s);

-- name: lines_of_one_key
-- Lines of which several rows have one key and effective time, so that none is the last of it. One
-- row per line and key.
select source_line
from {table}
where load_id = %(load_id)s
group by source_line, {key_list}, {effective}
having count(*) > 1;

-- name: count_lines
-- How many lines of the file have rows in staging. One row.
select count(distinct source_line)
from {table}
where load_id = %(load_id)s;

-- name: count_keys
-- How many keys were staged of a file, counted by 64-bit hashes, which may take two for one and
-- never one for two. One row.
select count(distinct hash_record_extended(row({key_list}), 0))
from {table}
where load_id = %(load_id)s;

-- name: reject
-- Record one rejected row, and its text. One row per line and reason.
with recorded as (
    insert into quarantined_row (load_id, feed, file, line, column_name, reason)
    values (%(load_id)s, %(feed)s, %(file)s, %(line)s, %(column_name)s, %(reason)s)
    returning rejected_row_id
)

insert into quarantined_line (rejected_row_id, raw_line)
select
    rejected_row_id,
    %(raw_line)s
from recorded
where %(raw_line)s::text is not null;

-- name: sample
-- Let statistics of staging be gathered from fewer rows than usual: which load a row is of and how
-- many keys there are shows in a few, and a table of years is read in as many places as rows are
-- looked at. Holds until the transaction ends. One row.
select set_config('default_statistics_target', '30', true);

-- name: analyze
-- Refresh the planner's statistics of the columns by which staged rows are looked up.
analyze {table} ({columns});

-- name: summarize
-- Let the index on load_id know of the rows that came. One row.
select brin_summarize_new_values({index}::regclass);

-- name: repeat_rows
-- Give a load the rows of another one whose file is the same. One row per line.
insert into {target} (load_id, source_line, {columns})
select
    %(load_id)s,
    source_line,
    {columns}
from {table}
where load_id = %(same_as)s;

-- name: repeat_rejects
-- Give a load the rejected rows of another one whose file is the same, those that are open.
-- One row per line and reason.
with held as materialized (
    select
        q.*,
        nextval(pg_get_serial_sequence('quality.quarantined_row', 'rejected_row_id')) as new_id
    from quarantined_row as q
    where q.load_id = %(same_as)s and q.feed = %(feed)s and q.closed_at is null
),

repeated as (
    insert into quarantined_row (rejected_row_id, load_id, feed, file, line, column_name, reason)
    overriding system value
    select
        new_id,
        %(load_id)s,
        feed,
        file,
        line,
        column_name,
        reason
    from held
)

insert into quarantined_line (rejected_row_id, raw_line)
select
    h.new_id,
    t.raw_line
from held as h
inner join quarantined_line as t on h.rejected_row_id = t.rejected_row_id;

-- name: repeat_file
-- Let a file that was skipped count as loaded, with the figures of the one that it equals.
-- One row per load and file.
update load_file as f
set
    status = 'loaded',
    rows_read = same.rows_read,
    rows_loaded = same.rows_loaded,
    rows_rejected = same.rows_rejected,
    rows_duplicate = same.rows_duplicate,
    rows_expired = same.rows_expired,
    rows_filtered = same.rows_filtered,
    rows_added = same.rows_added,
    expired_lines = same.expired_lines,
    totals = same.totals,
    columns = same.columns,
    header = same.header,
    contract = same.contract,
    findings = same.findings,
    distinct_keys = same.distinct_keys,
    latest_effective_ts = %(latest_effective_ts)s
from load_file as same
where f.load_id = %(load_id)s and f.feed = %(feed)s
    and same.load_id = %(same_as)s and same.feed = f.feed;

-- name: repeat_parts
-- Let the parts of a file that was skipped count as read, with the lines and figures of those that
-- they equal. One row per part.
update load_file_part as p
set
    first_line = same.first_line,
    rows_read = same.rows_read,
    rows_loaded = same.rows_loaded,
    rows_rejected = same.rows_rejected,
    rows_duplicate = same.rows_duplicate,
    rows_expired = same.rows_expired,
    rows_filtered = same.rows_filtered,
    rows_added = same.rows_added
from load_file_part as same
where p.load_id = %(load_id)s and p.feed = %(feed)s
    and same.load_id = %(same_as)s and same.feed = p.feed and same.part = p.part;
