-- Who may have a node run a text of their own: functions that take one, in the name of who asks.

-- name: open_functions
-- The functions of Citus that everybody may call though nobody but who loads needs them, and of
-- others those that run a text; also those that one of some roles may not call. A line each.
-- One row.
select coalesce(string_agg(p.oid::regprocedure::text, chr(10) order by p.oid), '') as functions
from pg_proc as p
left join pg_depend as d
    on p.oid = d.objid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
left join pg_extension as e
    on d.refobjid = e.oid and d.refclassid = 'pg_extension'::regclass and e.extname ~ '^citus'
where
    (
        has_function_privilege('public', p.oid, 'execute')
        or exists (
            select from pg_roles as r
            where r.rolname = any({roles}) and not has_function_privilege(r.oid, p.oid, 'execute')
        )
    )
    and case
        when e.oid is not null then p.proname != all({kept})
        else p.pronamespace = 'pg_catalog'::regnamespace and p.proname = any({taken})
    end;

-- name: close
-- Take such functions from everybody on this node, and leave them to some roles. No rows.
do $close$
declare
    function regprocedure;
    role name;
begin
    -- What nodes let each other know of rights is not what this is about.
    perform set_config('citus.enable_ddl_propagation', 'off', true);
    for function in
        select p.oid
        from pg_proc as p
        left join pg_depend as d
            on p.oid = d.objid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
        left join pg_extension as e
            on d.refobjid = e.oid and d.refclassid = 'pg_extension'::regclass and e.extname ~ '^citus'
        where case
            when e.oid is not null then p.proname != all({kept})
            else p.pronamespace = 'pg_catalog'::regnamespace and p.proname = any({taken})
        end
    loop
        if has_function_privilege('public', function, 'execute') then
            execute format('revoke execute on routine %s from public', function);
        end if;
        for role in select rolname from pg_roles where rolname = any({roles}) loop
            if not has_function_privilege(role, function, 'execute') then
                execute format('grant execute on routine %s to %I', function, role);
            end if;
        end loop;
    end loop;
end
$close$;

-- name: on_workers
-- Run a statement on every worker as whoever asks. One row per worker: where it is, whether it could
-- be run, and the first value of its first row or why it could not.
select
    nodename,
    nodeport,
    success,
    result
from run_command_on_workers(%(statement)s);
