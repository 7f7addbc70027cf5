-- Claims and enrollments whose retention is over leave staging and the facts, in one transaction.
-- One goes as a whole: when the days of all its rows lie before the horizon. The lines and
-- diagnoses of a claim go with it, and those that wait for a claim by their own days. What one line
-- of a file gave goes together too, since the ledger remembers what went by its lines.
--
--   horizon   2016-01-01
--
--   before    claim  load  service_date
--             C1     1     2015-12-31    goes
--             C2     1     2015-12-31    goes
--             C2     2     2015-12-30    goes
--             C3     1     2016-01-05    stays
--             C3     2     2015-12-30    stays with it
--
--   after     claim  load  service_date
--             C3     1     2016-01-05
--             C3     2     2015-12-30

-- name: last_day_of_claims
-- The day from which the retention of a claim counts: its day of service. A fragment.
(  -- noqa: PRS, a value
    s.service_date::date
)

-- name: last_day_of_enrollments
-- The day from which the retention of an enrollment counts: the last day of its coverage, or its
-- start if it is canceled from there. A fragment.
greatest(  -- noqa: PRS, a value
    s.start_date::date, {end_date}
)

-- name: plan_year_end
-- The last day of the plan year in which coverage began; none without a start. A fragment.
make_date(  -- noqa: PRS, a value
    extract(year from s.start_date)::integer, 12, 31
)

-- name: is_exempt
-- Whether a row stays however old it is: it is of a member on legal hold. A fragment.
exists (  -- noqa: PRS, a condition
    select 1
    from legal_hold as h
    where h.member_id = s.member_id and h.released_at is null
)

-- name: same_key
-- Whether two rows s and t are about one claim or enrollment by their identifier. A fragment.
(  -- noqa: PRS, a condition
    s.{key} = t.{key}
)

-- name: same_line
-- Whether two rows s and t are of one line, of a file whose lines may give several. The ledger
-- remembers what went by its lines. A fragment.
(  -- noqa: PRS, a condition
    s.load_id = t.load_id and s.source_line = t.source_line
    and s.load_id in (
        select f.load_id
        from load_file as f
        where f.rows_added > 0
    )
)

-- name: is_row_of_fact
-- Whether s is the staged row that goes: a line may give several. A fragment.
(  -- noqa: PRS, a condition
    e.load_id = s.load_id and e.source_line = s.source_line and e.fact_key = s.{key}
)

-- name: is_row_of_detail
-- The same of what claims consist of. A fragment.
(  -- noqa: PRS, a condition
    e.load_id = s.load_id and e.source_line = s.source_line and e.fact_key = s.{key}
    and e.detail_number = s.{number}
)

-- name: same_coverage
-- Whether two rows s and t are about one enrollment since they name the same member, plan and
-- start. A fragment.
(  -- noqa: PRS, a condition
    s.member_id = t.member_id and s.plan_id = t.plan_id and s.start_date = t.start_date
    and s.member_id <> '' and s.plan_id <> ''
)

-- name: find_old
-- Staged rows from before the horizon, of some loads or of all, and delete markers without a date,
-- which count from their batch. One row per row of staging.
create temporary table {expiring} on commit drop as
select
    s.load_id,
    s.source_line,
    s.{key} as fact_key,
    coalesce({last_day}, (l.as_of at time zone 'UTC')::date) as last_day,
    {last_day} is null as is_undated
from {staging} as s
inner join load as l on s.load_id = l.load_id
where (%(loads)s::bigint[] is null or s.load_id = any(%(loads)s))
    and coalesce({last_day} < %(horizon)s, true)
    and not {is_exempt};

-- name: index_rows
-- An index on the lines of rows that go: whether a row goes is asked of each that shares its claim
-- or its line, of which PostgreSQL expects one. No rows.
create index on {expiring} (load_id, source_line);

-- name: create_expiring
-- The same of what claims consist of. No rows.
create temporary table {expiring} (
    load_id bigint not null,
    source_line bigint not null,
    fact_key text not null,
    detail_number bigint not null,
    last_day date not null
) on commit drop;

-- name: find_of_claims
-- Staged rows of claims that go, counted from the last day of their claim. One row per row of
-- staging.
insert into {expiring} (load_id, source_line, fact_key, detail_number, last_day)
select
    s.load_id,
    s.source_line,
    s.claim_id,
    s.{number},
    e.last_day
