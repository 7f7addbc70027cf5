-- Checks of who may see what.
--: advice: make migrate brings the rights of the warehouse's roles to what etl/access/roles.py
--:     declares. A right that everybody has, or a role has through another one, must be revoked by
--:     hand.

-- name: rights
-- Whether each role may see of each relation what is declared, whoever gave it the right, may write
-- nothing and sees no part of a partitioned table by its own name. One row per rule; a row checked
-- is a role and a relation.
--: table: access
--: key: role, schema_name, relation_name
--: rule as_declared: critical, validity
--:   fails when: a role may see more or less of a relation than is declared, or change it, or a
--:     relation or column is not declared
--:   source: 45 CFR 164.308(a)(4), 164.312(a)(1)
with build as (
    -- What a schema of this build is called after it has gone live.
    select regexp_replace(current_schema(), '^internal', '') as suffix
),

relations as (
    select
        c.oid,
        c.relispartition as is_part,
        c.relname::text as relation_name,
        n.oid as schema_oid,
        case
            when s.schema_name in ('ledger', 'quality', 'access', 'audit') then n.nspname::text
            else left(n.nspname, length(n.nspname) - length(b.suffix))
        end as schema_name
    from build as b
    cross join (
        select distinct schema_name from access.declared_right
    ) as s
    inner join pg_namespace as n
        on n.nspname = s.schema_name || case
            when s.schema_name in ('ledger', 'quality', 'access', 'audit') then '' else b.suffix
        end
    inner join pg_class as c on n.oid = c.relnamespace and c.relkind in ('r', 'p', 'v', 'm')
),

-- What shows a person, of the columns that roles may see masked.
identifying as (
    select
        r.oid,
        a.attnum
    from relations as r
    inner join pg_attribute as a on r.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
    left join access.classification as k
        on r.schema_name = k.schema_name and r.relation_name = k.relation_name
        and a.attname = k.column_name
    where r.schema_name not in ('limited', 'limited_as_known', 'scoped', 'safe_harbor')
        and coalesce(k.identifier, 'unclassified') <> 'none'
),

judged as (
    select
        g.rolname::text as role,
        r.schema_name,
        r.relation_name,
        not coalesce(
            not has_table_privilege(g.oid, r.oid, 'insert, update, delete, truncate, trigger')
            and case
                when r.is_part then not has_any_column_privilege(g.oid, r.oid, 'select')
                when d.access = 'refused' then
                    not has_schema_privilege(g.oid, r.schema_oid, 'usage')
                    or not has_any_column_privilege(g.oid, r.oid, 'select')
                when not has_schema_privilege(g.oid, r.schema_oid, 'usage') then false
                when d.access = 'read' then has_table_privilege(g.oid, r.oid, 'select')
                when d.access = 'masked' then
                    has_any_column_privilege(g.oid, r.oid, 'select')
                    and not exists (
                        select 1
                        from identifying as i
                        where i.oid = r.oid
                            and has_column_privilege(g.oid, r.oid, i.attnum, 'select')
                    )
            end, false
        ) as is_broken
    from relations as r
    cross join (
        select distinct role from access.declared_right
    ) as n
    inner join pg_roles as g on n.role = g.rolname
    left join access.declared_right as d
        on n.role = d.role and r.schema_name = d.schema_name and r.relation_name = d.relation_name
)

select
    'as_declared' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys({key_of_row}) filter (where is_broken) as failing_keys
from judged;

-- name: limited_copy
-- Whether masked views show of each version what the limited standard makes of it: the copy that
-- they read, compared with the dimension. One row per rule; a row checked is a version.
--: table: dim_member
--: key: member_sk
--: advice: make migrate makes the views and triggers that keep the copy again where they are not as
--:     declared; a full load makes the copy itself again.
--: rule limited_as_dimension: critical, consistency
--:   fails when: dim_member_limited lacks a version, has one that dim_member lacks, or has another
--:     value of it than the limited standard makes of the dimension's; or member_scope says another
--:     state of one
--:   source: [decision 28](decisions/0028-masking-by-views.md)
with unlike as (
    select part
    from (
        select
            part,
            bit_count(bits) as versions
        from member_scope
        union all
        select
            (version_sk + 1) >> 12,
            -1
        from dim_member_limited
        where state is not null
    ) as counted
    group by part
    having sum(versions) <> 0
),

