-- Tries of runs.

-- name: session
-- The process of this session on the server, also behind a pooler. One row.
select pg_backend_pid();

-- name: end_sessions
-- End sessions of earlier tries of this run that the server has not noticed to be gone. A number
-- may be that of another program's session by now. One row per session.
select pg_terminate_backend(pid, 5000)
from pg_stat_activity
where pid = any(%(sessions)s) and application_name = %(application)s
    and datname = current_database() and usename = current_user and pid <> pg_backend_pid();

-- name: enter
-- Enter a try, which may have ended already. A load that is no longer there, such as after a
-- failover to a standby that was behind, is left out. One row.
insert into attempt (
    run_began_at,
    number,
    command,
    load_id,
    began_at,
    ended_at,
    error_class,
    sqlstate,
    exit_code,
    waited_seconds
)
values (
    %(run_began_at)s,
    %(number)s,
    %(command)s,
    (select l.load_id from load as l where l.load_id = %(load_id)s),
    %(began_at)s,
    %(ended_at)s,
    %(error_class)s,
    %(sqlstate)s,
    %(exit_code)s,
    %(waited_seconds)s
)
returning attempt_id;

-- name: leave
-- Enter how a try ended; a load that is no longer there is left out. One row.
update attempt
set
    ended_at = %(ended_at)s,
    load_id = (select l.load_id from load as l where l.load_id = %(load_id)s),
    error_class = %(error_class)s,
    sqlstate = %(sqlstate)s,
    exit_code = %(exit_code)s
where attempt_id = %(attempt_id)s;

-- name: close_interrupted
-- Mark tries that were killed, or ended while the database could not be reached. One row per try.
update attempt
set
    ended_at = clock_timestamp(),
    error_class = 'interrupted'
where ended_at is null;
