-- Checks of the facts against staging: the same rows in the same state.
--: advice: Rows were changed or deleted by something other than a load: make full-load.

-- name: claims_named
-- The claims that the loads name whose change is looked at. One row per row.
select r.claim_id::text as claim_id
from claims_raw as r
where r.load_id = any(%(naming)s);

-- name: staged_asked
-- The rows of staging that are looked at: all of the loads, or those of the claims that are named,
-- in the partitions that have them. Only one of both parts is planned. A fragment; one row per row.
select s.*
from claims_raw as s
where %(is_whole)s::boolean and s.load_id = any(%(holding)s)
union all
select s.*
from claims_raw as s
where not %(is_whole)s::boolean and s.load_id = any(%(holding)s)
    and s.claim_id in ({claims_named});

-- name: staged_grouped
-- The claims of staging that are looked at, each with the group in which it is added up, none of
-- one that has more rows. What came before the last snapshot alone may be gone; so are claims whose
-- latest row is a marker. An amount below zero may take back an earlier state. A fragment; one row
-- per row of staging.
select
    s.*,
    case
        when s.claim_id not in (select r.claim_id from resent as r) then {group_of_claim}
    end as part,
    s.is_deleted is true
    or {s_is_reversal}
    or s.load_id = any(array(
        select p.load_id
        from places as p
        inner join last_snapshot as n on p.place < n.place
    )) as may_be_gone
from ({staged_asked}) as s;

-- name: stored_grouped
-- The claims that are looked at, each with the group in which it is added up, none of one that has
-- more rows. A fragment; one row per claim.
select
    s.*,
    case when r.claim_id is null then {group_of_claim} end as part
from asked as s
left join ({resent}) as r on s.claim_id = r.claim_id;

-- name: claims_against_staging
-- The claims against the latest state of their feed: each there once and nothing else, in that
-- state, keyed to what the feed names, and the same money. One row per rule.
-- Of a claim that staging has once there is no latest state to look for: it is the row that its own
-- load brought. Such claims are added up on either side in groups, and only those of groups that
-- differ are joined: a cluster's workers add up facts, and its coordinator does not see them. The
-- few claims with more rows are put in order and compared.
--: table: fact_claim
--: key: claim_id
--: loads: in facts
--: parts: named = claims_named, facts = every_claim, resent = claims_resent
--: gate: facts, facts = claims_looked_up, resent = no_claims
--: by month: yes
--: rule one_row_per_key: critical, consistency
--:   fails when: a row of staging is missing from the fact or there more than once
--: rule no_orphan_version: critical, consistency
--:   fails when: no row of staging is that of the fact
--: rule latest_state: critical, consistency
--:   fails when: the fact is not in its feed's latest state
--: rule keys_match_staging: critical, integrity
--:   fails when: the fact is keyed to other than its feed names
--: rule money_total: critical, consistency
--:   fails when: a money total differs from staging's
--:   advice: The checks latest_state and one_row_per_key list the facts that differ: make
--:     full-load.
with asked as {kept} (
    select *
    from {facts}
),

places as (
    {places}
),

last_snapshot as (  -- noqa: ST03, the fragment reads it
    select max(place) as place
    from places
    where is_snapshot
),

grouping as materialized (  -- noqa: ST03, the fragment reads it
    {claims_grouped}
),

resent as materialized (
    {resent}
),

staged_groups as materialized (
    select
        s.part,
        bit_xor(
            hash_record_extended(row(s.claim_id, s.load_id, {staged_key_values}, {staged_state}), 0)
        ) as whole,
        bool_or(s.may_be_gone) as may_be_gone,
        count(*) as facts,
        {totals}
    from (
        {staged_grouped}
    ) as s
    group by s.part
),

stored_groups as materialized (
    select
        f.part,
        bit_xor(
            hash_record_extended(row(f.claim_id, f.load_id, {stored_key_values}, {stored_state}), 0)
        ) as whole,
        count(*) as facts,
        {stored_totals}
    from (
        {stored_grouped}
    ) as f
    {references}
    group by f.part
),

differing as materialized (
    {groups_that_differ}
),

staged_differing as materialized (
    select
        s.claim_id,
        s.load_id,
        s.may_be_gone,
        hash_record_extended(row({staged_key_values}), 0) as keys,
        hash_record_extended(row({staged_state}), 0) as state
    from (
        {staged_grouped}
    ) as s
    inner join differing as d on s.part = d.part
),

stored_differing as materialized (
    select
        f.claim_id,
        f.load_id,
        hash_record_extended(row({stored_key_values}), 0) as keys,
        hash_record_extended(row({stored_state}), 0) as state
    from (
        {stored_grouped}
    ) as f
    inner join differing as d on f.part = d.part
    {references}
),

