-- Rights that hold on the nodes of a cluster alone.

-- name: part
-- What a table that lies on every node is called there. One row.
select
    format(
        '%%I.%%I',
        c.relnamespace::regnamespace::text,
        regexp_substr(
            shard_name(c.oid::regclass, get_shard_id_for_distribution_column(c.oid::regclass)),
            '[^.]+$'
        )
    ) as part
from pg_class as c
where c.oid = to_regclass(%(relation)s);

-- name: granted
-- Which of some roles may read it, on a worker, in one text. One row.
select coalesce(string_agg(r.rolname::text, ' ' order by r.rolname), '') as roles
from pg_roles as r
where r.rolname = any({roles}) and has_table_privilege(r.oid, to_regclass({part}), 'select');

-- name: grant
-- Let roles read a table, on every node. No rows.
grant select on {relation} to {roles};

-- name: take
-- Take from roles what they may do with a table. No rows.
revoke all on {relation} from {roles};
