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

-- name: grants
-- Quarantine, and the checks with their results.
--
-- Whoever may create roles gets the role of the data stewards and what it may read; without the
-- role nobody but the owner reads that.
do $$
begin
    begin
        create role aca_data_steward nologin;
    exception
        when duplicate_object or unique_violation then null;
        when insufficient_privilege then
            raise notice 'the role aca_data_steward was not created: a superuser may create it';
    end;
    if to_regrole('aca_data_steward') is not null then
        grant usage on schema quality, ledger to aca_data_steward;
        grant select on ledger.load, ledger.load_file, quality.quarantined_row,
            quality.quarantined_line, quality.correction, quality.rejected_row,
            quality.quarantine_open to aca_data_steward;
    end if;
end
$$;