-- As text: on a cluster NULL, where no row is staged, would be read as a value of the domain.
unsettled as materialized (
    select
        s.claim_id::text as staged_claim_id,
        f.claim_id as stored_claim_id,
        (s.state is distinct from f.state) as is_outdated,
        (s.keys is distinct from f.keys) as is_miskeyed,
        s.may_be_gone
    from staged_differing as s
    full join stored_differing as f on s.claim_id = f.claim_id and s.load_id = f.load_id
    where s.claim_id is null
        or f.claim_id is null
        or s.may_be_gone
        or s.state is distinct from f.state
        or s.keys is distinct from f.keys
),

several as materialized (
    select coalesce(staged_claim_id, stored_claim_id) as claim_id
    from unsettled
    where staged_claim_id is null or stored_claim_id is null or may_be_gone
    union
    select claim_id
    from resent
),

rejected as materialized (
    {rejected_keys}
),

staged_of_several as materialized (
    select
        s.claim_id,
        row_number() over (
            partition by s.claim_id
            order by s.place desc, s.source_line desc
        ) as rank,
        s.is_deleted is true
        or exists (
            select 1
            from places as p
            where p.is_snapshot and p.place > s.place
                and (p.load_id, s.claim_id) not in (
                    select
                        r.load_id,
                        r.key
                    from rejected as r
                )
        ) as is_gone,
        hash_record_extended(row({netted_state}), 0) as state,
        hash_record_extended(row({staged_key_values}), 0) as keys,
        {staged_money},
        {netted_money}
    from (
        {staged_claims}
    ) as s
),

stored_of_several as materialized (
    select
        f.claim_id,
        hash_record_extended(row({stored_key_values}), 0) as keys,
        hash_record_extended(row({stored_state}), 0) as state
    from asked as f
    inner join several as c on f.claim_id = c.claim_id
    {references}
),

compared as (
    select
        coalesce(s.claim_id, f.claim_id) as claim_id,
        s.claim_id is not null as is_staged,
        f.claim_id is not null as is_stored,
        s.state <> f.state as is_outdated,
        s.keys <> f.keys as is_miskeyed
    from (
        select *
        from staged_of_several
        where rank = 1 and not is_gone
    ) as s
    full join stored_of_several as f on s.claim_id = f.claim_id
    union all
    select
        u.staged_claim_id,
        true,
        true,
        u.is_outdated,
        u.is_miskeyed
    from unsettled as u
    left join several as c on u.staged_claim_id = c.claim_id
    where u.staged_claim_id is not null and u.stored_claim_id is not null and c.claim_id is null
),

judged as (
    select
        count(*) filter (where not is_stored) as missing,
        count(*) filter (where not is_staged) as orphans,
        count(*) filter (where is_staged and is_stored and is_outdated) as outdated,
        count(*) filter (where is_staged and is_stored and is_miskeyed) as miskeyed,
        some_keys({key_of_row}) filter (where not is_stored) as keys_missing,
        some_keys({key_of_row}) filter (where not is_staged) as keys_orphans,
        some_keys({key_of_row}) filter (
            where is_staged and is_stored and is_outdated
        ) as keys_outdated,
        some_keys({key_of_row}) filter (
            where is_staged and is_stored and is_miskeyed
        ) as keys_miskeyed
    from compared
),

stored as (
    select
        coalesce(sum(facts), 0)::bigint as facts,
        {totals}
    from stored_groups
),

staged as (
    select
        coalesce(sum(facts), 0)::bigint as facts,
        {totals}
    from staged_groups
),

earlier as (
    select
        count(*) filter (where rank > 1 or is_gone) as facts,
        {earlier_totals}
    from staged_of_several
),

expected as (
    select
        staged.facts - earlier.facts as facts,
        {totals_without_earlier}
    from staged
    cross join earlier
)

select
    v.rule,
    v.rows_checked,
    v.rows_failed,
    v.failing_keys
from judged as j
cross join stored
cross join expected
cross join lateral (
    values
    (
        'one_row_per_key',
        expected.facts,
        j.missing + abs(stored.facts - j.orphans - (expected.facts - j.missing)),
        j.keys_missing
    ),
    ('no_orphan_version', stored.facts, j.orphans, j.keys_orphans),
    ('latest_state', stored.facts - j.orphans, j.outdated, j.keys_outdated),
    ('keys_match_staging', stored.facts - j.orphans, j.miskeyed, j.keys_miskeyed),
    ('money_total', expected.facts, {sums_stored_expected}, '[]')
) as v (rule, rows_checked, rows_failed, failing_keys);

