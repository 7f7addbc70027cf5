-- Checks of the facts against staging, the dimensions and the calendar.

-- name: latest_claims
-- The latest state of every claim in staging: by the order of the batches, then of the lines.
-- One row a claim.
select distinct on (s.claim_id)
    s.claim_id,
    hash_record_extended(row({told_state}), 0) as state,
    {told_keys},
    {told_money}
from claims_raw as s
inner join load as l on s.load_id = l.load_id
where s.load_id = any(%(loads)s)
order by
    s.claim_id,
    l.as_of desc,
    l.batch_id collate "C" desc,
    s.load_id desc,
    s.source_line desc;

-- name: latest_enrollments
-- The enrolments in staging that stand: no later state has the same identifier, and none the
-- same member, plan and start. One row an enrolment.
select
    s.enrollment_id,
    hash_record_extended(row({told_state}), 0) as state,
    {told_keys},
    {told_money}
from (
    select
        e.*,
        row_number() over (
            partition by e.enrollment_id
            order by
                l.as_of desc,
                l.batch_id collate "C" desc,
                e.load_id desc,
                e.source_line desc
        ) as rank_of_id,
        row_number() over (
            partition by nullif(e.member_id, ''), nullif(e.plan_id, ''), e.start_date
            order by
                l.as_of desc,
                l.batch_id collate "C" desc,
                e.load_id desc,
                e.source_line desc
        ) as rank_of_grain
    from enrollments_raw as e
    inner join load as l on e.load_id = l.load_id
    where e.load_id = any(%(loads)s)
) as s
where s.rank_of_id = 1
    and (
        s.rank_of_grain = 1
        -- Without a member or a plan nothing says that two are the same.
        or coalesce(s.member_id, '') = ''
        or coalesce(s.plan_id, '') = ''
    );

-- name: against_staging
-- A fact against the latest state of its feed: each there once and nothing else, in that state,
-- keyed to what the feed names, and the same money. One row a rule.
with latest as materialized (
    {latest}
),

told as (
    select
        count(*) as facts,
        {told_sums}
    from latest
),

compared as (
    select
        s.{key} is not null as is_told,
        f.{key} is not null as is_held,
        s.state = hash_record_extended(row({held_state}), 0) as is_latest,
        {keys_differ} as is_miskeyed,
        {held_money}
    from latest as s
    full join {fact} as f on s.{key} = f.{key}
    {references}
),

held as (
    select
        count(*) filter (where is_held) as facts,
        count(*) filter (where is_held and is_told) as known,
        count(*) filter (where not is_held) as missing,
        count(*) filter (where is_held and is_told and not is_latest) as outdated,
        count(*) filter (where is_held and is_told and is_miskeyed) as miskeyed,
        {held_sums}
    from compared
)

select
    'each_once' as rule,
    t.facts as rows_checked,
    h.missing + (h.known - (t.facts - h.missing)) as rows_failed
from held as h
cross join told as t
union all
select
    'none_unfounded',
    h.facts,
    h.facts - h.known
from held as h
union all
select
    'latest_state',
    h.known,
    h.outdated
from held as h
union all
select
    'keyed_as_told',
    h.known,
    h.miskeyed
from held as h
union all
select
    'money_total',
    told.facts,
    {sums_that_differ}
from held
cross join told;

-- name: in_force
-- A fact against one dimension: its version exists and was in force on the fact's date, or, where
-- the key was gone on that date, was the last before it. One row a rule.
with judged as (
    select
        d.{sk} is null as is_orphan,
        case
            when d.{sk} is null then false
            when f.{date} < d.validity_start_ts then true
            when f.{date} < d.validity_end_ts then false
            else exists (
                select 1
                from {dim} as later
                where {same_key}
                    and later.validity_start_ts > d.validity_start_ts
                    and later.validity_start_ts <= f.{date}
            )
        end as is_outside
    from {fact} as f
    left join {dim} as d on f.{sk} = d.{sk}
)

select
    v.rule,
    counted.facts as rows_checked,
    v.rows_failed
from (
    select
        count(*) as facts,
        count(*) filter (where is_orphan) as orphans,
        count(*) filter (where is_outside) as outside
    from judged
) as counted
cross join lateral (
    values
    ('has_version', counted.orphans),
    ('version_in_force', counted.outside)
) as v (rule, rows_failed);

-- name: in_calendar
-- A date of a fact against the calendar: its key is there and is of that day. One row.
select
    'in_calendar' as rule,
    count(*) as rows_checked,
    count(*) filter (where d.full_date is distinct from f.{date}) as rows_failed
from {fact} as f
left join dim_date as d on f.{date_key} = d.date_key;

-- name: claim_money
-- Amounts of a claim against each other and against its state. One row a rule.
select
    v.rule,
    counted.claims as rows_checked,
    v.rows_failed
from (
    select
        count(*) as claims,
        -- A reversal may bear amounts below zero, for which the order turns round.
        count(*) filter (
            where lower(coalesce(status, '')) <> 'reversed'
                and (paid_amount > allowed_amount or allowed_amount > claim_amount)
        ) as unordered,
        count(*) filter (where lower(status) = 'denied' and paid_amount <> 0) as denied_paid
    from fact_claim
) as counted
cross join lateral (
    values
    ('amounts_in_order', counted.unordered),
    ('denied_pays_nothing', counted.denied_paid)
) as v (rule, rows_failed);
