-- Conditions on values beyond their types. They are true of a value that cannot stay, and never
-- unknown of one that can. etl/render/values.py puts in the column.

-- name: is_null_word
-- Whether a key is a word for a missing value. The length decides for nearly every key. A fragment.
(octet_length({name}) <= {longest} and lower({name}) in ({words}) or {name} = {shown}) is true

-- name: is_odd_key
-- Whether a key has characters by which two that look the same may differ. A fragment.
(
    {name} collate "C" ~ '[^ -~]' and (
        {name} is not nfkc normalized
        or {name} collate "pg_c_utf8" ~ '[^[:alnum:] -~]'
        or {name} ~ {unseen}
    )
) is true

-- name: is_open_end
-- Whether a date means that the thing runs on. A fragment.
{name} >= {open_end}

-- name: end
-- The date on which a thing ends, another one where none is given or it runs on. A fragment.
case when {name} < {open_end} then {name} else {otherwise} end

-- name: is_too_far_ahead
-- Whether a date is later than so many days after the batch became true. A fragment.
(
    {date} > %(as_of)s::timestamptz at time zone 'UTC' + make_interval(days => {days})
    and not {is_open_end}
) is true

-- name: is_out_of_order
-- Whether a date comes before the one that it must not precede, by more days than say that the
-- thing was canceled from its start. A fragment.
({first} - {second} > {canceled_days}) is true
