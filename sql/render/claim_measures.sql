-- What claims come to by their state.

-- name: sums
-- The measures of cubes, summed over claims or sums of claims c. A fragment.
coalesce(sum(c.claims) filter (where state.is_adjudicated), 0) as claims,
coalesce(sum(c.claims) filter (where state.is_pending), 0) as pending_claims,
coalesce(sum(c.claims) filter (where state.is_denied), 0) as denied_claims,
coalesce(sum(c.claims) filter (where state.is_unknown), 0) as unknown_status_claims,
coalesce(sum(c.claim_amount) filter (where state.is_adjudicated), 0) as billed_usd,
coalesce(sum(c.claim_amount) filter (where state.is_pending), 0) as pending_billed_usd,
coalesce(sum(c.claim_amount) filter (where state.is_unknown), 0) as unknown_status_billed_usd,
coalesce(sum(c.allowed_amount) filter (where state.is_adjudicated), 0) as allowed_usd,
coalesce(sum(c.paid_amount) filter (where state.is_paid), 0) as paid_usd