-- name: latest_enrollments
-- The valid enrollments in staging: no later state has the same identifier, and none the
-- same member, plan and start; a row that takes coverage back counts for its own identifier alone,
-- and what a later snapshot lacks, also among its rejected rows, is gone. One row per enrollment.
with places as (
    {places}
),

staged as (
    select
        e.*,
        l.place,
        e.is_deleted is true or coalesce(e.end_date < e.start_date, false) as is_taken_back
    from enrollments_raw as e
    inner join places as l on e.load_id = l.load_id
),

rejected as materialized (
    {rejected_keys}
)

select
    s.enrollment_id,
    hash_record_extended(row({staged_state}), 0) as state,
    {staged_keys},
    {staged_money}
from (
    select
        e.*,
        row_number() over (
            partition by e.enrollment_id
            order by e.place desc, e.source_line desc
        ) as rank_of_id,
        row_number() over (
            partition by
                e.is_taken_back, nullif(e.member_id, ''), nullif(e.plan_id, ''), e.start_date
            order by e.place desc, e.source_line desc, e.enrollment_id desc
        ) as rank_of_grain
    from staged as e
) as s
where s.rank_of_id = 1 and not s.is_taken_back
    and not exists (
        select 1
        from places as p
        where p.is_snapshot and p.place > s.place
            and (p.load_id, s.enrollment_id) not in (
                select
                    r.load_id,
                    r.key
                from rejected as r
            )
    )
    and (
        s.rank_of_grain = 1
        -- Without a member or a plan nothing says that two are the same.
        or coalesce(s.member_id, '') = ''
        or coalesce(s.plan_id, '') = ''
    );

-- name: enrollments_against_staging
-- The enrollments against the valid ones in staging: each there once and nothing else, in that
-- state, keyed to what the feed names, and the same money. One row per rule.
--: table: fact_enrollment
--: key: enrollment_id
--: loads: in facts
--: gate: facts, scope = named_by_loads
--: rules as in: claims_against_staging
with latest as materialized (
    {latest_enrollments}
),

expected as (
    select
        count(*) as facts,
        {sums}
    from latest
),

compared as (
    select
        coalesce(s.{key}, f.{key}) as {key},
        s.{key} is not null as is_staged,
        f.{key} is not null as is_stored,
        s.state = hash_record_extended(row({stored_state}), 0) as is_latest,
        {keys_differ} as is_miskeyed,
        {stored_money}
    from latest as s
    full join (
        select f.*
        from {fact} as f
        where {scope}
    ) as f on s.{key} = f.{key}
    {references}
),

stored as (
    select
        count(*) filter (where is_stored) as facts,
        count(*) filter (where is_stored and is_staged) as known,
        count(*) filter (where not is_stored) as missing,
        count(*) filter (where is_stored and is_staged and not is_latest) as outdated,
        count(*) filter (where is_stored and is_staged and is_miskeyed) as miskeyed,
        some_keys({key_of_row}) filter (where not is_stored) as keys_missing,
        some_keys({key_of_row}) filter (where not is_staged) as keys_orphans,
        some_keys({key_of_row}) filter (
            where is_stored and is_staged and not is_latest
        ) as keys_outdated,
        some_keys({key_of_row}) filter (
            where is_stored and is_staged and is_miskeyed
        ) as keys_miskeyed,
        {sums}
    from compared
)

select
    'one_row_per_key' as rule,
    t.facts as rows_checked,
    h.missing + (h.known - (t.facts - h.missing)) as rows_failed,
    h.keys_missing as failing_keys
from stored as h
cross join expected as t
union all
select
    'no_orphan_version',
    h.facts,
    h.facts - h.known,
    h.keys_orphans
from stored as h
union all
select
    'latest_state',
    h.known,
    h.outdated,
    h.keys_outdated
from stored as h
union all
select
    'keys_match_staging',
    h.known,
    h.miskeyed,
    h.keys_miskeyed
from stored as h
union all
select
    'money_total',
    expected.facts,
    {sums_stored_expected},
    '[]'
from stored
cross join expected;

-- name: netted
-- An amount of a claim as the fact must have it. A fragment.
case  -- noqa: PRS, a value
    when s.is_reversing and {amount} < 0 then 0
    else {amount}
end

-- name: earlier_total
-- What staging has of an amount and the facts have not: it is an earlier state, it is gone, or it
-- reverses its own claim. A fragment.
coalesce(  -- noqa: PRS, a value
    sum({amount} - case when rank > 1 or is_gone then 0 else coalesce({netted}, 0) end), 0
) as {amount}
