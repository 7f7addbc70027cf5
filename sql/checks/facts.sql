-- Checks of the facts against staging, the dimensions and the calendar.
--: advice: Rows were changed or deleted by something other than a load: make full-load.

-- name: places
-- The loads of a feed in the order of their batches. One row a load.
select
    l.load_id,
    p.kind = 'snapshot' as is_snapshot,
    l.batch_rank as place
from load_file as p
inner join batch_order as l on p.load_id = l.load_id
where p.feed = %(feed)s and p.status = 'loaded' and p.load_id = any(%(loads)s);

-- name: staged_claims
-- The rows of staging of several claims, with the place of their load and whether they reverse what
-- an earlier one has of the same claim, so that nothing of it is left. A fragment; one row a row.
select  -- noqa: PRS, part of a from clause
    s.*,
    l.place,
    {s_is_reversal}
    and (
        coalesce(
            bool_or(s.is_deleted is not true and (not {s_is_reversal} or {s_in_file})) over (
                partition by s.claim_id
                order by l.place
                rows between unbounded preceding and current row
            ),
            false
        )
        -- Looked for only where there is a reversal.
        or s.claim_id in (
            select before.claim_id
            from claims_raw as before
            where before.load_id = any(%(loads_before)s)
                and before.is_deleted is not true
                and (not {before_is_reversal} or {before_in_file})
        )
    ) as is_reversing
from claims_raw as s
inner join several as c on s.claim_id = c.claim_id
inner join places as l on s.load_id = l.load_id

-- name: netted
-- An amount of a claim as the fact has to hold it. A fragment.
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

-- name: resent_claims
-- Claims that came again changed: for another member, of another day of service, or below zero
-- after they came at or above it, by another amount too. One row a claim and rule.
--: table: fact_claim
--: key: claim_id
--: counted by: all_states
--: loads: in facts
--: rule one_member: major, consistency
--:   fails when: a claim id came again for another member; the latest one counts
--:   advice: Ask the sender whether the member was corrected or the id was given to two claims:
--:     then the money of the first one is missing.
--: rule one_service_date: major, consistency
--:   fails when: a claim id came again with another day of service; the latest one counts
--:   advice: Ask the sender whether the day was corrected or the id was given to two claims: then
--:     the money of the first one is missing.
--: rule not_reversed_by_itself: minor, consistency
--:   fails when: a claim came again under its own id with amounts below zero; nothing of it is left
--:   advice: If it was no reversal but an adjustment, ask the sender to call it adjusted.
--: rule reversed_in_full: major, consistency
--:   fails when: a claim came again under its own id below zero by another amount than it had; it
--:     counts as 0.00
--:   advice: Ask the sender what is left of the claim, and to send that as its new state, or to
--:     call the row adjusted.
with several as materialized (
    select h.claim_id
    from fact_claim_state as h
    union
    select n.key[1]
    from rejected_key as n
    where n.feed = 'claims' and n.reversed_in_full is not null and n.load_id = any(%(loads)s)
),

places as (
    {places}
),

states_in_order as (
    select
        s.*,
        l.place,
        {s_is_reversal} as is_reversal,
        {s_in_file} as is_reversed_in_file
    from claims_raw as s
    inner join several as c on s.claim_id = c.claim_id
    inner join places as l on s.load_id = l.load_id
    where s.is_deleted is not true
),

reversed_otherwise as (
    select r.claim_id
    from states_in_order as r
    inner join lateral (
        select b.*
        from states_in_order as b
        where b.claim_id = r.claim_id and b.place < r.place and not b.is_reversal
        order by b.place desc
        limit 1
    ) as b on true
    where r.is_reversal and not r.is_reversed_in_file
        and (
            r.claim_amount + b.claim_amount <> 0
            or r.allowed_amount + b.allowed_amount <> 0
            or r.paid_amount + b.paid_amount <> 0
        )
    union
    select n.key[1]
    from rejected_key as n
    where n.feed = 'claims' and not n.reversed_in_full and n.load_id = any(%(loads)s)
),

