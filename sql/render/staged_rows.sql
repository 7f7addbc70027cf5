-- Since when a staged row is true. etl/render/staged_rows.py puts in the columns.

-- name: as_of
-- When the facts of the current batch became true, as a UTC timestamp. A fragment.
%(as_of)s::timestamptz at time zone 'UTC'

-- name: effective
-- Since when a row is true: since it says so itself, or else as of its batch. A fragment.
coalesce({effective} at time zone 'UTC', {as_of})
