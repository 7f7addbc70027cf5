-- Every read of a table that identifies a person is noted. The owner's are not: row security does
-- not apply to the owner of a table, so no load pays.

-- name: noted
-- Notes whoever reads or changes rows, next to what else the table shows to whom.
do $$
begin
    if not exists (
        select 1
        from pg_policy as p
        where p.polrelid = '{table}'::regclass and p.polname = 'noted'
            and position({relation} in pg_get_expr(p.polqual, p.polrelid)) > 0
    ) then
        alter table {table} enable row level security;
        drop policy if exists noted on {table};
        create policy noted on {table} as restrictive
        using ((select audit.noted({relation})) is not null);
    end if;
end
$$;

-- name: granted
-- Shows all rows to whoever was granted the table.
do $$
begin
    if not exists (
        select 1 from pg_policy where polrelid = '{table}'::regclass and polname = 'granted'
    ) then
        create policy granted on {table} using (true);
    end if;
end
$$;
