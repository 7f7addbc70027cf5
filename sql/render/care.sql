-- Published rules of hospital stays and of the high-cost risk pool.

-- name: high_cost_pools
-- What the high-cost risk pool pays of a benefit year. One row per benefit year.
select
    p.benefit_year,
    p.threshold_usd,
    p.coinsurance
from unnest(
    {benefit_years}::integer[], {thresholds}::numeric[], {shares}::numeric[]
) as p (benefit_year, threshold_usd, coinsurance)
