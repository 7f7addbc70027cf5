-- name: create_untyped
-- A logged table of text columns, as plain as can be. One row a line of a file.
create table {untyped} ({column_types});

-- name: copy_plain
-- The plain COPY that every stage is measured against. One row a line of a file.
copy {table} from stdin with (format csv, header true);

-- name: drop_untyped
-- Make room for the next round.
drop table {table};

-- name: create_database
-- A database for the measurement, so that no warehouse is touched.
create database {database};

-- name: drop_database
-- Remove it again.
drop database if exists {database} with (force);

-- name: stage_seconds
-- What the ledger says of the stages of the latest run. One row a stage.
select
    stage,
    sum(extract(epoch from finished_at - started_at))::float8 as seconds
from ledger.stage_run
where status = 'done' and stage_run_id > %(after)s
group by stage;

-- name: last_stage_run
-- Where the next run begins. One row.
select coalesce(max(stage_run_id), 0) from ledger.stage_run;

-- name: claims
-- Claims that the fact holds. One row.
select count(*) from warehouse.fact_claim;
