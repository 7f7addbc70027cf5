-- What becomes of a column in a masked schema: one expression each, over a row r of the relation,
-- the crosswalks of its person and of its surrogate key.

-- name: keep
-- The value as it is.
r.{column}  -- noqa: PRS, a value

-- name: withhold
-- No value, of the column's type.
case when false then r.{column} end  -- noqa: PRS, a value

-- name: member_ref
-- The person's code in this schema, and nothing of who has none yet. It is the crosswalk's column
-- as it is: of an expression the planner would not know that it is unique, and would read a whole
-- cube for the rows of one code.
{person}.{ref}  -- noqa: PRS, a value

-- name: member_key
-- The code of a surrogate key in this schema, to join on.
{code}.{key_code}  -- noqa: PRS, a value

-- name: year
-- The first day of its year.
access.year_of(r.{column})  -- noqa: PRS, a value

-- name: birth_year
-- The first day of its year; of whoever is over 89 that of the year of birth of a person of 90.
access.birth_year_of(r.{column})  -- noqa: PRS, a value

-- name: age
-- An age or a band of ages, those over 89 as 90+.
access.age_of(r.{column})  -- noqa: PRS, a value

-- name: zip3
-- The first three digits, 000 where 20,000 persons or fewer live.
access.zip3_of(r.{column})  -- noqa: PRS, a value