from (
    select
        fact_key,
        max(last_day) as last_day
    from {expiring_facts}
    group by fact_key
) as e
inner join {staging} as s on e.fact_key = s.claim_id;

-- name: find_waiting
-- Staged rows from before the horizon, of some loads or of all, whose claim never came. All that are
-- staged for the claim lie before the horizon. One row per row of staging.
insert into {expiring} (load_id, source_line, fact_key, detail_number, last_day)
select
    s.load_id,
    s.source_line,
    s.claim_id,
    s.{number},
    s.service_date::date
from {staging} as s
where s.service_date < %(horizon)s
    and (%(loads)s::bigint[] is null or s.load_id = any(%(loads)s))
    and not exists (
        select 1
        from claims_raw as c
        where c.claim_id = s.claim_id
    )
    and not exists (
        select 1
        from {staging} as o
        where o.claim_id = s.claim_id and o.service_date >= %(horizon)s
    );

-- name: keep_with_details
-- Claims stay of which a line of a file has lines or diagnoses together with those of a claim that
-- stays, or of one that never came and has a day beyond the horizon. One row per row of staging.
delete from {expiring} as e
using {staging_of_details} as t
where e.fact_key = t.claim_id
    and t.load_id in (
        select f.load_id
        from load_file as f
        where f.feed = {feed_of_details} and f.rows_added > 0
    )
    and exists (
        select 1
        from {staging_of_details} as s
        where s.load_id = t.load_id and s.source_line = t.source_line
            and s.claim_id <> t.claim_id
            and not exists (
                select 1
                from {expiring} as x
                where x.fact_key = s.claim_id
            )
            and (
                exists (
                    select 1
                    from {staging} as c
                    where c.claim_id = s.claim_id
                )
                or exists (
                    select 1
                    from {staging_of_details} as o
                    where o.claim_id = s.claim_id
                        and (o.service_date < %(horizon)s) is not true
                )
            )
    );

-- name: keep_lines
-- Lines and diagnoses stay with any that the same line of a file gave and that stays: one that came
-- after its claim had gone, in a line with those of another claim. One row per row of staging.
delete from {expiring} as e
where e.load_id in (
    select f.load_id
    from load_file as f
    where f.feed = %(feed)s and f.rows_added > 0
)
and exists (
    select 1
    from {staging} as s
    where s.load_id = e.load_id and s.source_line = e.source_line
        and not exists (
            select 1
            from {expiring} as x
            where x.load_id = s.load_id and x.source_line = s.source_line
                and x.fact_key = s.claim_id and x.detail_number = s.{number}
        )
);

-- name: copy_lines
-- Let the same rows of a rebuilt load expire as of the one that it rebuilds. One row per feed.
update load_file as f
set expired_lines = rebuilt.expired_lines
from load_file as rebuilt
where f.load_id = %(load_id)s and rebuilt.load_id = %(rebuilds_load_id)s and f.feed = rebuilt.feed;

-- name: find_recorded
-- Staged rows of some loads of which the ledger says that they expire. One row per row of staging.
create temporary table {expiring} on commit drop as
select
    s.load_id,
    s.source_line,
    s.{key} as fact_key,
    {detail_number}::bigint as detail_number
from {staging} as s
inner join load_file as f on s.load_id = f.load_id and f.feed = %(feed)s
where s.load_id = any(%(loads)s) and s.source_line <@ f.expired_lines;

-- name: keep_whole
-- What has a row that stays, of a load that is in the facts, stays as a whole. One row per row of
-- staging.
delete from {expiring} as e
using {staging} as t
where e.load_id = t.load_id and e.source_line = t.source_line and e.fact_key = t.{key}
    and exists (
        select 1
        from {staging} as s
        where {same_thing} and (%(through)s::bigint is null or s.load_id <= %(through)s)
            and not exists (
                select 1
                from {expiring} as x
                where x.load_id = s.load_id and x.source_line = s.source_line
                    and x.fact_key = s.{key}
            )
    );

-- name: keep_undated
-- Markers without a date stay that nothing goes with, unless their own batch lies before the
-- horizon. One row per row of staging.
delete from {expiring} as e
where e.is_undated and e.last_day >= %(horizon)s
    and not exists (
        select 1
        from {expiring} as x
        where x.fact_key = e.fact_key and not x.is_undated
    );

