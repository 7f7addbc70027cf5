-- inpatient_stay: days in a hospital without a break, and whether the member came back.
-- Grain: one row per stay, which is known by the smallest id of its claims.
-- Units: days; counts of claims and providers; amounts in US dollars, to the cent.
-- Assumptions:
--   * A stay is of claims of type Inpatient that are payable and not reversed, have the day of
--     admission and that of discharge, and these in order. Others are in no stay; the check
--     inpatient_stay.claims_without_stay counts them.
--   * Claims of one member that overlap, or of which one begins on the day on which another ends,
--     are one stay: the patient was moved, or billed in parts. It is a transfer where more than one
--     provider is known. A claim that names no member is a stay of its own.
--   * MS-DRG and principal diagnosis are those of the claim discharged last; of several the one
--     admitted last, then that of the greatest claim id. The state of the member is the one of that
--     claim, on its day of service.
--   * Planned is a stay whose MS-DRG is in planned_readmission_drg.csv or in MDC 14 or 15, births
--     (etl/reference); it is neither an index stay nor a readmission.
--   * An index stay is an unplanned one after which a readmission would be seen: the member was
--     covered on every day from discharge to the 30th after it, and these days were over on the
--     day that the data speaks of.
--   * A readmission is the next stay of the member, if it is unplanned and begins 1 to 30 days
--     after discharge. It is noted at index stays alone, and can be an index stay itself.
--   * Why a stay is no index stay: the first that is so of member unknown, planned, days not
--     complete, not covered. Of days that are not complete coverage can still come.

-- name: readmission_days
-- Within how many days after discharge another stay is a readmission. A fragment.
(  -- noqa: PRS, a value
    30
)

-- name: is_inpatient
-- Whether a claim f is of a stay, if its days are known and in order. A fragment.
(  -- noqa: PRS, a condition
    lower(f.claim_type) = 'inpatient' and state.is_paid and not state.is_reversed
)

-- name: stay_claims
-- Claims of which stays are made. One row per claim.
select
    case when f.member_sk = -1 then '(unknown)' else m.member_id end as member_id,
    -- What names no member is merged with nothing.
    case when f.member_sk = -1 then f.claim_id end as alone,
    coalesce(m.state, '(unknown)') as member_state,
    f.claim_id,
    f.admit_date,
    f.discharge_date,
    nullif(f.provider_sk, -1) as provider_sk,
    f.ms_drg,
    f.diagnosis_code,
    f.allowed_amount,
    f.paid_amount
from fact_claim as f
inner join dim_member as m on f.member_sk = m.member_sk
cross join lateral ({state}) as state
where {is_inpatient} and f.admit_date <= f.discharge_date and {of_members};

-- name: definition
-- The cube as a plain query. One row per stay.
with claims as (
    select
        c.*,
        p.provider_id
    from ({stay_claims}) as c
    left join dim_provider as p on c.provider_sk = p.provider_sk
),

-- A claim begins a stay unless an earlier one goes on until its admission or longer.
beginnings as (
    select
        *,
        coalesce(
            admit_date > max(discharge_date) over (
                partition by member_id, alone
                order by admit_date, discharge_date, claim_id
                rows between unbounded preceding and 1 preceding
            ),
            true
        ) as begins_stay
    from claims
),

numbered as (
    select
        *,
        count(*) filter (where begins_stay) over (
            partition by member_id, alone
            order by admit_date, discharge_date, claim_id
        ) as stay_number
    from beginnings
),

merged as (
    select
        member_id,
        min(claim_id) as stay_id,
        min(admit_date) as admit_date,
        max(discharge_date) as discharge_date,
        count(*) as claims,
        count(distinct provider_id) as providers,
        (
            array_agg(ms_drg order by discharge_date desc, admit_date desc, claim_id desc)
        )[1] as ms_drg,
        (
            array_agg(diagnosis_code order by discharge_date desc, admit_date desc, claim_id desc)
        )[1] as diagnosis_code,
        (
            array_agg(member_state order by discharge_date desc, admit_date desc, claim_id desc)
        )[1] as state,
        sum(allowed_amount) as allowed_usd,
        sum(paid_amount) as paid_usd
    from numbered
    group by member_id, alone, stay_number
),

stays as (
    select
        *,
        coalesce(ms_drg = any({planned_drgs}), false) as is_planned,
        member_id <> '(unknown)' as is_of_member,
        discharge_date + {readmission_days} as last_day
    from merged
),

coverage as (
    select
        m.member_id,
        range_agg(daterange(e.start_date, e.end_date, '[]')) as covered
    from fact_enrollment as e
    inner join dim_member as m on e.member_sk = m.member_sk
    where m.member_id in (select s.member_id from stays as s where s.is_of_member) and {of_members}
    group by m.member_id
),

