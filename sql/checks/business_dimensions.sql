-- Checks of what members, plans and providers say, and of keys and texts of every feed.
-- Each statement that declares rules, but for known_on_day, returns the rows that break them: one
-- row a row and rule, with the rule's name.
--: advice: Ask the sender; the rows are loaded as they came.

-- name: ages_judged
-- Of how many versions of members the age band can be judged: those with a date of birth, a plan
-- year and a band of numbers. One row.
select
    coalesce(sum(said.versions), 0)::bigint as rows_checked,
    jsonb_build_object(
        'age_in_band',
        coalesce(
            sum(said.versions) filter (
                where num_nulls(said.dob, said.year) = 0
                and said.age_group ~ '^([0-9]{{1,3}})(?:-([0-9]{{1,3}})|\+)$'
            ), 0
        )
    ) as judged
from (
    select
        dob,
        year,
        age_group,
        count(*) as versions
    from dim_member
    group by dob, year, age_group
) as said;

-- name: births_judged
-- Of how many versions of members the date of birth is known. One row.
select
    count(*) as rows_checked,
    jsonb_build_object('born_by_batch', count(d.dob)) as judged
from dim_member as d;

-- name: plans_judged
-- Of how many versions of plans both amounts are known. One row.
select
    count(*) as rows_checked,
    jsonb_build_object(
        'deductible_within_limit', count(*) filter (where num_nulls(deductible, oop_max) = 0)
    ) as judged
from dim_plan;

-- name: npis_judged
-- Of how many providers as they are now the NPI has ten digits. One row.
select
    count(*) as rows_checked,
    jsonb_build_object(
        'npi_check_digit', count(*) filter (where p.npi ~ '^[0-9]{{10}}$')
    ) as judged
from dim_provider as p;

-- name: shared_judged
-- How many versions have all of the values that no two may share. One row.
select
    count(*) as rows_checked,
    jsonb_build_object(
        {rule_name}, count(*) filter (where num_nulls({columns}) = 0)
    ) as judged
from {dim};

