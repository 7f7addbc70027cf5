-- What claims come to, wherever they are counted apart from a cube's definition: the changes that
-- cubes follow, and what checks compare cubes with.

-- name: summed
-- Claims and money by some keys, of a query of claims whose rows have a status, how many claims
-- they are (below zero where claims go) and the amounts of these. One row per combination of keys.
select
    {keys},
    {render/claim_measures.sums}
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