followed as (
    select
        s.*,
        case
            when not s.is_of_member then 'member unknown'
            when s.is_planned then 'planned'
            when (s.last_day < speaks.day) is not true then 'days not complete'
            when v.covered @> daterange(s.discharge_date, s.last_day, '[]') then null
            else 'not covered'
        end as why_not_index,
        lead(s.stay_id) over history as next_stay_id,
        lead(s.is_planned) over history as is_next_planned,
        lead(s.admit_date) over history - s.discharge_date as days_to_next
    from stays as s
    cross join ({ledger/as_of.of_build}) as speaks
    left join coverage as v on s.member_id = v.member_id
    window history as (partition by s.member_id order by s.admit_date, s.stay_id)
)

select
    f.member_id,
    f.stay_id,
    f.admit_date,
    f.discharge_date,
    f.state,
    f.discharge_date - f.admit_date as length_days,
    f.claims,
    f.providers,
    f.providers > 1 as is_transfer,
    f.ms_drg,
    f.diagnosis_code,
    coalesce(f.allowed_usd, 0)::numeric(16, 2) as allowed_usd,
    coalesce(f.paid_usd, 0)::numeric(16, 2) as paid_usd,
    f.is_planned,
    f.why_not_index is null as is_index,
    f.why_not_index,
    case when back.is_readmitted then f.next_stay_id end as readmission_stay_id,
    case when back.is_readmitted then f.days_to_next end as days_to_readmission
from followed as f
cross join lateral (
    select
        f.why_not_index is null and not f.is_next_planned
        and f.days_to_next <= {readmission_days} as is_readmitted
) as back;

-- name: touched_members
-- Members whose stays can have changed since a load: their inpatient claims did, or their coverage;
-- or the data speaks of other days after a discharge now. One row per member.
with changed as (
    select b.member_sk
    from claims_before as b
    where lower(b.claim_type) = 'inpatient'
    union
    select a.member_sk
    from claims_after as a
    where lower(a.claim_type) = 'inpatient'
),

enrollments_before as (
    select
        e.enrollment_id,
        e.member_sk
    from fact_enrollment_past as e
    where e.known_to_load_id > %(since)s
),

covered as (
    select e.member_sk
    from enrollments_before as e
    union
    select e.member_sk
    from fact_enrollment as e
    where e.load_id > %(since)s
    union
    select e.member_sk
    from enrollments_before as b
    inner join fact_enrollment as e on b.enrollment_id = e.enrollment_id
),

touched as (
    select coalesce(b.member_id, m.member_id) as member_id
    from changed as c
    left join members_before as b on c.member_sk = b.member_sk
    left join dim_member as m on c.member_sk = m.member_sk
    union
    select s.member_id
    from inpatient_stay as s
    inner join (
        select coalesce(b.member_id, m.member_id) as member_id
        from covered as c
        left join members_before as b on c.member_sk = b.member_sk
        left join dim_member as m on c.member_sk = m.member_sk
    ) as e on s.member_id = e.member_id
    union
    select s.member_id
    from inpatient_stay as s
    cross join ({ledger/as_of.of_build}) as speaks
    where s.member_id <> '(unknown)' and not s.is_planned
        and coalesce(s.why_not_index = 'days not complete', false)
        <> (s.discharge_date + {readmission_days} >= speaks.day)
)

select t.member_id
from touched as t;

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. Of a measure only what is so of this column: the
-- rest is declared in etl/warehouse/measures.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('member_id', 'member number', 'Identifier of the member; (unknown) if the claim has none.'),
    ('stay_id', 'claim or enrollment number', 'Smallest id of the claims of the stay.'),
    ('admit_date', 'date of the person', 'First day of the stay.'),
    ('discharge_date', 'date of the person', 'Last day of the stay.'),
    ('state', 'none', 'State of the member as the claim discharged last has it, or (unknown).'),
    ('length_days', 'days between dates of the person', ''),
    ('claims', 'none', 'Those that were merged to the stay.'),
    ('providers', 'none', ''),
    ('is_transfer', 'none', 'Whether more than one provider is known.'),
    ('ms_drg', 'none', 'MS-DRG of the claim discharged last.'),
    ('diagnosis_code', 'none', 'Principal diagnosis of the claim discharged last.'),
    ('allowed_usd', 'none', 'Of the claims of the stay.'),
    ('paid_usd', 'none', 'Of the claims of the stay.'),
    ('is_planned', 'none', 'Whether its MS-DRG is one of planned care or of a birth.'),
    ('is_index', 'none', 'Whether a readmission after it would be seen; the rate counts these.'),
    ('why_not_index', 'none', 'member unknown, planned, days not complete or not covered.'),
    ('readmission_stay_id', 'claim or enrollment number', 'The readmission after an index stay.'),
    ('days_to_readmission', 'days between dates of the person', '')
) as c (column_name, identifier, description);
