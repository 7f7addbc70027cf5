-- Which defects are detected in synthetic feeds, to be compared with those put in. The truth is not
-- read here. Rows are identified by batch, file and line.

-- name: rejected
-- Rows of the build's files that are in quarantine, as their files have them. One row per row and
-- reason.
select
    l.batch_id,
    q.feed,
    q.file,
    q.line,
    q.reason,
    t.raw_line,
    cardinality(f.columns) + coalesce(jsonb_array_length(f.findings -> 'extra_columns'), 0)
        as fields
from quarantined_row as q
inner join load as l on q.load_id = l.load_id
inner join load_file as f on q.load_id = f.load_id and q.feed = f.feed
left join quarantined_line as t on q.rejected_row_id = t.rejected_row_id
where q.load_id = any(%(loads)s) and f.status = 'loaded';

-- name: noticed
-- What was noticed in each file of the build apart from its rows. One row per file.
select
    l.batch_id,
    f.file_name,
    f.rows_duplicate,
    f.findings
from load_file as f
inner join load as l on f.load_id = l.load_id
where f.load_id = any(%(loads)s) and f.status = 'loaded';

-- name: expired
-- Lines of the build's files that were loaded and have expired since. One row per file.
select
    l.batch_id,
    f.file_name,
    f.expired_lines
from load_file as f
inner join load as l on f.load_id = l.load_id
where f.load_id = any(%(loads)s) and f.status = 'loaded' and not isempty(f.expired_lines);

-- name: refused
-- Files that were refused when their batch came last, with the error. One row per file.
select
    l.batch_id,
    f.file_name,
    l.error
from load as l
inner join load_file as f on l.load_id = f.load_id
where l.status = 'failed'
    and f.status = 'refused'
    and not exists (
        select 1
        from load as later
        where later.batch_id = l.batch_id and later.load_id > l.load_id
    );

-- name: lines
-- The rows that a statement of the checks returns by load and by key or line: where each is in the
-- files, and whose it is. One row per row and rule.
with failing as materialized (
    {failing}
)

select
    b.rule,
    l.batch_id,
    f.file_name,
    s.source_line,
    s.{key} as row_key,
    s.{owner} as owned_by
from failing as b
inner join {staging} as s on b.load_id = s.load_id and {same_row}
inner join load as l on s.load_id = l.load_id
inner join load_file as f on s.load_id = f.load_id
where f.feed = %(feed)s;

-- name: claim_states
-- The claims of the build in every state that was sent. One row per line.
select
    s.claim_id,
    s.load_id,
    s.member_id,
    true as is_known,
    s.service_date::date as service_date,
    s.status,
    s.diagnosis_code,
    s.claim_amount,
    s.allowed_amount,
    s.paid_amount,
    s.admit_date,
    s.discharge_date,
    s.paid_date
from claims_raw as s
where s.load_id = any(%(loads)s);

-- name: enrollment_states
-- The enrollments of the build in every state that was sent: known from the place of its load among
-- the batches up to that of the next state. Without an end, coverage runs to the end of the plan
-- year. One row per line.
select
    s.enrollment_id,
    s.load_id,
    s.member_id,
    s.start_date::date as start_date,
    coalesce(
        s.end_date::date, make_date(extract(year from s.start_date)::integer, 12, 31)
    ) as end_date,
    l.batch_rank as known_from,
    lead(l.batch_rank) over (partition by s.enrollment_id order by l.batch_rank) as known_to
from enrollments_raw as s
inner join batch_order as l on s.load_id = l.load_id
where s.load_id = any(%(loads)s);

-- name: provider_states
-- The providers of the build in every state that was sent. One row per line.
select
    s.provider_id,
    s.load_id,
    s.npi
from providers_raw as s
where s.load_id = any(%(loads)s);

-- name: orphans
-- Rows of a feed that name a key which its own feed has not brought. One row per line.
select
    'unknown_key' as rule,
    s.load_id,
    s.source_line
from {staging} as s
where s.load_id = any(%(loads)s)
    and s.{key} <> ''
    and not exists (
        select 1
        from {dim} as d
        where d.{key} = s.{key} and not d.is_inferred
    );

-- name: line_sets
-- Sets of lines that do not add up to the claim of their load: by a cent, or, where what was billed
-- differs by more, because a line is missing. Sets whose claim is not in their load are late. One
-- row per set, by its first line in the file.
with line_set as (
    select
        s.load_id,
        s.claim_id,
        min(s.source_line) as source_line,
        sum(s.line_billed) as billed,
        sum(s.line_allowed) as allowed,
        sum(s.line_paid) as paid
    from claim_lines_raw as s
    where s.load_id = any(%(loads)s)
    group by s.load_id, s.claim_id
)

select
    case
        when c.claim_id is null then 'late_set'
        when abs(s.billed - c.claim_amount) > 0.01 then 'missing_line'
        else 'line_total'
    end as rule,
    s.load_id,
    s.source_line
from line_set as s
left join claims_raw as c on s.load_id = c.load_id and s.claim_id = c.claim_id
where c.claim_id is null
    or s.billed <> c.claim_amount
    or s.allowed <> c.allowed_amount
    or s.paid <> c.paid_amount;

-- name: diagnosis_sets
-- Sets of diagnoses whose claim is not in their load. One row per set, by its first line in the
-- file.
select
    'late_set' as rule,
    s.load_id,
    min(s.source_line) as source_line
from claim_diagnoses_raw as s
where s.load_id = any(%(loads)s)
    and not exists (
        select 1
        from claims_raw as c
        where c.load_id = s.load_id and c.claim_id = s.claim_id
    )
group by s.load_id, s.claim_id;

-- name: unknown_procedures
-- Lines whose procedure code is of no code system. One row per line.
select
    'unknown_code' as rule,
    s.load_id,
    s.source_line
from claim_lines_raw as s
inner join dim_procedure as p on s.procedure_code = p.procedure_code
where s.load_id = any(%(loads)s) and p.code_system = 'unknown';

-- name: unknown_diagnoses
-- Diagnoses that no table of codes has. One row per diagnosis.
select
    'unknown_code' as rule,
    s.load_id,
    s.source_line
from claim_diagnoses_raw as s
inner join dim_diagnosis as d on s.diagnosis_code = d.diagnosis_code
where s.load_id = any(%(loads)s) and d.is_inferred;