states as (
    select
        s.claim_id,
        min(nullif(s.member_id, '')) <> max(nullif(s.member_id, '')) as has_members,
        min(s.service_date) <> max(s.service_date) as has_days,
        (bool_or(s.is_reversal) and not bool_and(s.is_reversal))
        or bool_or(s.is_reversal and s.is_reversed_in_file) as is_reversed
    from states_in_order as s
    group by s.claim_id
)

select
    v.rule,
    t.claim_id
from states as t
cross join lateral (
    values
    ('one_member', t.has_members),
    ('one_service_date', t.has_days),
    ('not_reversed_by_itself', t.is_reversed),
    (
        'reversed_in_full',
        t.claim_id in (
            select o.claim_id
            from reversed_otherwise as o
        )
    )
) as v (rule, is_broken)
where v.is_broken;

-- name: resent_claims_of_load
-- The same of what a load brought: what it changed is found in the past of the fact, what a later
-- batch has the last word on by its key. One row a claim and rule.
--: table: fact_claim
--: key: claim_id
--: counted by: all_states
--: loads: in facts
--: only in gate: facts
--: rules as in: resent_claims
with ranked_load as materialized (
    select
        load_id,
        batch_rank
    from batch_order
),

states as (
    select
        f.claim_id,
        f.service_date,
        f.member_sk,
        w.service_date as other_date,
        m.member_id as other_member,
        w.member_sk <> -1 as names_other
    from fact_claim_past as w
    inner join fact_claim as f on w.claim_id = f.claim_id
    inner join dim_member as m on w.member_sk = m.member_sk
    where w.known_to_load_id = %(load_id)s
    union all
    select
        f.claim_id,
        f.service_date,
        f.member_sk,
        s.service_date as other_date,
        s.member_id as other_member,
        s.member_id <> '' as names_other
    from claims_raw as s
    inner join fact_claim as f on s.claim_id = f.claim_id and s.load_id <> f.load_id
    -- A load whose batch is the latest has the last word on all that it brings.
    where s.load_id = %(load_id)s and s.is_deleted is not true
        and cardinality(%(loads)s::bigint[]) > 1
)

select distinct
    v.rule,
    t.claim_id
from states as t
inner join dim_member as m on t.member_sk = m.member_sk
cross join lateral (
    values
    ('one_member', t.names_other and t.member_sk <> -1 and t.other_member <> m.member_id),
    ('one_service_date', t.other_date <> t.service_date)
) as v (rule, is_broken)
where v.is_broken
union
select
    'not_reversed_by_itself',
    s.claim_id
from claims_raw as s
inner join fact_claim_state as h on s.claim_id = h.claim_id
where s.load_id = %(load_id)s and {s_is_reversal}
union
select
    v.rule,
    n.key[1]
from rejected_key as n
cross join lateral (
    values
    ('not_reversed_by_itself', true),
    ('reversed_in_full', not n.reversed_in_full)
) as v (rule, is_broken)
where n.load_id = %(load_id)s and n.feed = 'claims' and n.reversed_in_full is not null
    and v.is_broken
union
select
    'reversed_in_full',
    s.claim_id
from claims_raw as s
inner join ranked_load as l on s.load_id = l.load_id
inner join lateral (
    select h.*
    from fact_claim_state as h
    inner join ranked_load as before on h.load_id = before.load_id
    where h.claim_id = s.claim_id and not {h_is_reversal} and before.batch_rank < l.batch_rank
    -- A state that was reversed is held as zero: then the one before it was.
    order by
        coalesce(greatest(h.claim_amount, h.allowed_amount, h.paid_amount) > 0, false) desc,
        before.batch_rank desc
    limit 1
) as h on true
where s.load_id = %(load_id)s and s.is_deleted is not true and {s_is_reversal}
    and not {s_in_file}
    and (
        s.claim_amount + h.claim_amount <> 0
        or s.allowed_amount + h.allowed_amount <> 0
        or s.paid_amount + h.paid_amount <> 0
    );

