-- Checks of lines and diagnoses of claims, against the claims, staging and the code sets.
--: advice: Rows were changed or deleted by something other than a load: make full-load.

-- name: against_claims
-- Lines or diagnoses against the claims, in one pass: each claim has a row, and each row is keyed
-- as its claim and to its code. One row per rule.
--: for each: detail
--: feed: any
--: key: {row_key}
--: parts: named = named_by_load, stored = every_row, claims = every_claim
--: gate: facts, stored = rows_named, claims = claims_looked_up
--: by month: yes
--: rule every_claim_has_one: critical, completeness
--:   fails when: a claim has no row
--: rule keyed_as_claim: critical, integrity
--:   fails when: day, member, plan or provider differ from the claim's, or a row without a claim is
--:     keyed to any
--: rule made_of_claim: critical, consistency
--:   fails when: a row that is made of its claim differs from it, or is not the first
--: rule keyed_to_code: critical, integrity
--:   fails when: the key is not that of the code
with asked as {kept} (
    select *
    from {stored}
),

claims as {kept} (
    select *
    from {claims}
),

judged as (  -- noqa: ST03, the fragment reads judged
    select
        coalesce(d.claim_id, c.claim_id) as claim_id,
        d.{number},
        d.claim_id is null as every_claim_has_one,
        d.claim_id is not null and {keys_differ} as keyed_as_claim,
        d.is_from_claim and (d.{number} <> 1 or {values_differ}) as made_of_claim,
        d.{code_sk} <> coalesce(k.{code_sk}, -1) as keyed_to_code
    from asked as d
    full join claims as c on d.claim_id = c.claim_id
    left join {codes} as k on {code_of_row} = k.{code}
)

select *
from ({rules_counted}) as found;

-- name: every_row
-- All lines or diagnoses: a fragment of a from clause.
{detail} as d  -- noqa: PRS, part of a from clause

-- name: named_by_load
-- The claims of which the current load has a row. One row per claim.
select r.claim_id::text as claim_id
from claims_raw as r
where r.load_id = %(load_id)s
union
select s.claim_id::text
from {staging} as s
where s.load_id = %(load_id)s;

-- name: named_by_loads
-- The claims of which the loads whose change is looked at have a line or diagnosis. One row per claim.
select distinct r.claim_id::text as claim_id
from {staging} as r
where r.load_id = any(%(naming)s);

-- name: claim_is_named
-- Whether a claim is one of these, where the loads that are read name others too: a fragment of a where
-- clause.
(%(is_whole)s::boolean or s.claim_id in ({named}))  -- noqa: PRS, part of a where clause

-- name: rows_named
-- The lines or diagnoses of the claims that loads named: a fragment of a from clause. Those of a few
-- claims are looked up, whose number does not grow with history; for many one scan costs less.
(  -- noqa: PRS, part of a from clause
    select f.*
    from {detail} as f
    where %(are_few)s::boolean and f.claim_id {facts/look_up.few}
    union all
    select f.*
    from {detail} as f
    where not %(are_few)s::boolean and f.claim_id in (select o.claim_id from ({named}) as o)
) as d

-- name: keys_differ
-- Whether a row has other keys than its claim, or without one other keys than those of nobody: a
-- fragment.
case  -- noqa: PRS, a value
    when c.claim_id is null then ({none_keyed}) is not true or d.is_from_claim
    else {keys_differ_of_claim}
end

-- name: staged_grouped
-- The rows of staging that are looked at, each with the group in which it is added up, none of a claim
-- that came again. What came before the last snapshot alone may be gone. A fragment; one row per row
-- of staging.
select
    s.*,
    case
        when s.claim_id not in (select r.claim_id from resent as r) then {group_of_claim}
    end as part,
    s.load_id = any(array(
        select p.load_id
        from places as p
        inner join last_snapshot as n on p.place < n.place
    )) as may_be_gone
from {staging} as s
where s.load_id = any(%(holding)s) and {scope};

-- name: stored_grouped
-- The lines or diagnoses that are looked at, each with the group in which it is added up, none of a
-- claim that came again. A fragment; one row per row.
select
    s.*,
    case when r.claim_id is null then {group_of_claim} end as part
from asked as s
left join ({resent}) as r on s.claim_id = r.claim_id;

-- name: against_staging
-- Lines or diagnoses that came against staging: of each claim the rows of the latest batch that
-- names any, unless a later snapshot lacks the claim. One row per rule.
-- Most claims have just the rows that one load brought: these are added up on either side in groups,
-- and only those of groups that differ are joined. The few claims that are not
-- so are put in order and compared.
--: for each: detail
--: key: {row_key}
--: loads: in facts
--: parts: named = named_by_loads, stored = every_row, resent = claims_resent
--: gate: facts, stored = rows_named, scope = claim_is_named, resent = no_claims
--: by month: yes
--: rule one_row_per_key: critical, consistency
--:   fails when: a row of a claim's latest set is missing
--: rule no_orphan_version: critical, consistency
--:   fails when: a row is of no set, or of one that a later batch replaced
--: rule latest_set: critical, consistency
--:   fails when: a row differs from that of the claim's latest set
with asked as {kept} (
    select d.*
    from {stored}
    where not d.is_from_claim
),

