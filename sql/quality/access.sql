-- Who may read what of the quarantine. A row as the file has it is personal data.

-- name: stewards
-- Shows the rows to data stewards alone, whatever else is granted to whom.
do $$
begin
    alter table {table} enable row level security;
    drop policy if exists stewards on {table};
    create policy stewards on {table} using (
        exists (
            select 1
            from pg_roles as r
            where r.rolname = 'aca_data_steward' and pg_has_role(current_user, r.oid, 'member')
        )
    );
end
$$;
