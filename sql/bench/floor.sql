-- name: create_untyped
-- A logged table of text columns, as plain as can be. One row per line of a file.
create table {untyped} ({column_types});

-- name: copy_plain
-- The plain COPY that every stage is measured against. One row per line of a file.
copy {table} from stdin with (format csv, header true, delimiter {delimiter});

-- name: copy_out
-- The plain COPY that every export is measured against. One row per row of a table or view.
copy (
    select * from {table}  -- noqa: AM04, columns are those of the table
) to stdout (format csv, header true);

-- name: drop_untyped
-- Make room for the next round.
drop table {table};

-- name: scan
-- The plain scan that the checks are measured against. One row.
select count(*) from {table};

-- name: create_database
-- A database for the measurement, so that no warehouse is touched.
create database {database};

-- name: drop_database
-- Remove it again.
drop database if exists {database} with (force);

-- name: stage_seconds
-- What the ledger says of the stages of the latest run. One row per stage.
select
    stage,
    sum(extract(epoch from finished_at - started_at))::float8 as seconds
from ledger.stage_run
where status = 'done' and stage_run_id > %(after)s
group by stage;

-- name: stage_spans
-- When each stage that is done began and ended. One row per run of a stage.
select
    stage,
    started_at,
    finished_at
from ledger.stage_run
where status = 'done'
order by stage_run_id;

-- name: last_stage_run
-- Where the next run begins. One row.
select coalesce(max(stage_run_id), 0) from ledger.stage_run;

-- name: gate_seconds
-- What the gates of the latest run took. One row per stage.
select
    gate,
    sum(extract(epoch from finished_at - started_at))::float8 as seconds
from quality.check_run
where gate is not null and check_run_id > %(after)s
group by gate;

-- name: last_check_run
-- Where the checks of the next run begin. One row.
select coalesce(max(check_run_id), 0) from quality.check_run;

-- name: claims
-- Claims in the fact. One row.
select count(*) from warehouse.fact_claim;

-- name: fact_rows
-- Claims, and the rows of what they consist of. One row per table.
select
    'fact_claim' as table_name,
    count(*) as row_count
from warehouse.fact_claim
union all
select
    'fact_claim_line',
    count(*)
from warehouse.fact_claim_line
union all
select
    'bridge_claim_diagnosis',
    count(*)
from warehouse.bridge_claim_diagnosis;

-- name: members_joined
-- The hash join alone: the members of staging against the current versions. One row.
select count(*)
from members_raw as s
inner join dim_member as d on s.member_id = d.member_id and d.current_flag;

-- name: claims_joined
-- The same of the claims, each to the version of its day. One row.
select count(*)
from claims_raw as s
inner join dim_member as d
    on s.member_id = d.member_id
    and s.service_date >= d.validity_start_ts and s.service_date < d.validity_end_ts;

-- name: claims_grouped
-- The grouped scan alone: the sums of all claims by member and day. One row.
select
    count(*),
    sum(day.paid_usd)
from (
    select
        member_sk,
        service_date,
        count(*) as claims,
        sum(claim_amount) as billed_usd,
        sum(allowed_amount) as allowed_usd,
        sum(paid_amount) as paid_usd
    from fact_claim
    group by member_sk, service_date
) as day;

-- name: last_load
-- The last load of a batch. One row.
select max(load_id) from ledger.load where status = 'loaded';

-- name: wal_bytes
-- How many bytes of log the server has written in all. One row.
select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint;

-- name: session
-- The server's process of this session. One row.
select pg_backend_pid();

-- name: table_bytes
-- Bytes of every table and cube with its indexes, the months of one together. One row per table.
select
    n.nspname || '.' || regexp_replace(c.relname, '_[0-9]{{4}}_[0-9]{{2}}$', '') as table_name,
    sum(pg_total_relation_size(c.oid))::bigint as bytes
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where c.relkind in ('r', 'm') and n.nspname !~ '^(pg_|information_schema)'
group by table_name
having sum(pg_total_relation_size(c.oid)) > 1000000
order by bytes desc;
