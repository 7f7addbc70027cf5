-- Checks of staging against the ledger.
--: advice: Something other than a load changed rows of staging or of the ledger: make full-load
--:     takes the files in again.

-- name: loads_of_build
-- The loads that make up a build of the warehouse. A load that is still on its way belongs to
-- it from staging on; is_in_facts says whether it has come through. One row per load.
select
    l.load_id,
    l.status <> 'running'
    or exists (
        select 1
        from stage_run as r
        where r.load_id = l.load_id and r.stage = 'facts' and r.status = 'done'
    ) as is_in_facts
from load as l
where l.status = any(%(statuses)s)
    and (l.status <> 'running' or l.is_rebuild = ('rebuilt' = any(%(statuses)s)));

-- name: against_ledger
-- One feed's staging table, with what is archived of it, against what the ledger says of the loaded
-- files: row counts, control totals, and that every row belongs to a load. One row per rule.
--: for each: feed
--: gate: stage, scope = of_load
--: rule rows_as_in_file: critical, consistency
--:   fails when: staging has other rows than were loaded
--: rule load_known: critical, integrity
--:   fails when: the row's load is not one of this build
--: rule file_accounted: critical, consistency
--:   fails when: rows read are not those loaded, rejected, duplicate and expired
--:   advice: The ledger was changed by hand, or the loader miscounts: make full-load; if it stays,
--:     the code is wrong.
--: rule totals_as_in_file: critical, consistency
--:   only with: money
--:   fails when: a control total differs between manifest, file and staging
--:   advice: If the manifest's total is not the file's, ask the sender for the file again; else
--:     rows of staging were changed by hand: make full-load.
with in_staging as (
    select
        load_id,
        count(*) as row_count,
        jsonb_build_object({totals}) as totals
    from {staging}
    where {scope}
    group by load_id
),

in_files as (
    select
        n.load_id,
        n.row_count,
        n.totals
    from staging_archive_load as n
    inner join staging_archive as a on n.archive_id = a.archive_id
    where a.state = 'archived' and a.feed = %(feed)s and {scope}
),

-- Rows that are both in staging and in a file count twice, which they must not be.
stored as (
    select
        h.load_id,
        sum(h.row_count)::bigint as row_count,
        jsonb_build_object({totals_of_both}) as totals
    from (
        select *
        from in_staging
        union all
        select *
        from in_files
    ) as h
    group by h.load_id
),

reported as (
    select
        load_id,
        rows_read,
        rows_loaded,
        rows_rejected,
        rows_duplicate,
        rows_expired,
        rows_filtered,
        rows_added,
        totals
    from load_file
    where feed = %(feed)s and status = 'loaded' and load_id = any(%(loads)s)
),

compared as (
    select
        t.rows_read,
        t.rows_loaded,
        t.rows_rejected,
        t.rows_duplicate,
        t.rows_expired,
        t.rows_filtered,
        t.rows_added,
        t.totals,
        coalesce(t.load_id, h.load_id) as load_id,
        coalesce(h.row_count, 0) as row_count,
        h.totals as stored_totals,
        t.load_id is not null as is_reported
    from stored as h
    full join reported as t on h.load_id = t.load_id
),

money as (
    select
        c.load_id,
        coalesce((c.stored_totals ->> t.key)::numeric, 0) as stored_usd,
        (t.value ->> 'in_file')::numeric as in_file_usd,
        (t.value ->> 'loaded')::numeric as loaded_usd,
        (t.value ->> 'rejected')::numeric as rejected_usd,
        (t.value ->> 'duplicate')::numeric as duplicate_usd,
        coalesce((t.value ->> 'expired')::numeric, 0) as expired_usd,
        coalesce((t.value ->> 'filtered')::numeric, 0) as filtered_usd,
        -- What cannot be read is in no total but the sender's.
        case
            when (t.value ->> 'unread')::bigint = 0 then (t.value ->> 'expected')::numeric
        end as expected_usd
    from compared as c
    cross join lateral jsonb_each(c.totals) as t
    where c.is_reported
)

