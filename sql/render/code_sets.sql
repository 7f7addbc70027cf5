-- Codes as dimensions of codes have them, and how a row finds its code's key.

-- name: as_written
-- A code as the feed writes it, in capitals. A fragment.
upper(  -- noqa: PRS, an expression
    nullif({column}, '')
);

-- name: without_point
-- A code without the point that some senders write in it. A fragment.
upper(  -- noqa: PRS, an expression
    nullif(replace({column}, '.', ''), '')
);

-- name: join_code
-- The code's row in its dimension. At most one row per row.
left join {dim}  -- noqa: PRS, part of a from clause
    on {dim}.{code} = {value};

-- name: key
-- The key of the code's row, -1 where none is named. A fragment.
coalesce(  -- noqa: PRS, an expression
    {dim}.{sk}, -1
)
