-- The views of the masked schemas: the names and columns of what they show, masked.

-- name: table
-- {relation}.
select *
from {relation};

-- name: no_rows
-- The columns of a query. No rows.
select *
from ({rows}) as r
where false;

-- name: masked
-- The rows of a relation, its columns as a standard treats them. One row per row.
select {masked}
from ({rows}) as r {crosswalks};

-- name: person
-- The crosswalk of a row's person.
left join access.member_crosswalk as {person} on  -- noqa: PRS, a join
    r.{member_id} = {person}.member_id

-- name: code
-- The crosswalk of a row's surrogate key.
left join access.member_key as {code} on  -- noqa: PRS, a join
    r.{key} = {code}.member_sk

-- name: code_of_copy
-- The limited copy of a row's version of a member, which has the code of its surrogate key.
left join {copy} as {code} on  -- noqa: PRS, a join
    r.{key} = {code}.version_sk

-- name: members
-- Versions of members with the codes of the de-identified schema for person and key. Of marts alone:
-- the other columns are as the dimension has them. One row per version.
select
    d.member_sk as version_sk,
    k.safe_harbor_sk as member_sk,
    p.safe_harbor_ref as member_id,
    d.state,
    d.age_group,
    d.plan_metal,
    d.current_flag,
    d.validity_start_ts,
    d.validity_end_ts,
    d.known_from_ts
from {dim_member} as d
left join access.member_key as k on d.member_sk = k.member_sk
left join access.member_crosswalk as p on d.member_id = p.member_id;

-- name: states_of_reader
-- The states that the reader may see, as an array that is made once a query. A list of a sub-select
-- would be looked at for each row of a join, and a join with it be estimated to leave few rows.
-- A fragment.
array(  -- noqa: PRS, a value
    select allowed.state from access.login_state as allowed where allowed.login = session_user
)

-- name: in_scope_by_key
-- Rows of members of the states that the reader may see, as each was on the day of the row. It is
-- the join that the row's code comes by, so it costs nothing more. One row per row.
select s.*
from ({rows}) as s
inner join {members} as v on s.member_sk = v.member_sk
where v.state = any({access/masked.states_of_reader});

-- name: bits_of_reader
-- A bit for each surrogate key of a version, from -1 on: 1 if it is of a state that the reader may
-- see. They are put together once a query, and of every key in the dimension there is one, as
-- get_bit asks. A fragment.
(  -- noqa: PRS, a value
    select access.bits_joined(coalesce(b.bits, 0::bit(4096)) order by p.part)
    from generate_series(0, ((select max(d.member_sk) from {dim_member} as d) + 1) >> 12) as p (part)
    left join (
        select
            o.part,
            bit_or(o.bits) as bits
        from {scope} as o
        where o.state = any({access/masked.states_of_reader})
        group by o.part
    ) as b on p.part = b.part
)

-- name: facts_in_scope
-- Facts of members of the states that the reader may see, as each was on the day of the fact: a join
-- with the member's version would be made for each row. Every key of a fact is in the dimension.
-- One row per fact.
select f.*
from {relation} as f
where get_bit({access/masked.bits_of_reader}, (f.member_sk + 1)::integer) <> 0;

-- name: in_scope_by_state
-- Rows that bear a state that the reader may see. One row per row.
select s.*
from ({rows}) as s
where s.state = any({access/masked.states_of_reader});

-- name: in_scope_by_member_and_day
-- Rows of a member and a day on which the member was of a state that the reader may see.
-- One row per row.
select s.*
from ({rows}) as s
where exists (
    select 1
    from {dim_member} as m
    where m.member_id = s.member_id
        and s.{day} >= m.validity_start_ts and s.{day} < m.validity_end_ts
        and m.state = any({access/masked.states_of_reader})
);

-- name: cells
-- A cube whose cells of 1 to 10 persons are hidden: all months of such a category in a year, and
-- those of a second category, so that none comes out of a total less the other cells. What is
-- hidden has its category and month, and no measures. In the other cells the measures of a part of
-- the claims are hidden in the same way where these are of 1 to 10 persons. One row per cell.
with cells as (
    select
        r.*,
        extract(year from r.{month}) as cell_year
    from ({rows}) as r
),

months as (
    select distinct
        {partition},
        {month}
    from cells
),

blocks as (
    select
        {block},
        cell_year,
        {counted},
        {is_small}
        as is_small
    from cells as c
    group by {block}, cell_year
),

ranked as (
    select
        *,
        {ranked}
    from blocks
),

judged as (
    select
        {block},
        cell_year,
        {hides_parts},
        is_small or {is_second}
        as is_hidden
    from ranked
)

select {columns}
from cells
inner join judged using ({block}, cell_year)
where not is_hidden
union all
select {hidden_columns}
from judged
inner join months using ({partition})
where is_hidden;

-- name: cells_are_small
-- Whether a category has a month with 1 to 10 persons: with fewer than 11, and anything to count.
bool_or({persons} < {fewest} and greatest({counts}) > 0)  -- noqa: PRS, a value

-- name: cells_counted
-- Of a category in a year: whether it is small, its months that are not, and all persons.
{is_small}  -- noqa: PRS, values
as {small},
count(*) filter (where {persons} >= {fewest}) as {months},
sum({persons}) as {all}

-- name: cells_ranked
-- Whether a year has a small category, and the place of the others as the second: first the one
-- with persons in the most months, of these the one with the fewest persons. Cubes that count the
-- same persons in the same months or in more choose the same.
bool_or({small}) over (partition by {partition}) as {has_small},  -- noqa: PRS, values
row_number() over (
    partition by {partition}, {among}
    order by {months} desc, {all}, {block}
) as {place}

-- name: cells_second
-- Whether a category is the second one.
({has_small} and not {among} and {place} = 1)  -- noqa: PRS, a value

-- name: cells_part_hidden
-- Whether the measures of a part of the claims are hidden in a category's year.
(  -- noqa: PRS, a value
    {small}
    or {access/masked.cells_second}
) as {hides}

-- name: cells_measure
-- A measure of a part of the claims, where it is not hidden.
case  -- noqa: PRS, a value
    when not {hides} then {measure}
end as {measure}

-- name: as_known_at
-- Puts the session at what was known after a load: names without a schema show it, and schema
-- limited_as_known does.
create or replace function {schema}.as_known_at(load_id bigint) returns text
language sql
return {warehouse}.as_known_at(load_id) || left(
    set_config('search_path', 'limited_as_known, ' || {warehouse}.present_path(), false), 0
);

-- name: as_known_at_time
-- Puts the session at what was known at an instant: names without a schema show it, and schema
-- limited_as_known does.
create or replace function {schema}.as_known_at(at timestamptz) returns text
language sql
return {schema}.as_known_at({warehouse}.latest_load(at));

-- name: as_known_now
-- Puts the session back to the present.
create or replace function {schema}.as_known_now() returns text
language sql
return {warehouse}.as_known_now();