-- name: known_on_day
-- Facts that join a first version of a key on a day before its values are known: since a first
-- version reaches back to 1900, they describe what was true later. An inferred version says
-- nothing and is not judged. One row; a row checked is a fact.
--: for each: fact
--: key: {row_key}
--: by month: yes
--: rule values_known_on_day: minor, timeliness
--:   fails when: the version of {changing} that the fact joins describes what was true later: its
--:     values are known only from a day after the fact's on
--:   note: A few facts come before the feed that describes their member, in every month.
--:   may fail: 5 %
--:   source: [for analysts](analysts.md#be-careful)
--:   advice: Reports as was show later values there: known_from_ts of the version says since when.
--:     For history of before the first batch, load older files or raise the threshold.
select
    'values_known_on_day' as rule,
    count(*) as rows_checked,
    count(v.known_from) as rows_judged,
    count(*) filter (where v.known_from > f.{date}) as rows_failed,
    some_keys({key_of_row}) filter (where v.known_from > f.{date}) as failing_keys
from {fact} as f
{joins_of_changing}
cross join lateral (select greatest({known_from})::date as known_from) as v;

-- name: member_ages
-- Versions of members whose age band contains no age that they had in the version's plan year.
-- A band is 26-34 or 65+; of other words nothing can be said. A band is judged once for all who
-- were born on a day: there are many members and few such days.
--: table: dim_member
--: key: member_sk
--: counted by: ages_judged
--: rule age_in_band: minor, consistency
--:   fails when: the age band has no age that the member had in the plan year
--:   advice: Ask the sender which of date of birth, band and year is wrong.
with said as materialized (
    select distinct
        dob,
        year,
        age_group
    from dim_member
    where num_nulls(dob, year, age_group) = 0
),

impossible as materialized (
    select s.*
    from said as s
    cross join lateral (
        select
            s.year - extract(year from s.dob) - 1 as youngest,
            -- Who is born within the year may be listed before.
            greatest(s.year - extract(year from s.dob), 0) as oldest,
            regexp_match(s.age_group, '^([0-9]{{1,3}})(?:-([0-9]{{1,3}})|\+)$') as band
    ) as a
    where a.oldest < a.band[1]::integer or a.youngest > coalesce(a.band[2]::integer, 999)
)

select
    'age_in_band' as rule,
    d.member_sk,
    d.load_id
from dim_member as d
inner join impossible as i
    on d.dob = i.dob and d.year = i.year and d.age_group = i.age_group;

-- name: birth_dates
-- Versions of members who, by their date of birth, are born after the batch that brought it, or are
-- older than anybody became. Without a date of birth there is nothing to say.
--: table: dim_member
--: key: member_sk
--: counted by: births_judged
--: value: days_ahead = 31
--: rule born_by_batch: major, consistency
--:   fails when: the date of birth is more than {days_ahead} days after the batch that brought it,
--:     or more than 125 years before
--:   advice: Ask the sender for the date of birth: premium and age band follow from it.
select
    'born_by_batch' as rule,
    d.member_sk,
    d.load_id
from dim_member as d
inner join load as l on d.load_id = l.load_id
cross join lateral (select (l.as_of at time zone 'UTC')::date as batch_day) as t
where d.dob > t.batch_day + %(days_ahead)s::integer
    or d.dob < (t.batch_day - interval '125 years')::date;

-- name: providers_held
-- The providers as they are now, those that no feed brought apart. One row per provider.
select
    d.provider_id,
    d.load_id,
    d.npi
from dim_provider as d
where d.current_flag and not d.is_inferred;

-- name: bad_npis
-- Providers whose NPI fails its check digit: Luhn's over the ten digits after the prefix 80840,
-- which counts 24. Every second digit from the first on counts double, its two digits summed.
--: table: dim_provider
--: key: provider_id
--: counted by: npis_judged
--: parts: providers = providers_held
--: rule npi_check_digit: minor, validity
--:   fails when: the NPI's check digit is wrong
--:   note: Luhn's over 80840 and the other digits; the NPI may be empty.
--:   source: 45 CFR 162.406
--:   advice: Look the provider up in the national registry (45 CFR 162.406) and inform the sender.
select
    'npi_check_digit' as rule,
    p.provider_id,
    p.load_id
from ({providers}) as p
where p.npi ~ '^[0-9]{{10}}$'
    and (
        select
            sum(
                case
                    when mod(n.place, 2) = 0 then d.digit
                    when d.digit < 5 then 2 * d.digit
                    else 2 * d.digit - 9
                end
            )
        from generate_series(1, 10) as n (place)
        cross join lateral (select substr(p.npi, n.place, 1)::integer) as d (digit)
    ) + 24 not in (30, 40, 50, 60, 70, 80, 90, 100, 110);

-- name: plan_values
-- Versions of plans of which the deductible is above the limit on what a member pays.
--: table: dim_plan
--: key: plan_sk
--: counted by: plans_judged
--: rule deductible_within_limit: major, consistency
--:   fails when: the deductible is above the out-of-pocket maximum
--:   source: 45 CFR 156.130
--:   advice: Ask the sender; the deductible counts towards the maximum (45 CFR 156.130).
select
    'deductible_within_limit' as rule,
    d.plan_sk,
    d.load_id
from dim_plan as d
where d.deductible > d.oop_max;

-- name: shared_values
-- Current versions that share with another one values which no two may share. Versions that lack
-- one of the values share none.
--: for each: dimension and its unique columns
--: key: {row_key}
--: counted by: shared_judged
--: rule {columns}_unique: minor, uniqueness
--:   fails when: two current keys share their {columns_and}
--:   advice: Ask the sender whether the two are one, or which of them has it wrongly.
select
    {rule_name} as rule,
    {sk}
from (
    select
        {sk},
        num_nulls({columns}) as lacking,
        count(*) over (partition by {columns}) as sharing
    from {dim}
    where current_flag
) as held
where lacking = 0 and sharing > 1;

-- name: still_unknown
-- Keys that facts named and that their own feed has not brought in a month of batches since.
--: for each: dimension
--: key: {row_key}
--: counted by: all_rows
--: rule known_in_time: minor, timeliness
--:   fails when: facts named the key more than 31 days ago and its own feed has not brought it
--:   advice: Ask the sender of {feed} for it, or correct the fact's key.
select
    'known_in_time' as rule,
    d.{sk},
    d.load_id
from {dim} as d
inner join load as l on d.load_id = l.load_id
where d.is_inferred
    and d.{sk} <> -1
    and l.as_of < (
        select max(newest.as_of) - interval '31 days'
        from load as newest
        inner join load_file as f on newest.load_id = f.load_id
        where newest.load_id = any(%(loads)s) and f.feed = %(feed)s and f.status = 'loaded'
    );

-- name: line_breaks
-- Rows of a feed with a line break in a text.
--: for each: feed
--: key: load_id, source_line
--: counted by: all_rows
--: by month: yes
--: rule no_line_break: minor, validity
--:   fails when: a text has a line break
--:   advice: Ask the sender whether it belongs there; exports to other systems stumble over it.
select
    'no_line_break' as rule,
    s.load_id,
    s.source_line
from {staging} as s
where s.load_id = any(%(loads)s)
    and strpos(concat({texts}), chr(10)) > 0;
