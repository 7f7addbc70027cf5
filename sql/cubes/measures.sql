-- What claims come to, wherever they are counted apart from a cube's definition: the changes that
-- cubes follow, and what checks compare cubes with.

-- name: summed
-- Claims and money by some keys, of a query of claims whose rows have a status, how many claims
-- they are (below zero where claims go) and the amounts of these. One row per combination of keys.
select
    {keys},
    coalesce(sum(c.claims) filter (where state.is_adjudicated), 0) as claims,
    coalesce(sum(c.claims) filter (where state.is_pending), 0) as pending_claims,
    coalesce(sum(c.claims) filter (where state.is_denied), 0) as denied_claims,
    coalesce(sum(c.claims) filter (where state.is_unknown), 0) as unknown_status_claims,
    coalesce(sum(c.claim_amount) filter (where state.is_adjudicated), 0) as billed_usd,
    coalesce(sum(c.claim_amount) filter (where state.is_pending), 0) as pending_billed_usd,
    coalesce(sum(c.claim_amount) filter (where state.is_unknown), 0) as unknown_status_billed_usd,
    coalesce(sum(c.allowed_amount) filter (where state.is_adjudicated), 0) as allowed_usd,
    coalesce(sum(c.paid_amount) filter (where state.is_paid), 0) as paid_usd
from ({claims}) as c
cross join lateral ({state}) as state
group by {keys};

-- name: by_day
-- What one cube has by the day or month that it counts claims by. One row per day or month.
select
    {name} as cube,
    {claims_by} as day,
    {summed_measures}
from {cube}
group by {claims_by};
