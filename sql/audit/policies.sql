-- Every read of a table that identifies a person is noted. The owner's are not: row security does
-- not apply to the owner of a table, so no load pays.

-- name: noted
-- Notes whoever reads or changes rows, next to what else the table shows to whom.
--
-- The first condition is checked for each row, before any other. A lookup that finds no row in an
-- index comes to no row, so there is a bound of each column that begins an index: it is part of
-- what is looked up, and true of every row.
do $$
begin
    if not exists (
        select 1
        from pg_policy as p
        where p.polrelid = '{table}'::regclass and p.polname = 'noted'
            and position({relation} in pg_get_expr(p.polqual, p.polrelid)) > 0
            and {columns}::text[] = array(
                select a.attname::text
                from pg_depend as d
                inner join pg_attribute as a
                    on d.refobjid = a.attrelid and d.refobjsubid = a.attnum
                where d.classid = 'pg_policy'::regclass and d.objid = p.oid and a.attnum > 0
                order by a.attname
            )
    ) then
        alter table {table} enable row level security;
        drop policy if exists noted on {table};
        create policy noted on {table} as restrictive
        using ((select audit.noted({relation})) is not null{bounds});
    end if;
end
$$;

-- name: bound
-- A column that begins an index, not below the least value of its type. As a list of one value it
-- changes no estimate: PostgreSQL takes such a list for true of nearly all rows. A fragment.
and {column} >= any (  -- noqa: PRS, a condition
    (select audit.noted_from({relation}, {least}::{type}))::{type}[]
)

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