-- name: latest_enrollments
-- The enrollments in staging that stand: no later state has the same identifier, and none the
-- same member, plan and start; a row that takes coverage back counts for its own identifier alone,
-- and what a later snapshot lacks, also among its rejected rows, is gone. One row an enrollment.
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
            order by e.place desc, e.source_line desc
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
                    n.load_id,
                    n.key[1]
                from rejected_key as n
                where n.feed = %(feed)s
            )
    )
    and (
        s.rank_of_grain = 1
        -- Without a member or a plan nothing says that two are the same.
        or coalesce(s.member_id, '') = ''
        or coalesce(s.plan_id, '') = ''
    );

-- name: all_states
-- How many states of claims before the latest there are, of each of which the rules can say
-- something. One row.
select
    count(*) as rows_checked,
    jsonb_build_object() as judged
from fact_claim_state;

-- name: claims_against_staging
-- The claims against the latest state of their feed: each there once and nothing else, in that
-- state, keyed to what the feed names, and the same money. One row a rule.
-- Of a claim that staging has once there is no latest state to look for: it is joined to the row
-- that its own load brought, in one pass that runs in parallel and hands on only what is not as it
-- should be. The few claims with more rows are put in order and compared.
--: table: fact_claim
--: key: claim_id
--: loads: in facts
--: gate: facts, scope = named_by_loads
--: rule one_row_per_key: critical, consistency
--:   fails when: a row of staging is missing from the fact or there more than once
--: rule no_orphan_version: critical, consistency
--:   fails when: no row of staging is that of the fact
--: rule latest_state: critical, consistency
--:   fails when: the fact is not in its feed's latest state
--: rule keyed_as_told: critical, integrity
--:   fails when: the fact is keyed to other than its feed names
--: rule money_total: critical, consistency
--:   fails when: a money total differs from staging's
--:   advice: The checks latest_state and one_row_per_key list the facts that differ: make
--:     full-load.
with asked as {kept} (
    select f.*
    from fact_claim as f
    where {scope}
),

places as (
    {places}
),

-- What came before the last snapshot alone may be gone; so are claims whose latest row is a
-- marker. An amount below zero may take back an earlier state.
last_snapshot as (
    select max(place) as place
    from places
    where is_snapshot
),

unsettled as materialized (
    select
        s.claim_id as staged_claim_id,
        f.claim_id as stored_claim_id,
        (s.state is distinct from f.state) as is_outdated,
        {keys_differ} as is_miskeyed,
        s.may_be_gone
    from (
        select
            s.claim_id,
            s.load_id,
            s.is_deleted is true
            or {s_is_reversal}
            or s.load_id in (
                select p.load_id
                from places as p
                inner join last_snapshot as n on p.place < n.place
            ) as may_be_gone,
            hash_record_extended(row({staged_state}), 0) as state,
            {staged_keys}
        from claims_raw as s
        where s.load_id = any(%(loads)s)
    ) as s
    full join (
        select
            f.*,
            hash_record_extended(row({stored_state}), 0) as state
        from asked as f
    ) as f on s.claim_id = f.claim_id and s.load_id = f.load_id
    {references}
    where s.claim_id is null
        or f.claim_id is null
        or s.may_be_gone
        or s.state is distinct from f.state
        or {keys_differ}
),

several as materialized (
    select distinct coalesce(staged_claim_id, stored_claim_id) as claim_id
    from unsettled
    where staged_claim_id is null or stored_claim_id is null or may_be_gone
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
                        n.load_id,
                        n.key[1]
                    from rejected_key as n
                    where n.feed = %(feed)s
                )
        ) as is_gone,
        hash_record_extended(row({netted_state}), 0) as state,
        {staged_keys},
        {staged_money},
        {netted_money}
    from (
        {staged_claims}
    ) as s
),

compared as (
    select
        coalesce(s.claim_id, f.claim_id) as claim_id,
        s.claim_id is not null as is_staged,
        f.claim_id is not null as is_stored,
        s.state <> hash_record_extended(row({stored_state}), 0) as is_outdated,
        {keys_differ} as is_miskeyed
    from (
        select *
        from staged_of_several
        where rank = 1 and not is_gone
    ) as s
    full join (
        select f.*
        from asked as f
        inner join several as c on f.claim_id = c.claim_id
    ) as f on s.claim_id = f.claim_id
    {references}
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
        count(*) as facts,
        {totals}
    from asked
),

