-- Passes: a cube whose groups do not fit into memory at once is made of some months of service
-- after the other. Claims whose groups do not fit are written to disk and read again.
--
--   partitions             2024     2025-01  2025-02  2025-03      claims that fit: 900
--   claims                 2,400        400      300      500
--
--   passes                 three parts of 2024 of four months; 2025-01 and 2025-02; 2025-03

-- name: memory
-- Bytes of groups that a step of this session may have in memory. One row.
select (
    pg_size_bytes(current_setting('work_mem')) * current_setting('hash_mem_multiplier')::numeric
)::bigint as bytes;

-- name: claims
-- How many claims there are of which days, by statistics. One row per partition, in order.
select
    b.first_day,
    b.next_day,
    b.row_count
from ({facts/5_partitions.bounds}) as b
where b.first_day is not null and b.next_day is not null
order by b.first_day;

-- name: of_months
-- What restricts a definition to the months of a pass. A fragment.
(  -- noqa: PRS, a condition
    f.service_date >= {first_day} and f.service_date < {next_day}
)

-- name: make_pass
-- The rows of some months; several workers make them, which an insert would not let them.
-- One row per row of the cube's grain.
create temporary table of_pass on commit drop as {definition};

-- name: add_pass
-- Put them with those of the months before. One row per row of the cube's grain.
insert into {made}
select *
from pg_temp.of_pass;
