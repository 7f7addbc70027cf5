-- claims_daily_member: what a member's claims of one day of service came to.
-- Grain: one row per member (natural member_id) and day of service with a claim of any state.
-- Units: counts of claims; amounts in US dollars, to the cent.
-- Assumptions, the same in all cubes:
--   * A claim counts in its latest state, as fact_claim has it; status is compared without
--     regard to case. A claim without a status counts as adjudicated.
--   * A pending claim is not adjudicated: it and its billed amount are counted apart and enter
--     no other column.
--   * A claim of a status that the contract does not know is counted apart in the same way,
--     with what was billed, and is never paid: nobody can say what became of it.
--   * A denied claim counts as a claim, with what was billed and allowed, and pays nothing,
--     whatever its paid amount says. Adjusted and reversed claims count with the amounts they
--     bear.
--   * Claims that name no member are gathered under '(unknown)'.

-- name: claims_in_order
-- Claims with their state, in the order of the grain: nearly every claim is a group of its own, and
-- sorting them takes a tenth of the memory that groups of all take. One row per claim.
select
    case when f.member_sk = -1 then '(unknown)' else m.member_id end as member_id,
    f.service_date,
    f.claim_amount,
    f.allowed_amount,
    f.paid_amount,
    state.*
from fact_claim as f
inner join dim_member as m on f.member_sk = m.member_sk
cross join lateral ({state}) as state
order by member_id, f.service_date
-- Keeps them in order where they are grouped.
offset 0;

-- name: definition
-- The cube as a plain query. One row per member and day of service.
select
    c.member_id,
    c.service_date,
    count(*) filter (where c.is_adjudicated) as claims,
    count(*) filter (where c.is_pending) as pending_claims,
    count(*) filter (where c.is_denied) as denied_claims,
    count(*) filter (where c.is_unknown) as unknown_status_claims,
    coalesce(sum(c.claim_amount) filter (where c.is_adjudicated), 0)::numeric(16, 2) as billed_usd,
    coalesce(sum(c.claim_amount) filter (where c.is_pending), 0)::numeric(16, 2)
    as pending_billed_usd,
    coalesce(sum(c.claim_amount) filter (where c.is_unknown), 0)::numeric(16, 2)
    as unknown_status_billed_usd,
    coalesce(sum(c.allowed_amount) filter (where c.is_adjudicated), 0)::numeric(16, 2)
    as allowed_usd,
    coalesce(sum(c.paid_amount) filter (where c.is_paid), 0)::numeric(16, 2) as paid_usd
from ({claims_in_order}) as c
group by c.member_id, c.service_date;

-- name: changed_days
-- By how much each day of a member changed, for the gate; no rows yet.
create temporary table changed_days on commit drop as
select * from claims_daily_member
with no data;

-- name: follow
-- Add the changes to the days that they touch; a day without a claim left goes.
-- One row per member and day written.
with merged as (
    merge into claims_daily_member as c  -- noqa: PRS, nor a merge in a step
    using (
        select
            case when member_id = '' then '(unknown)' else member_id end as member_id,
            service_date,
            {summed_measures}
        from claim_changes
        group by 1, 2
        having row({sums}) <> row({zeros})
    ) as m
        on c.member_id = m.member_id and c.service_date = m.service_date
    when matched
        and c.claims + m.claims = 0 and c.pending_claims + m.pending_claims = 0
        and c.unknown_status_claims + m.unknown_status_claims = 0
        then delete
    when matched then update set
        {added}
    when not matched then insert (member_id, service_date, {measures})
        values (m.member_id, m.service_date, {changes})
    returning
        m.member_id,
        m.service_date,
        {written}
)

insert into changed_days
select *
from merged;

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. Of a measure only what is so of this column: the
-- rest is declared in etl/warehouse/measures.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('member_id', 'member number', 'Identifier of the member; (unknown) if the claim has none.'),
    ('service_date', 'date of the person', 'First day of service.'),
    ('claims', 'none', ''),
    ('pending_claims', 'none', ''),
    ('denied_claims', 'none', ''),
    ('unknown_status_claims', 'none', ''),
    ('billed_usd', 'none', ''),
    ('pending_billed_usd', 'none', ''),
    ('unknown_status_billed_usd', 'none', ''),
    ('allowed_usd', 'none', ''),
    ('paid_usd', 'none', '')
) as c (column_name, identifier, description);
