-- Rows on their way to the archive.

-- name: years
-- The years in which the retention of rows that go began. One row per year.
select distinct extract(year from last_day)::integer as year
from {expiring}
order by year;

-- name: measure
-- What goes of a feed, in one year or in all: rows of files, facts, sums of money, days, bytes, and
-- how many values each column has. One row.
select
    count(*) as row_count,
    count(distinct {fact_row}) filter (where f.{key} is not null) as facts,
    {totals} as money_totals,
    min(e.last_day) as first_day,
    max(e.last_day) as last_day,
    coalesce(sum(pg_column_size(s.*)), 0)::bigint as size_bytes,
    array[{value_counts}]::bigint[] as value_counts
from {expiring} as e
inner join {staging} as s on {is_row}
left join {fact} as f on {is_in_fact}
where %(year)s::integer is null or extract(year from e.last_day) = %(year)s;

-- name: is_of_fact
-- Whether a row that goes is a fact's present state. A fragment.
e.fact_key = f.{key} and e.load_id = f.load_id and f.{date} < %(horizon)s  -- noqa: PRS, a condition

-- name: is_of_detail
-- Whether a row that goes is a row of what a claim consists of. A fragment.
e.fact_key = f.{key} and s.{number} = f.{number} and not f.is_from_claim  -- noqa: PRS, a condition

-- name: rows
-- The rows of a year in the order in which they came, with their batch, in the types that the
-- warehouse stores; instants in UTC. What has no value is empty, and an empty text is in quotes.
-- One row per line.
copy (
    select {columns}
    from {expiring} as e
    inner join {staging} as s on {is_row}
    inner join load as l on s.load_id = l.load_id
    where extract(year from e.last_day) = {year}
    order by e.load_id, e.source_line, {row_key}
) to stdout with (format csv);
