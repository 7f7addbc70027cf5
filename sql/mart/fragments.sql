-- Expressions of marts.

-- name: month_is_over
-- Whether the month of a relation months was over on the day that the data speaks of, which is
-- looked up once a query. Claims of the month may still come or change. A fragment.
(  -- noqa: PRS, a condition
    (months.month + interval '1 month')::date <= {as_of}
)
