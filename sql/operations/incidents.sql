-- Incidents in the ledger. Those of a time at which the database was down come from a file.

-- name: enter
-- Enter an incident, unless it is there or another one about the same is open. No rows.
insert into ledger.incident (
    incident_id,
    objective,
    subject,
    severity,
    began_at,
    detected_at,
    measured,
    allowed,
    acknowledged_at,
    acknowledged_by,
    resolved_at,
    alerted_at,
    recovery_alerted_at
)
values (
    %(incident_id)s,
    %(objective)s,
    %(subject)s,
    %(severity)s,
    %(began_at)s,
    %(detected_at)s,
    %(measured)s,
    %(allowed)s,
    %(acknowledged_at)s,
    %(acknowledged_by)s,
    %(resolved_at)s,
    %(alerted_at)s,
    %(recovery_alerted_at)s
)
on conflict do nothing;

-- name: follow
-- Enter what became of an incident since; what is known already stays. No rows.
update ledger.incident
set
    acknowledged_at = coalesce(acknowledged_at, %(acknowledged_at)s),
    acknowledged_by = coalesce(acknowledged_by, %(acknowledged_by)s),
    resolved_at = coalesce(resolved_at, %(resolved_at)s),
    alerted_at = greatest(alerted_at, %(alerted_at)s),
    recovery_alerted_at = coalesce(recovery_alerted_at, %(recovery_alerted_at)s)
where incident_id = %(incident_id)s;

-- name: current
-- Incidents that are open, or whose end was not sent yet to those who were alerted of them. One row
-- per incident.
select *
from ledger.incident
where resolved_at is null
    or (
        alerted_at is not null and recovery_alerted_at is null
        and resolved_at > %(now)s - interval '1 day'
    )
order by detected_at, incident_id;

-- name: figures
-- How often each objective was broken within its window up to an instant, how long it took on
-- average to detect that (from broken to detected) and to repair it (from detected to met again),
-- seconds, and for how many seconds it was broken. Incidents of several subjects at once count once
-- for that. One row per objective.
with asked as (
    select
        o.name,
        o.place,
        tstzrange(%(now)s::timestamptz - o.seconds * interval '1 second', %(now)s) as span
    from unnest(%(objectives)s::text[], %(seconds)s::double precision[])
        with ordinality as o (name, seconds, place)
),

seen as (
    select
        i.objective,
        i.began_at,
        i.detected_at,
        case when i.resolved_at <= %(now)s then i.resolved_at end as resolved_at
    from ledger.incident as i
    where i.detected_at <= %(now)s
),

counted as (
    select
        a.name,
        a.place,
        count(s.objective) as incidents,
        count(s.objective) - count(s.resolved_at) as still_open,
        extract(epoch from avg(s.detected_at - s.began_at))::double precision as mttd,
        extract(epoch from avg(s.resolved_at - s.detected_at))::double precision as mttr,
        range_agg(tstzrange(s.began_at, coalesce(s.resolved_at, %(now)s)) * a.span)
            filter (where s.objective is not null) as broken
    from asked as a
    left join seen as s
        on a.name = s.objective
        and tstzrange(s.began_at, coalesce(s.resolved_at, %(now)s), '[]') && a.span
    group by a.name, a.place
)

select
    c.name,
    c.incidents,
    c.still_open,
    c.mttd,
    c.mttr,
    coalesce(
        (
            select sum(extract(epoch from upper(b.span) - lower(b.span)))
            from unnest(c.broken) as b (span)
        ),
        0
    )::double precision as broken_seconds
from counted as c
order by c.place;

-- name: latest
-- The latest incidents, those that are open first. One row per incident.
select *
from ledger.incident
order by resolved_at is not null, detected_at desc, incident_id
limit %(most)s;

-- name: one
-- An incident. One row if there is one of that id.
select *
from ledger.incident
where incident_id = %(incident_id)s;
