-- Rebuild: the history of each key_to_rebuild as it has to be, from all that staging has of it.
-- Here a late row begins a version, and a delete marker opens a gap up to the next one.
--
-- before:
--   member_id | last_name | valid_from | valid_until
--   A         | Ames      | 1900-01-01 | 2025-03-01
--   A         | Archer    | 2025-03-01 | 9999-12-31
--
-- arrivals, delta as of 2025-04-01:
--   member_id | last_name | is_deleted | source_updated_at
--   A         | Abbott    | false      | 2025-02-01T00:00:00Z
--   A         |           | true       | 2025-02-10T00:00:00Z
--
-- after, the table rebuilt:
--   key_id | last_name | valid_from | valid_until | existing_sk
--   1      | Ames      | 1900-01-01 | 2025-02-01  | 1
--   1      | Abbott    | 2025-02-01 | 2025-02-10  |
--   1      | Archer    | 2025-03-01 | 9999-12-31  | 2

-- name: deliveries
-- All that staging has of the keys to rebuild, with what is known of each row's load.
-- One row per staged row.
select
    k.key_id,
    {typed_columns},
    {effective_in_load} as effective_ts,
    {marked} is true as is_deleted,
    s.load_id,
    s.source_line,
    l.file_columns,
    l.batch_rank,
    l.as_of_ts,
    l.is_snapshot
from key_to_rebuild as k
inner join {staging} as s on {same_key_s_k}
inner join build_load as l on s.load_id = l.load_id;

-- name: create_delivery
-- When the keys to rebuild were delivered, alive or marked as deleted. One row per staged row.
create temporary table delivery on commit drop as
select
    key_id,
    effective_ts,
    is_deleted,
    batch_rank,
    as_of_ts,
    is_snapshot,
    source_line
from ({deliveries}) as s;

-- name: create_observation
-- The values of the keys to rebuild by effective time: of two rows for one instant that of the
-- later batch counts, and within a file the later line. One row per key and effective time.
create temporary table observation on commit drop as
select distinct on (key_id, effective_ts)
    key_id,
    {columns},
    effective_ts,
    effective_ts as known_from_ts,
    batch_rank,
    load_id,
    source_line
from ({deliveries}) as s
where not is_deleted
order by key_id, effective_ts, batch_rank desc, source_line desc;

-- name: complete_driver
-- A driver that a row's file lacks has the last value given before that time, or else the first
-- after it. One row per observation completed.
with given as (
    select distinct on (key_id, effective_ts)
        key_id,
        effective_ts,
        {attribute} as value
    from ({deliveries}) as s
    where {attribute_name} = any(file_columns) and not is_deleted
    order by key_id, effective_ts, batch_rank desc, source_line desc
),

period as (
    select
        key_id,
        value,
        case when row_number() over by_time > 1 then effective_ts else '-infinity' end as from_ts,
        lead(effective_ts, 1, timestamp 'infinity') over by_time as until_ts
    from given
    window by_time as (partition by key_id order by effective_ts)
)

update observation as o
set {attribute} = p.value
from period as p
where o.key_id = p.key_id
    and o.effective_ts >= p.from_ts
    and o.effective_ts < p.until_ts
    and o.load_id = any(%(loads_without)s);

-- name: complete_type_1
-- A Type 1 attribute that a row's file lacks has the last value given of it.
-- One row per observation completed.
with given as (
    select distinct on (key_id)
        key_id,
        {attribute} as value
    from ({deliveries}) as s
    where {attribute_name} = any(file_columns) and not is_deleted
    order by key_id, batch_rank desc, effective_ts desc, source_line desc
)

update observation as o
set {attribute} = g.value
from given as g
where o.key_id = g.key_id and o.load_id = any(%(loads_without)s);

-- name: index_delivery
-- Deliveries are looked up by key. No rows.
create index on delivery (key_id);

-- name: index_observation
-- Observations are looked up by key and time. No rows.
create index on observation (key_id, effective_ts);

