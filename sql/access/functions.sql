-- What safe harbor leaves of a value (45 CFR 164.514(b)(2)(i)): readers' queries contain these as
-- expressions, so each is one.

-- name: year_of_date
-- The first day of the year of a date; a date that means no end stays.
create or replace function {schema}.year_of(day date) returns date
language sql immutable parallel safe
return case
    when day >= '9999-01-01' then day else make_date(extract(year from day)::integer, 1, 1)
end;

-- name: year_of_time
-- The first instant of the year of a time; one that means no end stays.
create or replace function {schema}.year_of(at timestamp) returns timestamp
language sql immutable parallel safe
return case when at >= '9999-01-01' then at else date_trunc('year', at) end;

-- name: year_of_instant
-- The first instant of the year of an instant, UTC.
create or replace function {schema}.year_of(at timestamptz) returns timestamptz
language sql immutable parallel safe
return date_trunc('year', at, 'UTC');

-- name: year_of_date_key
-- The key of the first day of the year of a day, yyyymmdd; -1 stays.
create or replace function {schema}.year_of(date_key integer) returns integer
language sql immutable parallel safe
return case when date_key < 0 then date_key else date_key / 10000 * 10000 + 101 end;

-- name: birth_year_of
-- The first day of the year of birth; of persons over 89 that of those who are 90 this year.
-- Of whom no day of birth is known there is none.
create or replace function {schema}.birth_year_of(birth date) returns date
language sql stable parallel safe
return case
    when birth is not null then make_date(
        greatest(
            extract(year from birth)::integer, extract(year from current_date)::integer - 90
        ), 1, 1
    )
end;

-- name: age_of
-- An age or a band of ages as it is, those over 89 as 90+.
create or replace function {schema}.age_of(age_group text) returns text
language sql immutable parallel safe
return case when age_group ~ '(^|[^0-9])(9[0-9]|[1-9][0-9]{{2,}})' then '90+' else age_group end;

-- name: zip3_of
-- The first three digits of a ZIP code, 000 where 20,000 persons or fewer live; nothing of what is
-- no ZIP code.
create or replace function {schema}.zip3_of(zip text) returns text
language sql immutable parallel safe
return case
    when zip !~ '^[0-9]{{5}}(-?[0-9]{{4}})?$' then null
    when left(zip, 3) = any(array[{restricted}]) then '000'
    else left(zip, 3)
end;

-- name: bits_joined
-- Bits of several rows, one after the other in their order.
create or replace aggregate {schema}.bits_joined (varbit)(
    sfunc = bitcat,
    stype = varbit,
    parallel = safe
);

-- name: age_of_years
-- An age in years; of persons over 89 it is 90.
create or replace function {schema}.age_of(years integer) returns integer
language sql immutable parallel safe
return case when years > 89 then 90 else years end;
