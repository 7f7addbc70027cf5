-- Rows of some claims, found in tables that are partitioned by day of service: which partitions
-- have them nobody says.

-- name: few
-- What a column of claims has to be to be one of ``named``, where these are few. The index of each
-- month is asked for all of them at once, as a list in its own order: a page that has several is
-- read once, and a month that has none costs three searches. A fragment.
= any(  -- noqa: PRS, part of a condition
    array(
        select few.claim_id
        from ({named}) as few
        order by few.claim_id
    )
)

-- name: many
-- The same where one scan may cost less, and a list would fill the memory. A fragment.
in (  -- noqa: PRS, part of a condition
    select many.claim_id
    from ({named}) as many
)
