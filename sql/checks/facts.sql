-- Checks of the facts against the dimensions and the calendar.
--: advice: Rows were changed or deleted by something other than a load: make full-load.

-- name: keyed
-- A fact joined to all its dimensions at once, as reports do, in one pass: no key is empty, each
-- version is there and was in force, each date key is of its day, and the joins change neither
-- the number of facts nor the money. One row per rule.
--: for each: fact
--: key: {row_key}
--: gate: facts, facts = {name}_of_load, scope = {name}_is_of_load
--: by month: yes
--: rule joins_preserve_row_count: critical, integrity
--:   fails when: joins to all the dimensions at once lose facts or repeat them
--:   advice: A row of a dimension or of dim_date was deleted or is there twice: make full-load.
--: rule joins_keep_money: critical, integrity
--:   fails when: joins to all the dimensions at once change a money total
--:   advice: A row of a dimension or of dim_date was deleted or is there twice: make full-load.
--: rule keys_present: critical, completeness
--:   fails when: a key, date or load is missing
--: rule {sk}_has_version: critical, integrity
--:   for each: reference
--:   fails when: the dimension lacks the version
--:   advice: A version was deleted by hand: make full-load.
--: rule {sk}_in_force: critical, integrity
--:   for each: reference
--:   fails when: the version was not in force on the fact's date
--:   advice: A version was changed by hand: make full-load.
--: rule {date_key}_in_calendar: critical, integrity
--:   for each: date key
--:   column: {date_key}
--:   fails when: dim_date lacks the day, or the key is of another day
with asked as {kept} (
    select *
    from {facts}
    where {scope}
),

alone as (
    select
        count(*) as facts,
        {sums}
    from asked
),

judged as (
    select
        {columns},
        {is_whole} as is_whole,
        {flags}
    from asked as f
    {joins}
),

joined as (
    select
        count(*) filter (where is_whole) as facts,
        {money_of_whole},
        {tallies}
    from judged
)

select
    v.rule,
    alone.facts as rows_checked,
    v.rows_failed,
    v.failing_keys
from alone
cross join joined
cross join lateral (
    values
    ('joins_preserve_row_count', abs(joined.facts - alone.facts), '[]'::jsonb),
    ('joins_keep_money', {sums_joined_alone}, '[]'),
    {tallied}
) as v (rule, rows_failed, failing_keys);

-- name: keys_known
-- Of the loads in whose name rows of a dimension were inferred, more than a few, and are to this
-- day: the largest share of the keys that such a load names which nothing but its facts names.
-- One row; a row checked is a load, a row that fails an inferred row of the worst one.
--: for each: dimension
--: feed: any
--: key: d.{row_key}
--: loads: in facts
--: value: few = 20
--: gate: facts
--: rule keys_known: major, integrity
--:   fails when: the facts of a load name many keys that no feed has brought
--:   threshold: 10 percent of the keys named
--:   advice: Compare such keys with those of the feed: leading zeros that a spreadsheet took away,
--:     or another form of the key? Then ask for the file again; else ask where the feed is.
--:   note: Up to {few} such keys of a load are let pass.
with inferred as (
    select
        d.load_id,
        count(*) as keys,
        some_keys({key_of_row}) as some_rows
    from {dim} as d
    where d.is_inferred and d.{sk} <> -1 and d.load_id = any(%(loads)s)
    group by d.load_id
    having count(*) > %(few)s
),

named as (
    select
        n.load_id,
        count(*) as keys
    from (
        {keys_named_by_facts}
    ) as n
    group by n.load_id
),

worst as (
    select
        i.keys,
        i.some_rows,
        100.0 * i.keys / n.keys as share
    from inferred as i
    inner join named as n on i.load_id = n.load_id
    order by share desc, i.load_id
    limit 1
)

select
    'keys_known' as rule,
    cardinality(%(loads)s::bigint[]) as rows_checked,
    coalesce(w.keys, 0) as rows_failed,
    coalesce(w.share, 0)::double precision as measured,
    coalesce(w.some_rows, '[]') as failing_keys
from (values (true)) as always (is_there)
left join worst as w on always.is_there;

-- name: named_keys
-- The keys of a dimension that a fact's rows name, of loads in whose name rows were inferred: a
-- part of a from clause. One row per load and key.
select
    s.load_id,
    {key_values}
from {staging} as s
where s.load_id in (
    select i.load_id
    from inferred as i
);

-- name: out_of_force
-- Whether the version that a fact is keyed to was not in force on the fact's date: a fragment of a
-- select list. Where the key was gone on that date, the last version before it is meant.
case  -- noqa: PRS, part of a select list
    when {dim}.{sk} is null then false
    when {date} < {dim}.validity_start_ts then true
    when {date} < {dim}.validity_end_ts then false
    else exists (
        select 1
        from {dim} as later
        where {same_key}
            and later.validity_start_ts > {dim}.validity_start_ts
            and later.validity_start_ts <= {date}
    )
end

-- name: claim_is_of_load
-- Whether a claim is of the current load: a fragment of a where clause.
f.load_id = %(load_id)s  -- noqa: PRS, a condition

-- name: enrollment_is_of_load
-- The same of an enrollment.
f.load_id = %(load_id)s and {named_by_loads}  -- noqa: PRS, a condition

-- name: claim_of_load
-- The claims that a load brought, each looked up in the partition of its day: a fragment of a from
-- clause.
(  -- noqa: PRS, part of a from clause
    with brought as materialized (
        select
            r.claim_id,
            r.service_date,
            r.load_id
        from claims_raw as r
        where r.load_id = %(load_id)s
    )

    select c.*
    from brought as r
    cross join lateral (
        select *
        from fact_claim as c
        where c.claim_id = r.claim_id and c.service_date = r.service_date and c.load_id = r.load_id
        -- Keeps the look-up a look-up.
        order by c.claim_id
    ) as c
) as f

-- name: enrollment_of_load
-- Where the enrollments that a load brought are found: a fragment of a from clause.
fact_enrollment as f  -- noqa: PRS, part of a from clause