staged as (
    select
        count(*) as facts,
        {totals}
    from claims_raw as s
    where s.load_id = any(%(loads)s)
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
    ('keyed_as_told', stored.facts - j.orphans, j.miskeyed, j.keys_miskeyed),
    ('money_total', expected.facts, {sums_stored_expected}, '[]')
) as v (rule, rows_checked, rows_failed, failing_keys);

-- name: enrollments_against_staging
-- The enrollments against those in staging that stand: each there once and nothing else, in that
-- state, keyed to what the feed names, and the same money. One row a rule.
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
    'keyed_as_told',
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

-- name: named_by_loads
-- Whether the loads asked about have a row of a fact: a fragment of a where clause.
f.{key} in (  -- noqa: PRS, part of a where clause
    select r.{key}
    from {staging} as r
    where r.load_id = any(%(loads)s)
)

-- name: claim_of_load
-- The claims that a load brought, each looked up in the partition of its day: a fragment of a from
-- clause.
(  -- noqa: PRS, part of a from clause
    select c.*
    from claims_raw as r
    cross join lateral (
        select *
        from fact_claim as c
        where c.claim_id = r.claim_id and c.service_date = r.service_date and c.load_id = r.load_id
        order by c.claim_id
        -- Keeps the look-up a look-up.
        offset 0
    ) as c
    where r.load_id = %(load_id)s
) as f

-- name: enrollment_of_load
-- Where the enrollments that a load brought are found: a fragment of a from clause.
fact_enrollment as f  -- noqa: PRS, part of a from clause

-- name: claim_is_of_load
-- Whether a claim is of the current load: a fragment of a where clause.
f.load_id = %(load_id)s  -- noqa: PRS, a condition

-- name: enrollment_is_of_load
-- The same of an enrollment.
f.load_id = %(load_id)s and {named_by_loads}  -- noqa: PRS, a condition

-- name: out_of_force
-- Whether the version that a fact is keyed to was not in force on the fact's date: a fragment of a
-- select list. Where the key was gone on that date, the last version before it is meant.
case  -- noqa: PRS, part of a select list
    when {dim}.{sk} is null then false
    when {date} < {dim}.validity_start_ts then true
    when {date} < {dim}.validity_end_ts then false
    else exists (
        select 1
        from {dim} as later
        where {same_key}
            and later.validity_start_ts > {dim}.validity_start_ts
            and later.validity_start_ts <= {date}
    )
end

-- name: keyed
-- A fact joined to all its dimensions at once, as reports do, in one pass: no key is empty, each
-- version is there and was in force, each date key is of its day, and the joins change neither
-- the number of facts nor the money. One row a rule.
--: for each: fact
--: key: {row_key}
--: gate: facts, facts = {name}_of_load, scope = {name}_is_of_load
--: rule joins_preserve_row_count: critical, integrity
--:   fails when: joins to all the dimensions at once lose facts or repeat them
--:   advice: A row of a dimension or of dim_date was deleted or is there twice: make full-load.
--: rule joins_keep_money: critical, integrity
--:   fails when: joins to all the dimensions at once change a money total
--:   advice: A row of a dimension or of dim_date was deleted or is there twice: make full-load.
--: rule keys_present: critical, completeness
--:   fails when: a key, date or load is missing
--: rule {sk}_has_version: critical, integrity
--:   for each: reference
--:   fails when: the dimension lacks the version
--:   advice: A version was deleted by hand: make full-load.
--: rule {sk}_in_force: critical, integrity
--:   for each: reference
--:   fails when: the version was not in force on the fact's date
--:   advice: A version was changed by hand: make full-load.
--: rule {date_key}_in_calendar: critical, integrity
--:   for each: date key
--:   column: {date_key}
--:   fails when: dim_date lacks the day, or the key is of another day
with asked as {kept} (
    select f.*
    from {facts}
    where {scope}
),

alone as (
    select
        count(*) as facts,
        {sums}
    from asked
),

judged as (
    select
        {columns},
        {is_whole} as is_whole,
        {flags}
    from asked as f
    {joins}
),

joined as (
    select
        count(*) filter (where is_whole) as facts,
        {money_of_whole},
        {tallies}
    from judged
)

