-- What statements of several files of checks have in common: parts of them, and counts of what they
-- judge. A brace of a statement is first looked for in its own file, then here.

-- name: all_rows
-- How many rows a table has, of each of which the rules can say something. One row.
select
    count(*) as rows_checked,
    jsonb_build_object() as judged
from {table};

-- name: rules_counted
-- How many of the rows judged each rule fails on, with some of their keys. One row per rule.
select
    v.rule,
    counted.rows_checked,
    v.rows_failed,
    v.failing_keys
from (
    select
        count(*) as rows_checked,
        {tallies}
    from judged
) as counted
cross join lateral (
    values
    {tallied}
) as v (rule, rows_failed, failing_keys);

-- name: every_claim
-- All claims: a fragment of a from clause.
fact_claim as f  -- noqa: PRS, part of a from clause

-- name: claims_looked_up
-- The claims that are named: a fragment of a from clause. A few are looked up, whose number does not
-- grow with history; for many one scan costs less, on all cores, which what is kept cannot be read on.
-- Only one of both parts is planned.
(  -- noqa: PRS, part of a from clause
    select f.*
    from fact_claim as f
    where %(are_few)s::boolean and f.claim_id {facts/look_up.few}
    union all
    select f.*
    from fact_claim as f
    where not %(are_few)s::boolean and f.claim_id in (select o.claim_id from ({named}) as o)
) as f

-- name: places
-- The loads of a feed in the order of their batches. One row per load.
select
    l.load_id,
    p.kind = 'snapshot' as is_snapshot,
    l.batch_rank as place
from load_file as p
inner join batch_order as l on p.load_id = l.load_id
where p.feed = %(feed)s and p.status = 'loaded' and p.load_id = any(%(loads)s);

-- name: rejected_keys
-- The keys of a feed's rejected rows, for a feed whose key is one column. One row per load and
-- key. To be asked of a step of its own: of a table that is asked within an exists Citus takes none
-- of the rows into account, and says nothing.
select
    n.load_id,
    n.key[1] as key
from rejected_key as n
where n.feed = %(feed)s;

-- name: staged_claims
-- The rows of staging of several claims, with the place of their load and whether they reverse what
-- an earlier one has of the same claim, so that nothing of it is left. A fragment; one row per row.
select
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
                and before.claim_id in (select e.claim_id from several as e)
        )
    ) as is_reversing
from claims_raw as s
inner join several as c on s.claim_id = c.claim_id
inner join places as l on s.load_id = l.load_id
where s.load_id = any(%(holding)s);

-- name: named_by_loads
-- Whether the loads asked about have a row of a fact: a fragment of a where clause.
f.{key} in (  -- noqa: PRS, part of a where clause
    select r.{key}
    from {staging} as r
    where r.load_id = any(%(loads)s)
)

-- name: claims_grouped
-- By how many bits the hash of a claim's identifier is shifted, so that up to 256 of a feed's rows are
-- in a group: with many more groups than that their sums are in no cache. Its first bits say on which
-- part of a cluster a claim lies: groups by its last ones would have claims of all parts. One row.
select
    least(27, 32 - ceil(log(2, greatest(coalesce(sum(p.rows_loaded), 0), 256) / 256)))::integer
    as bits
from load_file as p
where p.feed = %(feed)s and p.load_id = any(%(loads)s);

-- name: group_of_claim
-- The group of a claim. A fragment.
hashtext(  -- noqa: PRS, a value
    s.claim_id
) >> (select g.bits from grouping as g)

-- name: groups_that_differ
-- The groups of staging that are other than those of the facts, or have a row to be looked at by itself.
-- As few as a comparison with one value finds are expected: then they are what is kept in memory when
-- rows are joined to them. One row per group.
select coalesce(s.part, f.part) as part
from staged_groups as s
full join stored_groups as f on s.part = f.part
where coalesce(s.part, f.part) is not null
    and case
        when s.may_be_gone or s.facts is distinct from f.facts or s.whole is distinct from f.whole
            then 1
        else 0
    end = 1;

-- name: claims_resent
-- The claims of which earlier states are kept: staging has several rows of them. One row per claim.
select distinct e.claim_id
from fact_claim_state as e;

-- name: no_claims
-- None of the claims. No rows.
select null::text as claim_id
where false;
