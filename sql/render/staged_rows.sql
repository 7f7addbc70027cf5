-- What staged rows say. etl/render/staged_rows.py puts in the columns.

-- name: as_of
-- When the facts of the current batch became true, as a UTC timestamp. A fragment.
%(as_of)s::timestamptz at time zone 'UTC'

-- name: effective
-- Since when a row is true: since it says so itself, or else as of its batch. A fragment.
coalesce({effective} at time zone 'UTC', {as_of})

-- name: is_named
-- Whether a rejected row of a load names a key: a snapshot that has it does not lack the key.
-- A fragment.
exists (
    select 1
    from rejected_key as named
    where named.load_id = {load} and named.feed = {feed} and named.key = array[{key}]
)

-- name: is_equal_row
-- Whether a row equals the one of its key that stays. A fragment.
(r.whole_row is distinct from k.whole_row) = false

-- name: is_equal_line
-- Whether all rows of a line equal those of their keys that stay. A fragment.
bool_and((r.whole_row is distinct from k.whole_row) = false) over (partition by r.source_line)
