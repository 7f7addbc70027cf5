-- Expressions that read a text field as its sender writes it. A value that is not written as
-- declared becomes {not_so}, which no date or number is. They run without bound values.
-- etl/render/parsing.py puts in the field and the patterns of the contract.

-- name: unless_null_word
-- A value, null where the field is one of the sender's words for a missing value. A fragment.
case when lower({field}) not in ({words}) then {value} end

-- name: in_form
-- The field if it is written as the feed's own files are. A fragment.
case when {field} ~ {form} or {field} is null then {field} else {not_so} end

-- name: number_in_form
-- A number if it is written as the feed's own files are: most have digits and a point alone, which
-- is seen sooner than by the pattern. A fragment.
case
    when translate({field}, '0123456789', '') in ({marks}) or {field} ~ {form} then {field}
    when {field} is not null then {not_so}
end

-- name: characters
-- Some characters of a field from one of them on. A fragment.
substr({field}, {first}, {count})

-- name: date_in_form
-- A date if it is written as the feed's own files are. A fragment.
case
    when translate({field}, '0123456789', '0000000000') = '0000-00-00' then {field}
    when {field} is not null then {not_so}
end

-- name: date
-- A date with the year first, whichever order the sender has. Most are of a few shapes, which are
-- read many times as fast as by the patterns. A fragment.
case translate({field}, '0123456789', '0000000000')
    when '0000-00-00' then {field}
    {whens}
    else
        case
            when {field} ~ {year_last} then regexp_replace({field}, {year_last}, {turned})
            when {field} is null or {field} ~ {year_first} then {field}
            else {not_so}
        end
end

-- name: without_signs
-- A number without the signs that are in it for people. A fragment.
regexp_replace({field}, {signs}, '', 'g')

-- name: without_characters
-- A number without the characters that are in it for people, its decimal mark a point. A fragment.
translate({field}, {characters}, '.')

-- name: minus_first
-- A number whose minus, written in another place, is before its digits. A fragment.
regexp_replace({number}, {written}, {put_first})

-- name: with_point
-- A number whose decimal mark is a point. A fragment.
replace({number}, {decimal}, '.')

-- name: of_percent
-- A ratio that may be written as a percentage. A fragment.
case
    when right({field}, 1) = {mark} then trim_scale({number}::numeric / 100)::text
    else {number}
end

-- name: number
-- A number if the whole field is written as declared. A fragment.
case when {field} ~ {grammar} then {number} when {field} is not null then {not_so} end

-- name: fault_of_text
-- Whether a text is longer than its column lets it be. A fragment.
length({value}) > {most}

-- name: fault_of_needed_text
-- Whether a text that has to be there is not, or is longer than its column lets it be. A fragment.
coalesce(length({value}) not between 1 and {most}, true)

-- name: if_valid
-- Text as its column's type, nothing where it is none of it. A fragment.
case when pg_input_is_valid({value}, {domain}) then ({value})::{kind} end

-- name: cents
-- An amount in cents, 0 where there is no value and null where it is no amount. A fragment.
case when {value} is null then 0 else ({amount} * 100)::bigint end

-- name: text_if_valid
-- Text, nothing where it is longer than its column lets it be. A fragment.
case when length({value}) <= {most} then {value} end

-- name: fault_unless_marker
-- The fault of a date, which a row that marks its key as deleted may lack. A fragment.
(
    {fault}
    and not (
        {value} is null
        and case
            when pg_input_is_valid({marker}::text, 'boolean') then {marker}::text::boolean
            else false
        end
    )
)
