-- Checks of the slowly changing dimensions against their own rules.
--: advice: A version was changed by hand: make restate DIM={name} shows what staging has and
--:     repairs it; else make full-load.

-- name: touched
-- Whether the current load made a version of a row's key or changed one: a fragment of a where
-- clause.
({keys}) in (  -- noqa: PRS, part of a where clause
    select {keys}
    from {dim}
    where load_id = %(load_id)s
    union all
    select {keys}
    from {past}
    where known_to_load_id = %(load_id)s
)

-- name: of_histories
-- Whether a version's key has anything to compare: more than one version, or one that is not current
-- for all time. A version that is the only one of its key, from 1900 on without an end, can break no
-- rule that is about several. A fragment of a where clause.
(  -- noqa: PRS, part of a where clause
    num_nulls({sk}, {keys}) > 0
    or ({keys}) in (
        select {keys}
        from {dim}
        group by {keys}
        having count(*) > 1
            or not bool_and(
                current_flag
                and validity_start_ts = {beginning}
                and validity_end_ts = {open_end}
            )
    )
)

-- name: as_compared
-- The versions that are counted: those that are compared. A fragment.
judged  -- noqa: PRS, a step of the statement

-- name: versions
-- The versions of one dimension against each other. One row per rule.
--: for each: dimension
--: key: {row_key}
--: parts: compared_versions = of_histories, counted_versions = dim
--: gate: dims, compared_versions = touched, counted_versions = as_compared
--: rule keys_present: critical, completeness
--:   fails when: a key is missing
--: rule no_empty_version: critical, consistency
--:   fails when: a version ends when or before it starts
--: rule no_overlap: critical, consistency
--:   fails when: two versions of one key overlap
--: rule first_from_1900: critical, consistency
--:   fails when: a first version starts after 1900-01-01
--: rule one_current: critical, uniqueness
--:   fails when: a key has more than one current version
--: rule version_end_has_cause: critical, consistency
--:   fails when: a version ends, none follows at once, and neither a snapshot that lacks the key
--:     nor a delete marker says why
--: rule current_is_open: critical, consistency
--:   fails when: the current flag disagrees with the end
--: rule neighbors_differ: critical, consistency
--:   fails when: a version repeats the one before it
--: rule type_1_everywhere: critical, consistency
--:   only with: type_1
--:   fails when: a Type 1 attribute differs between versions of one key
--: rule sk_unique: critical, uniqueness
--:   fails when: two versions have one surrogate key
--:   advice: The primary key was taken off the table: make full-load makes it again.
with causes_of_ends as (
    -- A key may end at the time of a snapshot that lacks it, or from which on it was restated.
    select
        l.load_id,
        l.as_of at time zone 'UTC' as as_of_ts,
        false as is_restatement
    from load_file as f
    inner join load as l on f.load_id = l.load_id
    where f.feed = %(feed)s and f.kind = 'snapshot' and f.status = 'loaded'
        and f.load_id = any(%(loads)s)
    union all
    select
        l.load_id,
        l.as_of at time zone 'UTC',
        true
    from load as l
    inner join stage_run as r on l.load_id = r.load_id
    where r.stage = 'restate' and r.status = 'done' and l.load_id = any(%(loads)s)
        and l.kind = 'restatement' and l.subject = {name}
),

compared as (
    select
        d.{sk},
        {keys_of_dim},
        num_nulls(d.{sk}, {keys_of_dim}) > 0 as lacks_key,
        d.validity_start_ts,
        d.validity_end_ts,
        d.current_flag,
        d.attr_hash,
        d.drivers,
        d.type_1,
        lag(d.validity_end_ts) over history as last_end_ts,
        lag(d.attr_hash) over history as last_attr_hash,
        lag(d.drivers) over history as last_drivers,
        lag(d.type_1) over history as last_type_1,
        lead(d.validity_start_ts) over history as next_start_ts,
        count(*) filter (where d.current_flag) over whole as current_versions
    from (
        select
            *,
            -- Narrow values to sort and compare instead of all the attributes.
            hash_record_extended(row({drivers}), 0) as drivers,
            hash_record_extended(row({type_1}), 0) as type_1
        from {dim}
        where {compared_versions}
    ) as d
    window
        history as (partition by {keys_of_dim} order by d.validity_start_ts),
        whole as (partition by {keys_of_dim})
),

