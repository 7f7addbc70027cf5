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
left join access.member_crosswalk as person on  -- noqa: PRS, a join
    r.{member_id} = person.member_id

-- name: code
-- The crosswalk of a row's surrogate key.
left join access.member_key as {code} on  -- noqa: PRS, a join
    r.{key} = {code}.member_sk

-- name: in_scope_by_key
-- Rows of members of the states that the reader may see, as each was on the day of the row.
-- One row per row.
select s.*
from ({rows}) as s
where s.member_sk in (
    select m.member_sk
    from {dim_member} as m
    inner join access.login_state as allowed on m.state = allowed.state
    where allowed.login = session_user
);

-- name: in_scope_by_state
-- Rows that bear a state that the reader may see. One row per row.
select s.*
from ({rows}) as s
where s.state in (
    select allowed.state from access.login_state as allowed where allowed.login = session_user
);

-- name: in_scope_by_member_and_day
-- Rows of a member and a day on which the member was of a state that the reader may see.
-- One row per row.
select s.*
from ({rows}) as s
where exists (
    select 1
    from {dim_member} as m
    inner join access.login_state as allowed on m.state = allowed.state
    where allowed.login = session_user and m.member_id = s.member_id
        and s.{day} >= m.validity_start_ts and s.{day} < m.validity_end_ts
);

-- name: cells
-- A cube whose cells of 1 to 10 persons are hidden: all months of such a category in a year, and
-- those of a second category, so that none comes out of a total less the other cells. What is
-- hidden has its category and month, and no measures. One row per cell.
with cells as (
    select
        r.*,
        extract(year from r.{month}) as cell_year,
        {is_small} as cell_is_small,
        count(*) over (partition by {block}, extract(year from r.{month})) as cell_months
    from ({rows}) as r
),

months as (
    select distinct
        {partition},
        {month}
    from cells
),

months_of_years as (
    select
        {partition},
        count(*) as months
    from months
    group by {partition}
),

blocks as (
    select
        {block},
        cell_year,
        bool_or(c.cell_is_small) as is_small,
        sum(c.{persons}) as persons,
        -- In a month without a row there is nobody.
        case when min(c.cell_months) < min(m.months) then 0 else min(c.{persons}) end as fewest
    from cells as c
    inner join months_of_years as m using ({partition})
    group by {block}, cell_year
),

ranked as (
    select
        *,
        bool_or(is_small) over (partition by {partition}) as has_small,
        -- The second category has more than 10 in every month, if any has, and is the smallest such.
        row_number() over (
            partition by {partition}, is_small
            order by fewest > 10 desc, case when fewest > 10 then persons else -fewest end, {block}
        ) as place
    from blocks
),

hidden as (
    select
        {block},
        cell_year
    from ranked
    where is_small or (has_small and place = 1)
)

select {columns}
from cells
where ({block}, cell_year) not in (
    select
        {block},
        cell_year
    from hidden
)
union all
select {hidden_columns}
from hidden
inner join months using ({partition});

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
