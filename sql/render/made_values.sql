-- Expressions that make a value of ours from what a sender's file has, as text or nothing. A value
-- that cannot be made becomes {not_so}, which no date or number is. They run without bound values.
-- etl/render/made_values.py puts in the operands.

-- name: of_operands
-- What is made of operands that are expressions themselves, each evaluated once. A fragment.
select {made}
from (select {operands} offset 0) as operands

-- name: no_null_word
-- A field, null where it is one of the sender's words for a missing value. A fragment.
case when lower({field}) not in ({words}) then {field} end

-- name: mapped
-- Our word for a word of the sender. A fragment.
case
    when {value} is null then {of_nothing}
    else case lower({value}) {whens} else {others} end
end

-- name: part
-- So many characters of a text from one of them on, nothing where it is too short. A fragment.
case when length({value}) >= {last} then substr({value}, {first}, {length}) end

-- name: rest
-- A text from one of its characters on, nothing where it is too short. A fragment.
nullif(substr({value}, {first}), '')

-- name: matched
-- The part of a text that is in a pattern's parentheses. A fragment.
nullif(substring({value} from {pattern}), '')

-- name: dated
-- A date in digits with the year first, its parts where they belong. A fragment.
case
    when translate({value}, '0123456789', '0000000000') = {shape} then {date}
    when {value} is not null then {not_a_day}
end

-- name: year
-- A year of which two digits are there, by the first that it can be. A fragment.
({first_year} + mod({year}::integer - {first_year} % 100 + 100, 100))::text

-- name: shifted
-- A date some days later. A fragment.
case
    when {value} is null then null
    when pg_input_is_valid({value}, 'date') then to_char({value}::date + {days}, 'YYYY-MM-DD')
    else {not_so}
end

-- name: open_end
-- A date, or nothing where it is on a day or after it. A fragment.
case
    when not pg_input_is_valid({value}, 'date') then {value}
    when {value}::date < {day} then {value}
end

-- name: scaled
-- A number times a factor. A fragment.
case
    when {value} is null then null
    when pg_input_is_valid({value}, 'numeric') then trim_scale({value}::numeric * {factor})::text
    else {not_so}
end

-- name: total
-- The sum of the numbers that there are. A fragment.
(
    select
        case
            when count(t.term) = 0 then null
            when bool_and(pg_input_is_valid(t.term, 'numeric'))
                then
                    trim_scale(
                        sum(
                            case
                                when pg_input_is_valid(t.term, 'numeric') then t.term::numeric
                            end
                        )
                    )::text
            else {not_so}
        end
    from (values {terms}) as t (term)
    where t.term is not null
)

-- name: is_meant
-- Whether a value is one of some words; an empty word is a value that is not there. A fragment.
lower(coalesce({value}, '')) in ({words})