judged as (
    select
        {sk},
        lacks_key as keys_present,
        validity_end_ts <= validity_start_ts as no_empty_version,
        validity_start_ts < last_end_ts as no_overlap,
        last_end_ts is null and validity_start_ts <> {beginning} as first_from_1900,
        next_start_ts is null and current_versions > 1 as one_current,
        validity_end_ts < coalesce(next_start_ts, {open_end})
        and not exists (
            select 1
            from causes_of_ends as e
            where e.as_of_ts = validity_end_ts
                and (
                    e.is_restatement
                    or not exists (
                        select 1
                        from {staging} as s
                        where s.load_id = e.load_id and {key_s_compared}
                        union all
                        select 1
                        from rejected_key as n
                        where n.load_id = e.load_id and n.feed = %(feed)s
                            and n.key = array[{key_texts}]
                    )
                )
        )
        and not exists (
            -- Or when a delete marker takes effect; no first version may be empty.
            select 1
            from {staging} as s
            inner join load as l on s.load_id = l.load_id
            where {marked} and {key_s_compared}
                and s.load_id = any(%(loads)s)
                and greatest({effective}, {beginning} + interval '1 microsecond')
                = validity_end_ts
        ) as version_end_has_cause,
        current_flag <> (validity_end_ts = {open_end}) as current_is_open,
        validity_start_ts = last_end_ts
        and (attr_hash = last_attr_hash or drivers = last_drivers)
        -- What they differed in may be what erasure took away; their keys stay.
        and not {is_erased} as neighbors_differ,
        type_1 <> last_type_1 as type_1_everywhere
    from compared
),

counted as (
    select {tallies}
    from judged
),

whole as (
    select
        count(*) as versions,
        count(*) - count(distinct {sk}) as repeated_sk
    from {counted_versions}
)

select
    v.rule,
    whole.versions as rows_checked,
    v.rows_failed,
    v.failing_keys
from counted
cross join whole
cross join lateral (
    values
    ('sk_unique', whole.repeated_sk, '[]'::jsonb),
    {tallied}
) as v (rule, rows_failed, failing_keys);

-- name: hashes
-- The stored hash of each version against the hash of its change drivers. A hash of an earlier
-- definition waits for the next load to be made again and is not judged. One row.
--: for each: dimension
--: key: d.{row_key}
--: gate: dims, scope = of_load
--: rule attr_hash_recomputed: critical, integrity
--:   fails when: the stored hash is not that of the row's change drivers
select
    'attr_hash_recomputed' as rule,
    count(*) as rows_checked,
    count(*) filter (where d.is_other) as rows_failed,
    some_keys({key_of_row}) filter (where d.is_other) as failing_keys
from (
    select
        d.{sk},
        d.attr_hash <> {hash_of_dim} as is_other
    from {dim} as d
    where d.hash_version = {hash_version} and {scope}
    -- Merged with the rest, it would make each hash twice: to count it and to show its key.
    offset 0
) as d;

-- name: published
-- What a cluster publishes of a dimension against what loads have changed. One row.
--: for each: dimension
--: key: {row_key}
--: gate: dims
--: rule published_as_kept: critical, consistency
--:   fails when: on a cluster a version is published otherwise than loads have it, or not at all, or
--:     is published and gone
--:   advice: What is published was changed by hand: the next load of the dimension's feed publishes
--:     it again.
select
    'published_as_kept' as rule,
    p.rows_checked,
    p.rows_failed,
    p.failing_keys
from compare_published({name}, {sk_name}) as p;