-- name: remove_unobserved
-- A key of which only delete markers came has no history. One row per key.
delete from key_to_rebuild as k
where not exists (
    select 1
    from observation as o
    where o.key_id = k.key_id
);

-- name: create_gap
-- When the keys to rebuild were gone: from a snapshot that lacks a key which an earlier batch had,
-- and names it in no rejected row, or from a delete marker, until something brings the key back.
-- One row per key and gap.
create temporary table gap on commit drop as
with absences as (
    select
        k.key_id,
        p.as_of_ts as gone_ts,
        (
            select
                case
                    when s.effective_ts > p.as_of_ts then s.effective_ts
                    else s.as_of_ts
                end
            from delivery as s
            where s.key_id = k.key_id and s.batch_rank > p.batch_rank and not s.is_deleted
            order by s.batch_rank, s.effective_ts
            limit 1
        ) as back_ts
    from key_to_rebuild as k
    cross join build_load as p
    where p.is_snapshot
        and exists (
            select 1
            from delivery as s
            where s.key_id = k.key_id and s.batch_rank < p.batch_rank and not s.is_deleted
        )
        and not exists (
            select 1
            from delivery as s
            where s.key_id = k.key_id and s.batch_rank = p.batch_rank
        )
        and not {is_named_k_by_p}
),

markers as (
    select distinct on (key_id, effective_ts) *
    from delivery
    where is_deleted
    order by key_id, effective_ts, batch_rank desc, source_line desc
),

deletions as (
    select
        m.key_id,
        -- The first version begins in 1900 and may not be empty.
        greatest(m.effective_ts, {beginning} + interval '1 microsecond') as gone_ts,
        least(
            (
                select min(o.effective_ts)
                from observation as o
                where o.key_id = m.key_id and o.effective_ts > m.effective_ts
            ),
            (
                select min(s.as_of_ts)
                from delivery as s
                where s.key_id = m.key_id and s.is_snapshot and not s.is_deleted
                    and s.batch_rank > m.batch_rank and s.as_of_ts > m.effective_ts
            )
        ) as back_ts
    from markers as m
    where not exists (
        select 1
        from delivery as s
        where s.key_id = m.key_id and s.effective_ts = m.effective_ts and not s.is_deleted
            and (s.batch_rank, s.source_line) > (m.batch_rank, m.source_line)
    )
)

select
    key_id,
    gone_ts,
    coalesce(back_ts, {open_end}) as back_ts
from (
    select *
    from absences
    union all
    select *
    from deletions
) as gone
where coalesce(back_ts > gone_ts, true);

-- name: reach_back
-- What was observed first of a key counts from 1900 on, so that earlier facts find it; since when
-- it is known stays as it is. One row per key.
update observation as o
set effective_ts = {beginning}
where not exists (
    select 1
    from observation as earlier
    where earlier.key_id = o.key_id and earlier.effective_ts < o.effective_ts
);

-- name: create_existing_version
-- The versions that the dimension has of the keys to rebuild. One row per version.
create temporary table existing_version on commit drop as
select
    k.key_id,
    d.{sk} as existing_sk,
    d.validity_start_ts,
    d.is_inferred
from key_to_rebuild as k
inner join {dim} as d on {same_key_d_k};

-- name: create_rebuilt
-- The history of the keys to rebuild as it has to be: what was observed, in order, equal
-- neighbors as one, gaps left open, the first version from 1900; each with the version that the
-- dimension has from the same instant on. One row per version.
create temporary table rebuilt on commit drop as
with events as (
    select
        o.key_id,
        {columns},
        o.effective_ts,
        o.known_from_ts,
        false as is_gone
    from observation as o
    where not exists (
        select 1
        from gap as g
        where g.key_id = o.key_id and o.effective_ts >= g.gone_ts and o.effective_ts < g.back_ts
    )
    union all
    select
        g.key_id,
        {columns},
        g.gone_ts,
        g.gone_ts as known_from_ts,
        true as is_gone
    from gap as g
    cross join lateral (
        select *
        from observation as o
        where o.key_id = g.key_id
        order by o.effective_ts
        limit 1
    ) as o
    union all
    select
        g.key_id,
        {columns},
        g.back_ts,
        g.back_ts as known_from_ts,
        false as is_gone
    from gap as g
    cross join lateral (
        select *
        from observation as o
        where o.key_id = g.key_id and o.effective_ts <= g.back_ts
        order by o.effective_ts desc
        limit 1
    ) as o
    where g.back_ts < {open_end}
        and not exists (
            select 1
            from gap as h
            where h.key_id = g.key_id and g.back_ts >= h.gone_ts and g.back_ts < h.back_ts
        )
),

