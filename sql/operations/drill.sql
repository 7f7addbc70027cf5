-- What an incident drill does to its own database, and only to that.

-- name: index_definition
-- The statement that makes an index again. One row.
select pg_get_indexdef(%(index)s::regclass);

-- name: drop_index
-- Lose an index. No rows.
drop index {index};

-- name: lose_statistics
-- Lose what the planner knows of a table. No rows.
delete from pg_statistic
where starelid = %(table)s::regclass;

-- name: make_index
-- Make the index again. No rows.
do $$ begin execute {definition}; end $$;

-- name: analyze
-- Give the planner its knowledge again. No rows.
analyze {table};

-- name: fill_disk
-- Let the server answer the next file that is loaded as it does when a quota is reached. No rows.
create function public.drill_quota() returns trigger language plpgsql as $$
begin
    raise disk_full using message = 'could not extend file: Disk quota exceeded';
end;
$$;

-- name: refuse_files
-- Where it answers so. No rows.
create trigger drill_quota before insert on ledger.load_file
for each statement execute function public.drill_quota();

-- name: free_disk
-- Room again. No rows.
drop function public.drill_quota cascade;