judged as (
    select
        coalesce(m.member_sk, c.version_sk) as member_sk,
        m.member_sk is null
        or c.version_sk is null
        or (c is distinct from r)
        or coalesce(get_bit(s.bits, place.bit_of_part), 0) <> (c.state is not null)::integer
        -- Of another state too: looked for where more bits are 1 than there are versions.
        or (
            place.part = any(array(select u.part from unlike as u))
            and exists (
                select
                from member_scope as o
                where o.part = place.part and o.state is distinct from c.state
                    and get_bit(o.bits, place.bit_of_part) = 1
            )
        ) as is_broken
    from dim_member as m
    full join dim_member_limited as c on m.member_sk = c.version_sk
    left join dim_member_limited_rows as r on m.member_sk = r.version_sk
    cross join lateral (
        select
            (coalesce(m.member_sk, c.version_sk) + 1) >> 12 as part,
            ((coalesce(m.member_sk, c.version_sk) + 1) & 4095)::integer as bit_of_part
    ) as place
    left join member_scope as s on c.state = s.state and place.part = s.part
)

select
    'limited_as_dimension' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys({key_of_row}) filter (where is_broken) as failing_keys
from judged;

-- name: looks
-- Whether each table that says who a person is notes its readers, whoever owns it and whatever else
-- it shows to whom. One row per rule; a row checked is a table.
--: table: access
--: key: schema_name, relation_name
--: advice: Have the owner run alter table ... enable row level security, then make migrate, which
--:     makes the policy noted again.
--: rule looks_are_noted: critical, validity
--:   fails when: a table that says who a person is has no policy that notes who reads it, or its
--:     row security is switched off
--:   source: 45 CFR 164.312(b)
with build as (
    select regexp_replace(current_schema(), '^internal', '') as suffix
),

tables as (
    select
        c.oid,
        c.relrowsecurity,
        k.schema_name,
        k.relation_name
    from build as b
    cross join (
        select
            schema_name,
            relation_name
        from access.classification
        where identifier = any({direct_identifiers})
        group by schema_name, relation_name
    ) as k
    inner join pg_namespace as n
        on n.nspname = k.schema_name || case
            when k.schema_name in ('ledger', 'quality', 'access', 'audit') then '' else b.suffix
        end
    inner join pg_class as c
        on n.oid = c.relnamespace and k.relation_name = c.relname and c.relkind in ('r', 'p', 'm')
    -- What a cluster publishes to every node is read by nobody but its owner, who is not noted.
    where k.schema_name <> 'warehouse' or exists (
        select 1
        from access.declared_right as d
        where d.schema_name = k.schema_name and d.relation_name = k.relation_name
            and d.access <> 'refused'
    )
),

judged as (
    select
        t.schema_name,
        t.relation_name,
        not t.relrowsecurity or not exists (
            select 1
            from pg_policy as p
            inner join pg_depend as d
                on d.classid = 'pg_policy'::regclass and p.oid = d.objid
                and d.refobjid = 'audit.noted(text)'::regprocedure
            where p.polrelid = t.oid and p.polname = 'noted' and not p.polpermissive
                and p.polcmd = '*' and p.polroles = '{{0}}'
                and position(
                    'noted(' || quote_literal(
                        -- Notes call a dimension by one name in every layout.
                        regexp_replace(t.schema_name, '^history$', 'warehouse')
                        || '.' || t.relation_name
                    )
                    in pg_get_expr(p.polqual, p.polrelid)
                ) > 0
        ) as is_broken
    from tables as t
)

select
    'looks_are_noted' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys({key_of_row}) filter (where is_broken) as failing_keys
from judged;

-- name: erasures
-- Whether members who were erased are: the database has each token of the list outside of it, and
-- no number of theirs. One row per rule; a row checked is the token of a member.
--: table: access
--: key: member_token
--: advice: After a restore make incremental applies the erasures again, also where nothing is
--:     pending. Of rows that were put back by hand, run make erase for the member once more.
--: rule erased_stay_erased: critical, validity
--:   fails when: a member whom DATA_DIR/erasure/erased lists is not erased in the database, the
--:     member dimension has the number of a member who was erased, or tokens are of two keys
--:   source: [decision 29](decisions/0029-erasure-by-tokens.md)
with tokens as (
    select member_token
    from access.erased
    union
    select unnest(%(erased_listed)s::text[])
),

judged as (
    select
        t.member_token,
        e.member_token is null
        or t.member_token = any(%(erased_named)s::text[])
        or (e.key_check <> min(e.key_check) over ()) is true as is_broken
    from tokens as t
    left join access.erased as e on t.member_token = e.member_token
)

select
    'erased_stay_erased' as rule,
    count(*) as rows_checked,
    count(*) filter (where is_broken) as rows_failed,
    some_keys({key_of_row}) filter (where is_broken) as failing_keys
from judged;
