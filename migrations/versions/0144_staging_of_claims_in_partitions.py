"""staging of claims in partitions.

Revision: 0144, after 0143.
"""

from __future__ import annotations

from alembic import op

revision = '0144'
down_revision = '0143'
branch_labels = None
depends_on = None

_TABLES = ('claims_raw', 'claim_lines_raw', 'claim_diagnoses_raw')

# The table becomes the partition of all loads until now; no row is written again. Views of people
# are made again, so that they read the whole. Policies belong to the whole, and are made with the
# other texts of sql/.
_SPLIT = """
do $$
declare
    loads_end bigint;
    said text;
    policy record;
    granted record;
    reader record;
    readers text[] := '{{}}';
begin
    select coalesce(max(load_id), 0) + 1 into loads_end from ledger.load;
    for reader in
        select distinct
            v.oid::regclass::text as name,
            coalesce('with (' || array_to_string(v.reloptions, ', ') || ')', '') as options,
            pg_get_viewdef(v.oid) as query
        from pg_depend as d
        inner join pg_rewrite as r on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
        inner join pg_class as v on r.ev_class = v.oid and v.relkind = 'v'
        where d.refclassid = 'pg_class'::regclass and d.refobjid = 'staging.{table}'::regclass
    loop
        readers := readers || format(
            'create or replace view %s %s as %s', reader.name, reader.options, reader.query
        );
    end loop;
    alter table staging.{table} rename to {table}_000001;
    alter index staging.{table}_load_id_idx rename to {table}_000001_load_id_idx;
    alter table staging.{table}_000001 set schema internal;
    create table staging.{table} (
        like internal.{table}_000001 including defaults including comments
    ) partition by range (load_id);
    select obj_description('internal.{table}_000001'::regclass, 'pg_class') into said;
    execute format('comment on table staging.{table} is %L', said);
    create index {table}_load_id_idx on staging.{table} using brin (load_id);
    create index {table}_claim_id_idx on staging.{table} (claim_id);
    for policy in
        select polname from pg_policy where polrelid = 'internal.{table}_000001'::regclass
    loop
        execute format('drop policy %I on internal.{table}_000001', policy.polname);
    end loop;
    alter table internal.{table}_000001 disable row level security;
    for granted in
        select
            a.privilege_type,
            case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end
                as grantee
        from pg_class as c
        cross join lateral aclexplode(c.relacl) as a
        where c.oid = 'internal.{table}_000001'::regclass and a.grantee <> c.relowner
    loop
        execute format(
            'grant %s on staging.{table} to %s', granted.privilege_type, granted.grantee
        );
        execute format(
            'revoke %s on internal.{table}_000001 from %s', granted.privilege_type, granted.grantee
        );
    end loop;
    if loads_end = 1 then
        drop table internal.{table}_000001;
    else
        execute format(
            'alter table staging.{table} attach partition internal.{table}_000001 '
            'for values from (1) to (%s)', loads_end
        );
    end if;
    foreach said in array readers loop
        execute said;
    end loop;
end
$$
"""

_JOIN = """
do $$
declare
    said text;
begin
    drop index staging.{table}_claim_id_idx;
    alter table staging.{table} rename to {table}_split;
    alter index staging.{table}_load_id_idx rename to {table}_split_load_id_idx;
    create table staging.{table} (
        like staging.{table}_split including defaults including comments
    );
    select obj_description('staging.{table}_split'::regclass, 'pg_class') into said;
    execute format('comment on table staging.{table} is %L', said);
    insert into staging.{table} select * from staging.{table}_split;
    create index {table}_load_id_idx on staging.{table} using brin (load_id);
    drop table staging.{table}_split;
end
$$
"""


def upgrade() -> None:
    """Apply the change."""
    for table in _TABLES:
        op.execute(_SPLIT.format(table=table))


def downgrade() -> None:
    """Take the change back."""
    for table in _TABLES:
        op.execute(_JOIN.format(table=table))