select
    v.rule,
    alone.facts as rows_checked,
    v.rows_failed,
    v.failing_keys
from alone
cross join joined
cross join lateral (
    values
    ('joins_preserve_row_count', abs(joined.facts - alone.facts), '[]'::jsonb),
    ('joins_keep_money', {sums_joined_alone}, '[]'),
    {tallied}
) as v (rule, rows_failed, failing_keys);

-- name: claim_chain
-- The chain of states of every claim that has been in more than one, by the order of the batches:
-- it ends in the state of the fact, its changes of the amount paid add up to what the fact has, and
-- each state came with another load. One row a rule; a row checked is a claim.
--: table: fact_claim_state
--: key: claim_id
--: advice: Earlier states of claims, or a claim's load_id, were changed by hand: make full-load.
--: rule ends_in_fact: critical, consistency
--:   fails when: the chain of a claim's states does not end in the fact's
--: rule nets_to_paid: critical, consistency
--:   fails when: the changes of a claim's paid amount do not add up to the fact's
--: rule one_state_a_load: critical, uniqueness
--:   fails when: two states of a claim are of one load
with changed as (
    select distinct h.claim_id
    from fact_claim_state as h
),

chain as (
    select
        h.claim_id,
        h.load_id,
        h.is_latest,
        h.service_date,
        coalesce(h.paid_amount, 0) as paid_amount,
        lag(coalesce(h.paid_amount, 0), 1, 0::numeric) over by_rank as last_paid_amount,
        lag(h.load_id) over by_rank as last_load_id,
        lead(h.load_id) over by_rank is null as is_end
    from fact_claim_history as h
    inner join changed as c on h.claim_id = c.claim_id
    inner join batch_order as l on h.load_id = l.load_id
    window by_rank as (partition by h.claim_id order by l.batch_rank)
),

summed as (
    select
        c.claim_id,
        bool_and(c.is_latest = c.is_end) as ends_in_latest,
        bool_or(c.load_id = c.last_load_id) as repeats_load,
        sum(c.paid_amount - c.last_paid_amount) as net_paid_amount
    from chain as c
    group by c.claim_id
),

judged as (
    select
        c.claim_id,
        -- A claim that is gone has earlier states alone.
        f.claim_id is not null and s.ends_in_latest is distinct from true as ends_in_fact,
        f.claim_id is not null
        and s.net_paid_amount is distinct from coalesce(f.paid_amount, 0) as nets_to_paid,
        coalesce(s.repeats_load, false) as one_state_a_load
    from changed as c
    left join summed as s on c.claim_id = s.claim_id
    left join fact_claim as f on c.claim_id = f.claim_id
)

select
    v.rule,
    counted.claims as rows_checked,
    v.rows_failed,
    v.failing_keys
from (
    select
        count(*) as claims,
        {tallies}
    from judged
) as counted
cross join lateral (
    values
    {tallied}
) as v (rule, rows_failed, failing_keys);

-- name: claim_chain_against_staging
-- The chains of states against staging, of the claims for which they say anything: those of which
-- staging has a row that is not the fact's own, and those with earlier states. What came
-- before states were kept, as of a warehouse that was brought up to date, is not held. One row; a
-- row checked is a state.
--: table: fact_claim_state
--: key: claim_id, load_id
--: loads: in facts
--: advice: Earlier states of claims, or a claim's load_id, were changed by hand: make full-load.
--: rule states_match_staging: critical, consistency
--:   fails when: a state is missing, was in no file, or is not what staging has
with several as materialized (
    select earlier.claim_id
    from (
        select
            s.claim_id,
            s.load_id
        from claims_raw as s
        left join fact_claim as f on s.claim_id = f.claim_id and s.load_id = f.load_id
        where s.load_id = any(%(loads)s) and f.claim_id is null
        union all
        select
            h.claim_id,
            h.load_id
        from fact_claim_state as h
    ) as earlier
    left join load as l on earlier.load_id = l.load_id
    group by earlier.claim_id
    having not coalesce(bool_or(l.live_at is null and l.status = 'loaded'), false)
),

places as (
    {places}
),

