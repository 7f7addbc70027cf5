-- How the views of quality are made and noticed to be out of date.

-- name: held_comments
-- The views of the schema with their comments. One row a view.
select
    c.relname,
    obj_description(c.oid, 'pg_class')
from pg_class as c
where c.relnamespace = 'quality'::regnamespace and c.relkind = 'v';

-- name: grants
-- Who may read a view, as statements that give it again. One row a grant.
select
    format(
        'grant %%s on quality.%%I to %%s',
        g.privilege_type,
        c.relname,
        case when g.grantee = 0 then 'public' else g.grantee::regrole::text end
    )
from pg_class as c
cross join lateral aclexplode(c.relacl) as g
where c.relnamespace = 'quality'::regnamespace and c.relname = any(%(views)s)
    and g.grantee <> c.relowner;

-- name: grants_to_stewards
-- Statements that let data stewards read the views on the quarantine, where there is their role.
-- One row a view.
select format('grant select on quality.%I to aca_data_steward', v.name)
from unnest(array['rejected_row', 'quarantine_open']) as v (name)
where to_regrole('aca_data_steward') is not null;

-- name: drop_view
-- Take a view away. It fails while others read from it.
drop view if exists {view};

-- name: create_view
-- Make a view.
create view {view} as {definition};

-- name: comment_on_view
-- Say what a view is.
comment on view {view} is {comment};