places as (
    {places}
),

last_snapshot as (
    select max(place) as place
    from places
    where is_snapshot
),

grouping as materialized (
    {claims_grouped}
),

resent as materialized (
    {resent}
),

staged_groups as materialized (
    select
        s.part,
        bit_xor(
            hash_record_extended(
                row(s.claim_id, s.{number}::integer, s.load_id, {staged_values}), 0
            )
        ) as whole,
        bool_or(s.may_be_gone) as may_be_gone,
        count(*) as facts
    from (
        {staged_grouped}
    ) as s
    group by s.part
),

stored_groups as materialized (
    select
        d.part,
        bit_xor(
            hash_record_extended(
                row(d.claim_id, d.{number}::integer, d.load_id, {stored_values}), 0
            )
        ) as whole,
        count(*) as facts
    from (
        {stored_grouped}
    ) as d
    group by d.part
),

differing as materialized (
    {groups_that_differ}
),

staged_differing as materialized (
    select
        s.claim_id,
        s.{number}::integer as {number},
        s.load_id,
        s.may_be_gone,
        hash_record_extended(row({staged_values}), 0) as state
    from (
        {staged_grouped}
    ) as s
    inner join differing as g on s.part = g.part
),

stored_differing as materialized (
    select
        d.claim_id,
        d.{number},
        d.load_id,
        hash_record_extended(row({stored_values}), 0) as state
    from (
        {stored_grouped}
    ) as d
    inner join differing as g on d.part = g.part
),

-- Claims whose rows are not simply those that their own loads brought.
unsettled as materialized (
    select coalesce(s.claim_id, d.claim_id) as claim_id
    from staged_differing as s
    full join stored_differing as d
        on s.claim_id = d.claim_id and s.{number} = d.{number} and s.load_id = d.load_id
    where s.claim_id is null or d.claim_id is null or s.may_be_gone or s.state <> d.state
    union
    select claim_id
    from resent
),

-- Which place is the last of a claim is found in the same scan: a join would be planned for few rows.
staged as materialized (
    select
        s.claim_id,
        s.{number}::integer as {number},
        hash_record_extended(row({staged_values}), 0) as state,
        p.place,
        max(p.place) over (partition by s.claim_id) as last_place
    from {staging} as s
    inner join unsettled as u on s.claim_id = u.claim_id
    inner join places as p on s.load_id = p.load_id
    where s.load_id = any(%(holding)s) and {scope}
),

rejected as materialized (
    {rejected_keys}
),

expected as (
    select
        t.claim_id,
        t.{number},
        t.state
    from staged as t
    where t.place = t.last_place
        and not exists (
            select 1
            from places as p
            where p.is_snapshot and p.place > t.place
                and (p.load_id, t.claim_id) not in (
                    select
                        r.load_id,
                        r.key
                    from rejected as r
                )
        )
),

stored as materialized (
    select
        d.claim_id,
        d.{number},
        hash_record_extended(row({stored_values}), 0) as state
    from asked as d
    inner join unsettled as u on d.claim_id = u.claim_id
),

judged as (
    select
        coalesce(e.claim_id, d.claim_id) as claim_id,
        coalesce(e.{number}, d.{number}) as {number},
        d.claim_id is null as one_row_per_key,
        e.claim_id is null as no_orphan_version,
        e.state <> d.state as latest_set
    from expected as e
    full join stored as d on e.claim_id = d.claim_id and e.{number} = d.{number}
),

settled as (
    select coalesce(sum(facts), 0)::bigint - (select count(*) from stored) as rows_settled
    from stored_groups
)

select
    found.rule,
    found.rows_checked + settled.rows_settled as rows_checked,
    found.rows_failed,
    found.failing_keys
from ({rules_counted}) as found
cross join settled;

-- name: sets
-- The set of each claim: whether it has all numbers from 1 up, and nothing else next to it. One row
-- per rule; a row checked is a claim.
--: for each: detail
--: key: claim_id
--: by month: yes
--: rule set_alone: critical, uniqueness
--:   fails when: a row that is made of the claim is next to others of it
--: rule numbers_without_gap: major, completeness
--:   fails when: a number is left out between 1 and the highest of the claim
--:   advice: Ask the sender for the whole set of the claim; a batch that names any row of it names
--:     all.
with judged as (
    select
        claim_id,
        bool_or(is_from_claim) and count(*) > 1 as set_alone,
        max({number}) <> count(*) as numbers_without_gap
    from {detail}
    -- Rows have the day of their claim: partitions are grouped one by one, side by side.
    group by claim_id, service_date
)