staged as (
    select
        s.claim_id,
        s.load_id,
        s.place,
        lead(s.place) over (partition by s.claim_id order by s.place) as next_place,
        s.is_deleted is true as is_marker,
        hash_record_extended(row({staged_kept_state}), 0) as state,
        hash_record_extended(row({staged_keys_and_state}), 0) as whole_state
    from (
        {staged_claims}
    ) as s
),

ended as (
    select
        t.*,
        t.is_marker
        or exists (
            select 1
            from places as p
            where p.is_snapshot and p.place > t.place
                and (p.place < t.next_place or t.next_place is null)
                and (p.load_id, t.claim_id) not in (
                    select
                        n.load_id,
                        n.key[1]
                    from rejected_key as n
                    where n.feed = %(feed)s
                )
        ) as is_gone_after
    from staged as t
),

compared as (
    select
        t.*,
        lag(t.whole_state) over by_place as last_whole_state,
        lag(t.is_gone_after) over by_place as was_gone,
        first_value(t.is_gone_after) over (
            partition by t.claim_id
            order by t.place desc
        ) as is_gone
    from ended as t
    window by_place as (partition by t.claim_id order by t.place)
),

due as (
    select
        t.claim_id,
        t.load_id,
        t.state,
        not t.is_gone
        and lead(t.load_id) over (partition by t.claim_id order by t.place) is null as is_latest
    from compared as t
    where not t.is_marker
        and (t.was_gone is not false or t.whole_state <> t.last_whole_state)
),

stored as (
    select
        h.claim_id,
        h.load_id,
        hash_record_extended(row({stored_kept_state}), 0) as state,
        h.is_latest
    from fact_claim_history as h
    inner join several as c on h.claim_id = c.claim_id
)

select
    'states_match_staging' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys({key_of_row}) filter (where is_broken) as failing_keys
from (
    select
        coalesce(due.claim_id, stored.claim_id) as claim_id,
        coalesce(due.load_id, stored.load_id) as load_id,
        (
            due.is_latest is distinct from stored.is_latest or due.state <> stored.state
        ) as is_broken
    from due
    full join stored on due.claim_id = stored.claim_id and due.load_id = stored.load_id
) as judged;

-- name: keys_known
-- Of the loads in whose name rows of a dimension were inferred, more than a few, and are to this
-- day: the largest share of the keys that such a load names which nothing but its facts names.
-- One row; a row checked is a load, a row that fails an inferred row of the worst one.
--: for each: dimension
--: feed: any
--: key: d.{row_key}
--: loads: in facts
--: value: few = 20
--: gate: facts
--: rule keys_known: major, integrity
--:   fails when: the facts of a load name many keys that no feed has brought
--:   threshold: 10 percent of the keys named
--:   advice: Compare such keys with those of the feed: leading zeros that a spreadsheet took away,
--:     or another form of the key? Then ask for the file again; else ask where the feed is.
--:   note: Up to {few} such keys of a load are let pass.
with inferred as (
    select
        d.load_id,
        count(*) as keys,
        some_keys({key_of_row}) as some_rows
    from {dim} as d
    where d.is_inferred and d.{sk} <> -1 and d.load_id = any(%(loads)s)
    group by d.load_id
    having count(*) > %(few)s
),

named as (
    select
        n.load_id,
        count(*) as keys
    from (
        {keys_named_by_facts}
    ) as n
    group by n.load_id
),

worst as (
    select
        i.keys,
        i.some_rows,
        100.0 * i.keys / n.keys as share
    from inferred as i
    inner join named as n on i.load_id = n.load_id
    order by share desc, i.load_id
    limit 1
)

select
    'keys_known' as rule,
    cardinality(%(loads)s::bigint[]) as rows_checked,
    coalesce(w.keys, 0) as rows_failed,
    coalesce(w.share, 0)::double precision as measured,
    coalesce(w.some_rows, '[]') as failing_keys
from (values (1)) as always (one)
left join worst as w on true;

-- name: named_keys
-- The keys of a dimension that a fact's rows name, of loads in whose name rows were inferred: a
-- part of a from clause. One row a load and key.
select
    s.load_id,
    {key_values}
from {staging} as s
where s.load_id in (
    select i.load_id
    from inferred as i
)