points as (
    select distinct on (key_id, effective_ts) *
    from events
    order by key_id, effective_ts, is_gone desc
),

compared as (
    select
        e.*,
        row(e.is_gone, {drivers_of_e}) as content,
        lag(row(e.is_gone, {drivers_of_e})) over history as content_before
    from points as e
    window history as (partition by e.key_id order by e.effective_ts)
),

spans as (
    select
        *,
        effective_ts as validity_start_ts,
        lead(effective_ts, 1, {open_end}) over history as validity_end_ts
    from compared
    where content is distinct from content_before
    window history as (partition by key_id order by effective_ts)
),

latest as (
    select distinct on (key_id) *
    from observation
    order by key_id, batch_rank desc, effective_ts desc, source_line desc
)

select
    e.key_id,
    {columns_of_e_or_latest},
    e.validity_start_ts,
    e.validity_end_ts,
    e.known_from_ts,
    x.existing_sk
from spans as e
inner join latest on e.key_id = latest.key_id
left join existing_version as x
    on e.key_id = x.key_id and e.validity_start_ts = x.validity_start_ts
where not e.is_gone;

-- name: create_restated
-- The rebuilt history from an instant on, and before it the history that the dimension has; a key
-- of which it has nothing so early gets the rebuilt history alone. One row per version.
create temporary table restated on commit drop as
with kept as (
    select
        x.key_id,
        {columns},
        d.validity_start_ts,
        least(d.validity_end_ts, %(since)s) as validity_end_ts,
        d.known_from_ts
    from existing_version as x
    inner join {dim} as d on x.existing_sk = d.{sk}
    where d.validity_start_ts < %(since)s and not d.is_inferred
),

pieces as (
    select *
    from kept
    union all
    select
        v.key_id,
        {columns},
        case
            when k.has_earlier then greatest(v.validity_start_ts, %(since)s)
            else v.validity_start_ts
        end as validity_start_ts,
        v.validity_end_ts,
        case
            when k.has_earlier then greatest(v.known_from_ts, %(since)s) else v.known_from_ts
        end as known_from_ts
    from rebuilt as v
    cross join lateral (
        select exists(select 1 from kept as d where d.key_id = v.key_id) as has_earlier
    ) as k
    where v.validity_end_ts > %(since)s or not k.has_earlier
),

compared as (
    select
        e.*,
        (
            lag(e.validity_end_ts) over history is distinct from e.validity_start_ts
            or lag(row({drivers_of_e})) over history is distinct from row({drivers_of_e})
        )::integer as begins
    from pieces as e
    window history as (partition by e.key_id order by e.validity_start_ts)
),

numbered as (
    select
        *,
        sum(begins) over (partition by key_id order by validity_start_ts) as stretch
    from compared
),

stretches as (
    select
        *,
        max(validity_end_ts) over (partition by key_id, stretch) as last_end_ts
    from numbered
),

latest as (
    select distinct on (key_id) *
    from rebuilt
    order by key_id
)

select
    e.key_id,
    {columns_of_e_or_latest},
    e.validity_start_ts,
    e.last_end_ts as validity_end_ts,
    e.known_from_ts,
    x.existing_sk
from stretches as e
inner join latest on e.key_id = latest.key_id
left join existing_version as x
    on e.key_id = x.key_id and e.validity_start_ts = x.validity_start_ts
where e.begins = 1;

-- name: use_restated
-- Let the restated history be the one to apply. No rows.
alter table restated rename to rebuilt;