-- name: keys
-- The keys of a dimension against those of its feed: each has a version, and none that was
-- inferred is in place of one that came; every version's key came, or a fact named it. Delete
-- markers name no key. One row per rule.
--: for each: dimension
--: key: {natural_key}
--: rule keys_match_staging: critical, completeness
--:   fails when: the feed has a key that has no version, or only an inferred row
--: rule no_orphan_version: critical, consistency
--:   fails when: no row of the feed has the key, and it is not inferred
with staged as (
    select
        {keys_of_staging},
        bool_or(s.load_id = any(%(loads_in_facts)s)) as is_due
    from {staging} as s
    where s.load_id = any(%(loads)s) and not coalesce({marked}, false)
    group by {keys_of_staging}
),

stored as (
    select
        {keys_of_dim},
        bool_or(d.is_inferred) as is_inferred
    from {dim} as d
    where d.{sk} <> -1
    group by {keys_of_dim}
),

compared as (
    select
        {either_key},
        staged.is_due,
        stored.is_inferred
    from staged
    full join stored on {key_staged_stored}
)

select
    v.rule,
    v.rows_checked,
    v.rows_failed,
    v.failing_keys
from (
    select
        count(*) filter (where is_due) as staged,
        count(*) filter (where is_due and is_inferred is distinct from false) as missing,
        some_keys({key_of_row}) filter (
            where is_due and is_inferred is distinct from false
        ) as keys_missing,
        count(is_inferred) as stored,
        count(*) filter (where not is_inferred and is_due is null) as orphans,
        some_keys({key_of_row}) filter (
            where not is_inferred and is_due is null
        ) as keys_orphaned
    from compared
) as counted
cross join lateral (
    values
    ('keys_match_staging', counted.staged, counted.missing, counted.keys_missing),
    ('no_orphan_version', counted.stored, counted.orphans, counted.keys_orphaned)
) as v (rule, rows_checked, rows_failed, failing_keys);

-- name: known_rows
-- The rows of a load that the snapshot before it lacks, where it has come through its own gate: the
-- keys of the others have a version since then. None where nothing is known of the rows.
-- One row per feed.
select r.other_lines
from access.row_fingerprint as r
inner join load_file as f on r.same_as_load_id = f.load_id and r.feed = f.feed
inner join stage_run as d on f.load_id = d.load_id
where r.load_id = %(load_id)s and r.feed = %(feed)s
    and f.status = 'loaded' and d.stage = 'dims' and d.status = 'done'

-- name: has_no_version
-- Whether the key of a staged row has no version that its feed brought. A fragment of a where clause.
not exists (  -- noqa: PRS, part of a where clause
    select 1
    from {dim} as d
    where {key_d_s} and not d.is_inferred
)

-- name: keys_of_load
-- The keys that the current load brought against the dimension: each has a version that is not
-- inferred. Delete markers name no key. A row that the snapshot before has too brings no key that is
-- not there since then. One row.
--: for each: dimension
--: key: {natural_key}
--: only in gate: dims
--: rules as in: keys, only keys_match_staging
with missing as (
    select {keys_of_staging}
    from {staging} as s
    where s.load_id = %(load_id)s and not coalesce({marked}, false)
        and not exists ({known_rows})
        and {has_no_version}
    union
    -- Few rows: each key is looked up, whatever the dimension has.
    select {keys_of_staging}
    from ({known_rows}) as k
    cross join lateral unnest(k.other_lines) as o (source_line)
    inner join {staging} as s on o.source_line = s.source_line
    where s.load_id = %(load_id)s and not coalesce({marked}, false)
        and {has_no_version}
)

select
    'keys_match_staging' as rule,
    -- Staging has as many rows as the ledger says, or its gate had not let them pass.
    (
        select coalesce(sum(f.rows_loaded), 0)::bigint
        from load_file as f
        where f.load_id = %(load_id)s and f.feed = %(feed)s and f.status = 'loaded'
    ) - (
        select count(*)
        from {staging} as s
        where s.load_id = %(load_id)s and {marked}
    ) as rows_checked,
    count(*) as rows_failed,
    some_keys({key_of_row}) as failing_keys
from missing;