select *
from ({rules_counted}) as found;

-- name: codes
-- Rows whose code is of no code system that there is. One row per row.
--: for each: detail
--: key: {row_key}
--: counted by: all_rows
--: by month: yes
--: rule code_possible: minor, validity
--:   fails when: the code is in no table of reference and has not the form of one
--:   source: 45 CFR 162.1002
--:   advice: Ask the sender which code set it is of.
select
    'code_possible' as rule,
    d.claim_id,
    d.{number},
    d.load_id
from {detail} as d
inner join {codes} as k on d.{code_sk} = k.{code_sk}
where d.{code_sk} <> -1 and lower(k.{known_by}) = 'unknown';

-- name: totals
-- The lines of each claim that came with lines, added up, against the claim's own amounts. What was
-- measured is by how much they differ, whichever way. One row per rule; a row checked is a claim.
-- Lines have the day of their claim, which keyed_as_claim sees to: partitions are joined and added up
-- one by one, in little memory.
--: table: fact_claim_line
--: by month: yes
--: rule billed_as_claim: major, consistency
--:   fails when: the lines of a claim come to another amount than was billed for the claim
--:   threshold: 0 US dollars
--:   advice: Ask the sender for the claim and its lines from one moment.
--: rule allowed_as_claim: major, consistency
--:   fails when: the lines of a claim come to another amount than was allowed for the claim
--:   threshold: 0 US dollars
--:   advice: Ask the sender for the claim and its lines from one moment.
--: rule paid_as_claim: major, consistency
--:   fails when: the lines of a claim come to another amount than was paid for the claim
--:   threshold: 0 US dollars
--:   advice: Ask the sender for the claim and its lines from one moment.
with compared as (
    select
        c.claim_id,
        sum(l.claim_amount) - any_value(c.claim_amount) as billed,
        sum(l.allowed_amount) - any_value(c.allowed_amount) as allowed,
        sum(l.paid_amount) - any_value(c.paid_amount) as paid
    from fact_claim_line as l
    inner join fact_claim as c on l.claim_id = c.claim_id and l.service_date = c.service_date
    cross join lateral ({state}) as state
    where not l.is_from_claim and not {facts/status.is_void}
    group by c.claim_id, c.service_date
),

counted as (
    select
        count(*) as claims,
        count(*) filter (where billed <> 0) as differ_in_billed,
        count(*) filter (where allowed <> 0) as differ_in_allowed,
        count(*) filter (where paid <> 0) as differ_in_paid,
        sum(abs(billed)) filter (where billed <> 0) as billed,
        sum(abs(allowed)) filter (where allowed <> 0) as allowed,
        sum(abs(paid)) filter (where paid <> 0) as paid,
        some_keys(jsonb_build_object('claim_id', claim_id)) filter (
            where billed <> 0
        ) as keys_of_billed,
        some_keys(jsonb_build_object('claim_id', claim_id)) filter (
            where allowed <> 0
        ) as keys_of_allowed,
        some_keys(jsonb_build_object('claim_id', claim_id)) filter (
            where paid <> 0
        ) as keys_of_paid
    from compared
)

select
    v.rule,
    counted.claims as rows_checked,
    v.rows_failed,
    coalesce(v.difference, 0)::double precision as measured,
    v.failing_keys
from counted
cross join lateral (
    values
    ('billed_as_claim', differ_in_billed, billed, keys_of_billed),
    ('allowed_as_claim', differ_in_allowed, allowed, keys_of_allowed),
    ('paid_as_claim', differ_in_paid, paid, keys_of_paid)
) as v (rule, rows_failed, difference, failing_keys)
where v.rule = any(%(rules)s);

-- name: principals
-- Principal diagnoses that came, against those of their claims. One row per claim.
--: table: bridge_claim_diagnosis
--: key: claim_id
--: counted by: principals_judged
--: by month: yes
--: rule principal_as_claim: major, consistency
--:   fails when: the diagnosis in position 1 is not that of the claim itself
--:   advice: Ask the sender which of the two is the principal diagnosis.
select
    'principal_as_claim' as rule,
    d.claim_id,
    d.load_id
from bridge_claim_diagnosis as d
inner join fact_claim as c on d.claim_id = c.claim_id and d.service_date = c.service_date
where d.is_principal and not d.is_from_claim
    and coalesce({code_of_row}, '') <> coalesce({code_of_claim}, '');

-- name: principals_judged
-- How many principal diagnoses came. One row.
select
    count(*) as rows_checked,
    jsonb_build_object() as judged
from bridge_claim_diagnosis
where is_principal and not is_from_claim;
