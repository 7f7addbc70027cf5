-- Checks of the states that a claim was in before its latest.
--: advice: Rows were changed or deleted by something other than a load: make full-load.

-- name: all_states
-- How many states of claims before the latest there are, of each of which the rules can say
-- something. One row.
select
    count(*) as rows_checked,
    jsonb_build_object() as judged
from fact_claim_state;

-- name: resent_claims
-- Claims that came again changed: for another member, of another day of service, or below zero
-- after they came at or above it, by another amount too. One row per claim and rule.
--: table: fact_claim
--: key: claim_id
--: counted by: all_states
--: loads: in facts
--: by month: yes
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
-- batch has the last word on by its key. One row per claim and rule.
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

reversing as materialized (
    select
        s.claim_id,
        s.claim_amount,
        s.allowed_amount,
        s.paid_amount,
        l.batch_rank
    from claims_raw as s
    inner join ranked_load as l on s.load_id = l.load_id
    where s.load_id = %(load_id)s and s.is_deleted is not true and {s_is_reversal}
        and not {s_in_file}
),

-- What is left of the amounts of the state that each reverses.
state_before as materialized (
    select distinct on (h.claim_id)
        h.claim_id,
        r.claim_amount + h.claim_amount as claim_amount,
        r.allowed_amount + h.allowed_amount as allowed_amount,
        r.paid_amount + h.paid_amount as paid_amount
    from reversing as r
    cross join lateral (
        select h.*
        from fact_claim_state as h
        where h.claim_id = r.claim_id and not {h_is_reversal}
        -- Keeps the look-up a look-up.
        order by h.claim_id
    ) as h
    inner join ranked_load as l on h.load_id = l.load_id and r.batch_rank > l.batch_rank
    -- A reversed state is stored as zero: then the one before it was.
    order by
        h.claim_id,
        coalesce(greatest(h.claim_amount, h.allowed_amount, h.paid_amount) > 0, false) desc,
        l.batch_rank desc
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
    b.claim_id
from state_before as b
where b.claim_amount <> 0 or b.allowed_amount <> 0 or b.paid_amount <> 0;

-- name: claim_chain
-- The chain of states of every claim that has been in more than one, by the order of the batches:
-- it ends in the state of the fact, its changes of the amount paid add up to what the fact has, and
-- each state came with another load. One row per rule; a row checked is a claim.
--: table: fact_claim_state
--: key: claim_id
--: advice: Earlier states of claims, or a claim's load_id, were changed by hand: make full-load.
--: by month: yes
--: rule ends_in_fact: critical, consistency
--:   fails when: the chain of a claim's states does not end in the fact's
--: rule nets_to_paid: critical, consistency
--:   fails when: the changes of a claim's paid amount do not add up to the fact's
--: rule one_state_a_load: critical, uniqueness
--:   fails when: two states of a claim are of one load
with changed as materialized (
    select distinct h.claim_id
    from fact_claim_state as h
),

-- The facts and their earlier states each by themselves: a cluster's workers join the facts.
present as materialized (
    select
        f.claim_id,
        f.load_id,
        f.paid_amount
    from fact_claim as f
    inner join (
        select distinct e.claim_id
        from fact_claim_state as e
    ) as h on f.claim_id = h.claim_id
),

earlier as materialized (
    select
        h.claim_id,
        h.load_id,
        h.paid_amount
    from fact_claim_state as h
),

chain as (
    select
        h.claim_id,
        h.load_id,
        h.is_latest,
        coalesce(h.paid_amount, 0) as paid_amount,
        lag(coalesce(h.paid_amount, 0), 1, 0::numeric) over by_rank as last_paid_amount,
        lag(h.load_id) over by_rank as last_load_id,
        lead(h.load_id) over by_rank is null as is_end
    from (
        select
            p.*,
            true as is_latest
        from present as p
        union all
        select
            e.*,
            false as is_latest
        from earlier as e
    ) as h
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

judged as (  -- noqa: ST03, the fragment reads judged
    select
        c.claim_id,
        -- A claim that is gone has earlier states alone.
        f.claim_id is not null and s.ends_in_latest is not true as ends_in_fact,
        f.claim_id is not null
        and (s.net_paid_amount is distinct from coalesce(f.paid_amount, 0)) as nets_to_paid,
        coalesce(s.repeats_load, false) as one_state_a_load
    from changed as c
    left join summed as s on c.claim_id = s.claim_id
    left join present as f on c.claim_id = f.claim_id
)

select *
from ({rules_counted}) as found;

-- name: claim_chain_against_staging
-- The chains of states against staging, of the claims for which they say anything: those of which
-- staging has a row that is not the fact's own, and those with earlier states. What came
-- before states were kept, as of a warehouse that was brought up to date, is not stored. One row; a
-- row checked is a state.
--: table: fact_claim_state
--: key: claim_id, load_id
--: loads: in facts
--: advice: Earlier states of claims, or a claim's load_id, were changed by hand: make full-load.
--: by month: yes
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

rejected as materialized (
    {rejected_keys}
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
                        r.load_id,
                        r.key
                    from rejected as r
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