-- name: keep_writers_out
-- Let nobody change staged rows until the transaction ends; readers go on. No rows.
lock table {staging} in share row exclusive mode;

-- name: count_files
-- Rows that go count as expired in the ledger, and so does their money. One row per load and feed.
with gone as (
    select
        e.load_id,
        count(*) as row_count,
        range_agg(int8range(e.source_line, e.source_line, '[]')) as lines,
        {totals} as totals
    from {expiring} as e
    inner join {staging} as s on {is_row}
    group by e.load_id
)

update load_file as f
set
    rows_loaded = f.rows_loaded - g.row_count,
    rows_expired = f.rows_expired + g.row_count,
    distinct_keys = f.distinct_keys - g.row_count,
    expired_lines = f.expired_lines + g.lines,
    totals = (
        select
            coalesce(
                jsonb_object_agg(
                    t.money,
                    t.amounts || jsonb_build_object(
                        'loaded',
                        ((t.amounts ->> 'loaded')::numeric - (g.totals ->> t.money)::numeric)::text,
                        'expired',
                        (
                            coalesce((t.amounts ->> 'expired')::numeric, 0)
                            + (g.totals ->> t.money)::numeric
                        )::text
                    )
                ),
                '{{}}'
            )
        from jsonb_each(f.totals) as t (money, amounts)
    )
from gone as g
where f.load_id = g.load_id and f.feed = %(feed)s
returning
    f.load_id,
    g.row_count,
    g.totals;

-- name: count_parts
-- The same of each file of a feed; without a header, the first row is on line 1.
-- One row per load, feed and part.
with parts as (
    select
        p.load_id,
        p.part,
        p.first_line,
        lead(p.first_line) over (partition by p.load_id order by p.part) as next_line
    from load_file_part as p
    where p.feed = %(feed)s and p.first_line is not null
        and p.load_id in (
            select e.load_id
            from {expiring} as e
        )
),

gone as (
    select
        p.load_id,
        p.part,
        count(*) as row_count
    from parts as p
    inner join {expiring} as e
        on p.load_id = e.load_id and p.first_line <= greatest(e.source_line, 2)
        and (e.source_line < p.next_line or p.next_line is null)
    group by p.load_id, p.part
)

update load_file_part as p
set
    rows_loaded = p.rows_loaded - g.row_count,
    rows_expired = p.rows_expired + g.row_count
from gone as g
where p.load_id = g.load_id and p.part = g.part and p.feed = %(feed)s;

-- name: delete_facts
-- What goes leaves a fact, its earlier states, or its past. One row per fact, state or change.
delete from {fact} as f
using {expiring} as e
where f.{key} = e.fact_key and f.{date} < %(horizon)s;

-- name: delete_details
-- What claims that go consist of, or its past. A line may wait under a day that is not its claim's.
-- One row per row or change.
delete from {detail} as d
using {expiring} as e
where d.{key} = e.fact_key;

-- name: forget_failing_keys
-- What goes is no longer named among the failing keys of checks; how many failed stays.
-- One row per check and run.
with named as (
    select
        r.check_run_id,
        r.check_name,
        k.failing_key,
        k.place,
        e.fact_key is not null as is_gone
    from check_result as r
    cross join lateral jsonb_array_elements(r.failing_keys)
        with ordinality as k (failing_key, place)
    left join (
        select distinct fact_key
        from {expiring}
    ) as e on e.fact_key = k.failing_key ->> %(key)s
),

kept as (
    select
        check_run_id,
        check_name,
        coalesce(jsonb_agg(failing_key order by place) filter (where not is_gone), '[]') as keys
    from named
    group by check_run_id, check_name
    having bool_or(is_gone)
)

update check_result as r
set failing_keys = k.keys
from kept as k
where r.check_run_id = k.check_run_id and r.check_name = k.check_name;

-- name: forget_rejected_keys
-- Nor among the keys of rejected rows, which say that a snapshot does not lack them.
-- One row per load and key.
delete from rejected_key as n
using {expiring} as e
where n.feed = %(feed)s and n.key[1] = e.fact_key;

-- name: delete_rows
-- The rows themselves, as their files had them. One row per row of staging.
delete from {staging} as s
using {expiring} as e
where {is_row};