select
    'rows_as_in_file' as rule,
    coalesce(sum(row_count), 0)::bigint as rows_checked,
    coalesce(sum(abs(row_count - rows_loaded)) filter (where is_reported), 0)::bigint
    as rows_failed,
    some_keys(jsonb_build_object('load_id', load_id)) filter (
        where is_reported and row_count <> rows_loaded
    ) as failing_keys
from compared
union all
select
    'load_known',
    coalesce(sum(row_count), 0)::bigint,
    coalesce(sum(row_count) filter (where not is_reported), 0)::bigint,
    some_keys(jsonb_build_object('load_id', load_id)) filter (where not is_reported)
from compared
union all
select
    'file_accounted',
    coalesce(sum(rows_read), 0)::bigint,
    coalesce(
        sum(
            abs(
                rows_read + rows_added - rows_loaded - rows_rejected - rows_duplicate
                - rows_expired - rows_filtered
            )
        ), 0
    )::bigint,
    some_keys(jsonb_build_object('load_id', load_id)) filter (
        where rows_read + rows_added
        <> rows_loaded + rows_rejected + rows_duplicate + rows_expired + rows_filtered
    )
from compared
where is_reported
union all
select
    'totals_as_in_file',
    count(*),
    count(*) filter (where is_off),
    some_keys(jsonb_build_object('load_id', load_id)) filter (where is_off)
from (
    select
        load_id,
        (
            stored_usd is distinct from loaded_usd
            or in_file_usd is distinct from
            loaded_usd + rejected_usd + duplicate_usd + expired_usd + filtered_usd
            or coalesce(in_file_usd <> expected_usd, false)
        ) as is_off
    from money
) as judged;

-- name: skipped_files
-- Files that were skipped because their bytes were loaded before: whether the build has a load of
-- them. One row; a row checked is a file.
--: for each: feed
--: rule skipped_is_held: critical, completeness
--:   fails when: a file was skipped as loaded before, and the build has no load of its bytes
select
    'skipped_is_held' as rule,
    count(*) as rows_checked,
    count(*) filter (where not judged.is_stored) as rows_failed,
    some_keys(jsonb_build_object('load_id', judged.load_id)) filter (
        where not judged.is_stored
    ) as failing_keys
from (
    select
        f.load_id,
        f.xxh3_128 in (
            select stored.xxh3_128
            from load_file as stored
            where stored.load_id = any(%(loads)s)
                and stored.feed = %(feed)s
                and stored.status = 'loaded'
        ) as is_stored
    from load_file as f
    where f.load_id = any(%(loads)s) and f.feed = %(feed)s and f.status = 'skipped'
) as judged;

-- name: lines_rejected
-- Rows that were rejected as lines of a thing that the feed has one row of.
-- One row; a row checked is one that was loaded or rejected so.
--: for each: feed with line
--: gate: stage
--: rule no_lines: major, completeness
--:   fails when: rows share a claim id and are lines of the claim, of which the last one alone is
--:     loaded
--:   advice: Ask the sender for one row per claim with the sums of its lines, and for the lines in
--:     claim_lines.csv. The notes in ledger.load_file say how much money was rejected.
select
    'no_lines' as rule,
    loaded.row_count + lines.row_count as rows_checked,
    lines.row_count as rows_failed,
    lines.failing_keys
from (
    select
        count(*) as row_count,
        some_keys(jsonb_build_object('load_id', q.load_id, 'line', q.line)) as failing_keys
    from quarantined_row as q
    where q.load_id = any(%(loads)s) and q.feed = %(feed)s
        and q.reason = {line_reason} and q.closed_at is null
) as lines
cross join (
    select coalesce(sum(f.rows_loaded), 0)::bigint as row_count
    from load_file as f
    where f.load_id = any(%(loads)s) and f.feed = %(feed)s and f.status = 'loaded'
) as loaded;
