-- Who may have a node run a text of their own: functions that take one, in the name of who asks.

-- name: open_functions
-- The functions of Citus that everybody may call though nobody but who loads needs them, and of
-- others those that run a text; also those that one of some roles may not call. A line each.
-- One row.
select coalesce(string_agg(p.oid::regprocedure::text, chr(10) order by p.oid), '') as functions
from ({server/own_texts.not_for_everybody}) as p
where
    has_function_privilege('public', p.oid, 'execute')
    or exists (
        select from pg_roles as r
        where r.rolname = any({roles}) and not has_function_privilege(r.oid, p.oid, 'execute')
    );

-- name: not_for_everybody
-- Those functions, whoever may call them. One row per function.
select p.oid
from pg_extension as e
inner join pg_depend as d
    on e.oid = d.refobjid and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'
inner join pg_proc as p on d.objid = p.oid and d.classid = 'pg_proc'::regclass
where e.extname ~ '^citus' and p.proname != all({kept})
union all
select p.oid
from pg_proc as p
where p.pronamespace = 'pg_catalog'::regnamespace and p.proname = any({taken});

-- name: close
-- Take such functions from everybody on this node, and leave them to some roles. No rows.
do $close$
declare
    function regprocedure;
    role name;
begin
    -- What nodes let each other know of rights is not what this is about.
    perform set_config('citus.enable_ddl_propagation', 'off', true);
    for function in {server/own_texts.not_for_everybody}
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
-- Run a statement on every worker as whoever asks. One row per worker: where it is, whether it
-- could be run, and the first value that came of it or why it could not.
select
    nodename,
    nodeport,
    success,
    result
from run_command_on_workers(%(statement)s);
