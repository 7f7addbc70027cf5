-- The facts of all quality checks as one statement a table, for the measurement of what the checks
-- cost. Each returns one row: a column a rule, with the rows that break it. Only the clauses of
-- contracts are composed from the registry; the rest is said a second time here, as a witness.

-- name: staging
-- A staging table: its clauses and line breaks, and rows and totals against the ledger, in one
-- scan.
with held as (
    select
        s.load_id,
        count(*) as row_count,
        jsonb_build_object({totals}) as totals,
        count(*) filter (
            where s.load_id = any(%(loads)s) and strpos(concat({texts}), chr(10)) > 0
        ) as line_breaks,
        {clauses}
    from {table} as s
    group by s.load_id
),

told as (
    select *
    from load_file
    where feed = %(feed)s and status = 'loaded' and load_id = any(%(loads)s)
)

select
    coalesce(
        sum(abs(coalesce(h.row_count, 0) - t.rows_loaded)) filter (where t.load_id is not null), 0
    ) as rows_as_in_file,
    coalesce(sum(h.row_count) filter (where t.load_id is null), 0) as load_known,
    coalesce(
        sum(abs(t.rows_read - t.rows_loaded - t.rows_rejected - t.rows_duplicate)), 0
    ) as file_accounted,
    coalesce(sum(m.differing), 0) as totals_as_in_file,
    coalesce(sum(h.line_breaks), 0) as no_line_break,
    (
        select count(*)
        from load_file as f
        where f.load_id = any(%(loads)s) and f.feed = %(feed)s and f.status = 'skipped'
            and not exists (
                select 1
                from told as k
                where k.xxh3_128 = f.xxh3_128
            )
    ) as skipped_is_held,
    {clause_sums}
from held as h
full join told as t on h.load_id = t.load_id
left join lateral (
    select count(*) as differing
    from jsonb_each(t.totals) as e
    where coalesce((h.totals ->> e.key)::numeric, 0)
        is distinct from (e.value ->> 'loaded')::numeric
        or (e.value ->> 'in_file')::numeric is distinct from
        (e.value ->> 'loaded')::numeric + (e.value ->> 'rejected')::numeric
        + (e.value ->> 'duplicate')::numeric
        or (
            (e.value ->> 'unread')::bigint = 0
            and (e.value ->> 'in_file')::numeric <> (e.value ->> 'expected')::numeric
        )
) as m on true;

-- name: dimension
-- A dimension: its clauses, hashes and the rules of single versions in one scan, versions against
-- their neighbours in another, its keys against those of its feed.
with plain as (
    select
        count(*) filter (where d.hash_version = {hash_version} and d.attr_hash <> {hash_of_dim})
            as attr_hash_recomputed,
        count(*) filter (where num_nulls(d.{sk}, {keys_of_dim}) > 0) as keys_present,
        count(*) filter (where d.validity_end_ts <= d.validity_start_ts) as no_empty_version,
        count(*) filter (
            where d.current_flag <> (d.validity_end_ts = timestamp '9999-12-31')
        ) as current_is_open,
        count(*) - count(distinct d.{sk}) as sk_unique,
        count(*) filter (
            where d.is_inferred and d.{sk} <> -1
            and (
                select l.as_of
                from load as l
                where l.load_id = d.load_id
            ) < (
                select max(l.as_of) - interval '31 days'
                from load as l
                inner join load_file as f on l.load_id = f.load_id
                where l.load_id = any(%(loads)s) and f.feed = %(feed)s and f.status = 'loaded'
            )
        ) as known_in_time,
        {of_its_own},
        {clauses}
    from {table} as d
),

ends_told as materialized (
    select
        l.load_id,
        l.as_of at time zone 'UTC' as as_of_ts,
        r.load_id is not null as is_restatement
    from load as l
    left join load_file as f
        on l.load_id = f.load_id
        and f.feed = %(feed)s and f.kind = 'snapshot' and f.status = 'loaded'
    left join stage_run as r
        on l.load_id = r.load_id and r.stage = 'restate' and r.status = 'done'
        and starts_with(l.batch_id, 'restate ' || {name} || ' ')
    where l.load_id = any(%(loads)s) and (f.load_id is not null or r.load_id is not null)
),

versions as (
    select
        {keys_of_dim},
        d.validity_start_ts,
        d.validity_end_ts,
        d.attr_hash,
        d.drivers,
        d.type_1,
        lag(d.validity_end_ts) over history as last_end_ts,
        lead(d.validity_start_ts) over history as next_start_ts,
        lag(d.attr_hash) over history as last_attr_hash,
        lag(d.drivers) over history as last_drivers,
        lag(d.type_1) over history as last_type_1,
        count(*) filter (where d.current_flag) over (partition by {keys_of_dim}) as current_versions
    from (
        select
            *,
            hash_record_extended(row({drivers}), 0) as drivers,
            hash_record_extended(row({type_1}), 0) as type_1
        from {table}
    ) as d
    window history as (partition by {keys_of_dim} order by d.validity_start_ts)
),

neighbours as (
    select
        count(*) filter (where v.validity_start_ts < v.last_end_ts) as no_overlap,
        count(*) filter (
            where v.last_end_ts is null and v.validity_start_ts <> timestamp '1900-01-01'
        ) as first_from_1900,
        count(*) filter (where v.next_start_ts is null and v.current_versions > 1) as one_current,
        count(*) filter (
            where v.validity_start_ts = v.last_end_ts
            and (v.attr_hash = v.last_attr_hash or v.drivers = v.last_drivers)
        ) as neighbours_differ,
        count(*) filter (where v.type_1 <> v.last_type_1) as type_1_everywhere,
        count(*) filter (
            where v.validity_end_ts < coalesce(v.next_start_ts, timestamp '9999-12-31')
            and not exists (
                select 1
                from ends_told as e
                where e.as_of_ts = v.validity_end_ts
                    and (
                        e.is_restatement
                        or not exists (
                            select 1
                            from {staging} as s
                            where s.load_id = e.load_id and {key_s_v}
                        )
                    )
            )
            and not exists (
                select 1
                from {staging} as s
                inner join load as l on s.load_id = l.load_id
                where s.is_deleted and {key_s_v}
                    and s.load_id = any(%(loads)s)
                    and greatest({effective}, timestamp '1900-01-01 00:00:00.000001')
                    = v.validity_end_ts
            )
        ) as version_end_has_cause
    from versions as v
),

keys as (
    select
        count(*) filter (
            where t.is_due and h.is_inferred is distinct from false
        ) as keys_match_staging,
        count(*) filter (where not h.is_inferred and t.is_due is null) as no_orphan_version
    from (
        select
            {keys_of_staging},
            bool_or(s.load_id = any(%(loads_in_facts)s)) as is_due
        from {staging} as s
        where s.load_id = any(%(loads)s) and s.is_deleted is not true
        group by {keys_of_staging}
    ) as t
    full join (
        select
            {keys_of_dim},
            bool_or(d.is_inferred) as is_inferred
        from {table} as d
        where d.{sk} <> -1
        group by {keys_of_dim}
    ) as h on {key_t_h}
),

one_key as (
    select count(*) as sk_one_key
    from (
        select named.{sk}
        from (
            select
                p.{sk},
                {keys_of_past}
            from {past} as p
            union
            select
                d.{sk},
                {keys_of_dim}
            from {table} as d
            where d.{sk} in (
                select p.{sk}
                from {past} as p
            )
        ) as named
        group by named.{sk}
        having count(*) > 1
    ) as repeated
)

select *
from plain
cross join neighbours
cross join keys
cross join one_key;

-- name: of_its_own_plan
-- The rules of plans alone: a fragment of a select list.
count(*) filter (  -- noqa: PRS, part of a select list
    where d.deductible > d.oop_max
) as deductible_within_limit

-- name: of_its_own_provider
-- The rules of providers alone: a fragment of a select list. Luhn's check over the NPI's digits.
count(*) filter (  -- noqa: PRS, part of a select list
    where d.current_flag and not d.is_inferred and d.npi ~ '^[0-9]{{10}}$'
    and (
        24 + substr(d.npi, 2, 1)::integer + substr(d.npi, 4, 1)::integer
        + substr(d.npi, 6, 1)::integer + substr(d.npi, 8, 1)::integer
        + substr(d.npi, 10, 1)::integer
        + (
            select sum(2 * o.digit - case when o.digit > 4 then 9 else 0 end)
            from generate_series(1, 9, 2) as n (place)
            cross join lateral (select substr(d.npi, n.place, 1)::integer) as o (digit)
        )
    ) %% 10 <> 0
) as npi_check_digit,
(
    select coalesce(sum(same.providers), 0)
    from (
        select count(*) as providers
        from dim_provider as d
        where d.current_flag and d.npi is not null
        group by d.npi
        having count(*) > 1
    ) as same
) as npi_unique

-- name: of_its_own_member
-- The rules of members alone: a fragment of a select list.
count(*) filter (  -- noqa: PRS, part of a select list
    where d.dob is not null
    and d.age_group ~ '^[0-9]{{1,3}}(-[0-9]{{1,3}}|\+)$'
    and (
        greatest(d.year - extract(year from d.dob), 0)
        < substring(d.age_group from '^[0-9]+')::integer
        or d.year - extract(year from d.dob) - 1
        > coalesce(substring(d.age_group from '-([0-9]+)$')::integer, 999)
    )
) as age_in_band,
count(*) filter (
    where d.dob > (
        select (l.as_of at time zone 'UTC')::date + %(days_ahead)s::integer
        from load as l
        where l.load_id = d.load_id
    )
    or d.dob < (
        select (l.as_of at time zone 'UTC')::date - interval '125 years'
        from load as l
        where l.load_id = d.load_id
    )
) as born_by_batch

-- name: fact_claim
-- The claims: their own values in one scan, the joins to the dimensions in another, to coverage in a
-- third, and to the latest state in staging in a fourth; each of which can run in parallel.
with plain as (
    select
        count(*) as facts,
        sum(claim_amount) as claim_amount,
        sum(allowed_amount) as allowed_amount,
        sum(paid_amount) as paid_amount,
        count(*) filter (
            where num_nulls(
                claim_id, member_sk, provider_sk, plan_sk, date_key, service_date, load_id
            ) > 0
        ) as keys_present,
        count(*) filter (
            where lower(coalesce(status, '')) <> 'reversed'
            and (
                allowed_amount > claim_amount
                or paid_amount > allowed_amount
                or allowed_amount is null and paid_amount > claim_amount
            )
        ) as amounts_in_order,
        count(*) filter (where lower(status) = 'denied' and paid_amount <> 0)
            as denied_pays_nothing,
        count(*) filter (where lower(status) = 'pending' and paid_amount <> 0)
            as pending_pays_nothing,
        count(*) filter (
            where diagnosis_code
            !~ '^([ABCF-SV-Z][0-9]|[DET][0-8]|U0)[0-9A-Z](\.?[0-9A-Z]{{1,4}})?$'
        ) as diagnosis_possible,
        count(*) filter (where left(diagnosis_code, 3) <> all(%(categories)s::text[]))
            as diagnosis_listed,
        count(*) filter (where discharge_date < admit_date or discharge_date < service_date)
            as discharged_after_admission,
        count(*) filter (where paid_date < service_date) as paid_after_service,
        {clauses}
    from fact_claim
),

joined as (
    select
        f.claim_amount,
        f.allowed_amount,
        f.paid_amount,
        m.member_sk is null as lacks_member,
        p.provider_sk is null as lacks_provider,
        l.plan_sk is null as lacks_plan,
        num_nulls(m.member_sk, p.provider_sk, l.plan_sk, d.date_key) = 0 as is_whole,
        d.full_date is distinct from f.service_date as is_off_calendar,
        f.service_date < m.validity_start_ts
        or f.service_date >= m.validity_end_ts
        and exists (
            select 1
            from dim_member as later
            where later.member_id = m.member_id
                and later.validity_start_ts > m.validity_start_ts
                and later.validity_start_ts <= f.service_date
        ) as is_off_member,
        f.service_date < p.validity_start_ts
        or f.service_date >= p.validity_end_ts
        and exists (
            select 1
            from dim_provider as later
            where later.provider_id = p.provider_id
                and later.validity_start_ts > p.validity_start_ts
                and later.validity_start_ts <= f.service_date
        ) as is_off_provider,
        f.service_date < l.validity_start_ts
        or f.service_date >= l.validity_end_ts
        and exists (
            select 1
            from dim_plan as later
            where later.plan_id = l.plan_id
                and later.effective_year = l.effective_year
                and later.validity_start_ts > l.validity_start_ts
                and later.validity_start_ts <= f.service_date
        ) as is_off_plan
    from fact_claim as f
    left join dim_member as m on f.member_sk = m.member_sk
    left join dim_provider as p on f.provider_sk = p.provider_sk
    left join dim_plan as l on f.plan_sk = l.plan_sk
    left join dim_date as d on f.date_key = d.date_key
),

placed as (
    select
        count(*) filter (where is_whole) as facts,
        sum(claim_amount) filter (where is_whole) as claim_amount,
        sum(allowed_amount) filter (where is_whole) as allowed_amount,
        sum(paid_amount) filter (where is_whole) as paid_amount,
        count(*) filter (where lacks_member) as member_sk_has_version,
        count(*) filter (where lacks_provider) as provider_sk_has_version,
        count(*) filter (where lacks_plan) as plan_sk_has_version,
        count(*) filter (where is_off_calendar) as "date_key.in_calendar",
        count(*) filter (where is_off_member) as member_sk_in_force,
        count(*) filter (where is_off_provider) as provider_sk_in_force,
        count(*) filter (where is_off_plan) as plan_sk_in_force
    from joined
),

uncovered as materialized (
    -- Few, and found by a join that runs in parallel.
    select
        f.paid_amount,
        m.member_id,
        m.is_inferred
    from fact_claim as f
    inner join dim_member as m on f.member_sk = m.member_sk
    where f.member_sk <> -1
        and not exists (
            select 1
            from fact_enrollment as e
            inner join dim_member as o on e.member_sk = o.member_sk
            where o.member_id = m.member_id
                and e.member_sk <> -1
                and f.service_date between e.start_date and e.end_date
        )
),

beside as (
    select
        count(*) filter (
            where f.service_date < m.dob
            and not exists (
                select 1
                from dim_member as told
                where told.member_id = m.member_id and told.dob <= f.service_date
            )
        ) as service_after_birth,
        count(*) filter (
            where (l.as_of at time zone 'UTC')::date + %(days_ahead)s::integer
            < greatest(f.service_date, f.admit_date, f.discharge_date, f.paid_date)
        ) as known_by_batch,
        count(*) filter (
            where m.known_from_ts::date > f.service_date or p.known_from_ts::date > f.service_date
        ) as values_known_on_day,
        count(*) filter (
            where f.paid_amount < 0
            and coalesce(
                (
                    select max(s.paid_amount)
                    from fact_claim_state as s
                    where s.claim_id = f.claim_id
                ), 0
            ) < -f.paid_amount
            and coalesce(
                (
                    select max(o.paid_amount)
                    from fact_claim as o
                    inner join dim_member as v on o.member_sk = v.member_sk
                    where v.member_id = m.member_id
                        and o.service_date = f.service_date
                        and (f.member_sk <> -1 or o.provider_sk = f.provider_sk)
                ), 0
            ) < -f.paid_amount
        ) as negative_takes_back
    from fact_claim as f
    inner join dim_member as m on f.member_sk = m.member_sk
    inner join dim_provider as p on f.provider_sk = p.provider_sk
    inner join load as l on f.load_id = l.load_id
),

outside as (
    select
        count(*) as within_coverage,
        count(*) filter (where u.paid_amount > 0) as paid_within_coverage
    from uncovered as u
    where not u.is_inferred
        or exists (
            select 1
            from fact_enrollment as e
            inner join dim_member as o on e.member_sk = o.member_sk
            where o.member_id = u.member_id
                and e.member_sk <> -1
                and e.start_date <= e.end_date
        )
),

unsettled as materialized (
    -- Claims and rows of their own loads that are not the same, or of which one is missing.
    select
        s.claim_id as told_claim_id,
        f.claim_id as held_claim_id,
        s.state <> f.state as is_outdated,
        {keys_differ} as is_miskeyed
    from (
        select
            s.claim_id,
            s.load_id,
            hash_record_extended(row({told_state}), 0) as state,
            {told_keys}
        from claims_raw as s
        where s.load_id = any(%(loads_in_facts)s)
    ) as s
    full join (
        select
            f.*,
            hash_record_extended(row({held_state}), 0) as state
        from fact_claim as f
    ) as f on s.claim_id = f.claim_id and s.load_id = f.load_id
    left join dim_member on f.member_sk = dim_member.member_sk
    left join dim_provider on f.provider_sk = dim_provider.provider_sk
    left join dim_plan on f.plan_sk = dim_plan.plan_sk
    where s.claim_id is null
        or f.claim_id is null
        or s.state <> f.state
        or {keys_differ}
),

several as materialized (
    select distinct coalesce(told_claim_id, held_claim_id) as claim_id
    from unsettled
    where told_claim_id is null or held_claim_id is null
),

rows_of_several as materialized (
    select
        s.claim_id,
        l.as_of,
        l.batch_id,
        s.load_id,
        s.source_line,
        hash_record_extended(row({told_state}), 0) as state,
        {told_keys},
        s.claim_amount,
        s.allowed_amount,
        s.paid_amount
    from claims_raw as s
    inner join several as c on s.claim_id = c.claim_id
    inner join load as l on s.load_id = l.load_id
    where s.load_id = any(%(loads_in_facts)s)
),

latest as materialized (
    select distinct on (claim_id) *
    from rows_of_several
    order by claim_id, as_of desc, batch_id collate "C" desc, load_id desc, source_line desc
),

told as (
    select
        count(*)
        - (select count(*) from rows_of_several)
        + (select count(*) from latest) as facts,
        sum(s.claim_amount)
        - coalesce((select sum(claim_amount) from rows_of_several), 0)
        + coalesce((select sum(claim_amount) from latest), 0) as claim_amount,
        sum(s.allowed_amount)
        - coalesce((select sum(allowed_amount) from rows_of_several), 0)
        + coalesce((select sum(allowed_amount) from latest), 0) as allowed_amount,
        sum(s.paid_amount)
        - coalesce((select sum(paid_amount) from rows_of_several), 0)
        + coalesce((select sum(paid_amount) from latest), 0) as paid_amount
    from claims_raw as s
    where s.load_id = any(%(loads_in_facts)s)
),

held as (
    select
        count(*) filter (where both_sides.held_claim_id is null) as missing,
        count(*) filter (where both_sides.told_claim_id is null) as unfounded,
        count(*) filter (where both_sides.is_outdated) as outdated,
        count(*) filter (where both_sides.is_miskeyed) as miskeyed
    from (
        select *
        from unsettled
        where coalesce(told_claim_id, held_claim_id) not in (
            select claim_id
            from several
        )
        union all
        select
            s.claim_id,
            f.claim_id,
            f.claim_id is not null and s.state <> hash_record_extended(row({held_state}), 0),
            s.claim_id is not null and f.claim_id is not null and {keys_differ}
        from latest as s
        full join (
            select f.*
            from fact_claim as f
            inner join several as c on f.claim_id = c.claim_id
        ) as f on s.claim_id = f.claim_id
        left join dim_member on f.member_sk = dim_member.member_sk
        left join dim_provider on f.provider_sk = dim_provider.provider_sk
        left join dim_plan on f.plan_sk = dim_plan.plan_sk
    ) as both_sides
)

select
    plain.*,
    placed.*,
    outside.*,
    beside.*,
    abs(placed.facts - plain.facts) as joins_preserve_row_count,
    {joins_keep_money} as joins_keep_money,
    held.missing + plain.facts - held.unfounded - (told.facts - held.missing) as one_row_per_key,
    held.unfounded as no_orphan_version,
    held.outdated as latest_state,
    held.miskeyed as keyed_as_told,
    {money_total} as money_total
from plain
cross join placed
cross join outside
cross join beside
cross join told
cross join held;

-- name: fact_enrollment
-- The enrollments: their own values, plan and member, the joins to the dimensions, other enrollments
-- of the member, and those in staging that stand.
with plain as (
    select
        count(*) as facts,
        sum(premium_paid) as premium_paid,
        sum(aptc_amount) as aptc_amount,
        count(*) filter (
            where num_nulls(
                enrollment_id,
                member_sk,
                plan_sk,
                enrollment_start_date_key,
                enrollment_end_date_key,
                start_date,
                end_date,
                load_id
            ) > 0
        ) as keys_present,
        {clauses}
    from fact_enrollment
),

joined as (
    select
        f.*,
        m.member_id,
        m.member_sk is null as lacks_member,
        l.plan_sk is null as lacks_plan,
        num_nulls(m.member_sk, l.plan_sk, b.date_key, e.date_key) = 0 as is_whole,
        b.full_date is distinct from f.start_date as is_off_start,
        e.full_date is distinct from f.end_date as is_off_end,
        f.start_date < m.validity_start_ts
        or f.start_date >= m.validity_end_ts
        and exists (
            select 1
            from dim_member as later
            where later.member_id = m.member_id
                and later.validity_start_ts > m.validity_start_ts
                and later.validity_start_ts <= f.start_date
        ) as is_off_member,
        f.start_date < l.validity_start_ts
        or f.start_date >= l.validity_end_ts
        and exists (
            select 1
            from dim_plan as later
            where later.plan_id = l.plan_id
                and later.effective_year = l.effective_year
                and later.validity_start_ts > l.validity_start_ts
                and later.validity_start_ts <= f.start_date
        ) as is_off_plan,
        l.plan_sk is not null
        and (f.premium_paid + coalesce(f.aptc_amount, 0) <> 0 or coalesce(a.age >= 21, true))
        and f.premium_paid + coalesce(f.aptc_amount, 0) not between
        l.monthly_premium * coalesce(curve.factor, curves.lowest) - 0.02
        and l.monthly_premium * coalesce(curve.factor, curves.highest)
        * case
            when coalesce(a.age, 99) >= 21 or a.age >= 18 and extract(year from f.start_date) < 2020
                then 1.5
            else 1
        end + 0.02 as is_off_premium,
        f.end_date < m.dob as is_unborn,
        m.known_from_ts::date > f.start_date as is_known_later,
        f.csr_variant in ('04', '05', '06') and lower(l.metal_tier) <> 'silver'
        or f.csr_variant in ('02', '03') and lower(l.metal_tier) = 'catastrophic' as is_off_metal,
        f.aptc_amount > 0 and lower(l.metal_tier) = 'catastrophic' as is_off_credit
    from fact_enrollment as f
    left join dim_member as m on f.member_sk = m.member_sk
    left join dim_plan as l on f.plan_sk = l.plan_sk
    left join dim_date as b on f.enrollment_start_date_key = b.date_key
    left join dim_date as e on f.enrollment_end_date_key = e.date_key
    cross join lateral (
        select
            case
                when m.dob is not null
                    then greatest(
                        extract(year from age(f.start_date::timestamp, m.dob::timestamp)), 0
                    )::integer
            end as age,
            case
                when coalesce(substring(l.plan_id from '^.{{5}}(..).{{7}}'), m.state)
                    = any(%(own_curves)s::text[])
                    then coalesce(substring(l.plan_id from '^.{{5}}(..).{{7}}'), m.state)
                else ''
            end as curve_state
    ) as a
    left join (
        select
            c.state,
            min(c.factor) as lowest,
            max(c.factor) as highest
        from unnest(%(curve_states)s::text[], %(curve_factors)s::numeric[]) as c (state, factor)
        group by c.state
    ) as curves on a.curve_state = curves.state
    left join unnest(
        %(curve_states)s::text[], %(curve_ages)s::integer[], %(curve_factors)s::numeric[]
    ) as curve (state, age, factor)
        on a.curve_state = curve.state
        and case when a.age > %(oldest)s::integer then %(oldest)s::integer else a.age end
        = curve.age
),

placed as (
    select
        count(*) filter (where is_whole) as facts,
        sum(premium_paid) filter (where is_whole) as premium_paid,
        sum(aptc_amount) filter (where is_whole) as aptc_amount,
        count(*) filter (where lacks_member) as member_sk_has_version,
        count(*) filter (where lacks_plan) as plan_sk_has_version,
        count(*) filter (where is_off_start) as "enrollment_start_date_key.in_calendar",
        count(*) filter (where is_off_end) as "enrollment_end_date_key.in_calendar",
        count(*) filter (where is_off_member) as member_sk_in_force,
        count(*) filter (where is_off_plan) as plan_sk_in_force,
        count(*) filter (where is_off_premium) as premium_as_rated,
        count(*) filter (where is_off_metal) as reduction_fits_metal,
        count(*) filter (where is_off_credit) as no_credit_on_catastrophic,
        count(*) filter (where is_unborn) as covered_after_birth,
        count(*) filter (where is_known_later) as values_known_on_day,
        count(*) filter (
            where not lacks_plan
            and extract(year from end_date) <> extract(year from start_date)
        ) as ends_in_plan_year
    from joined
),

-- The latest end of the member's enrollments before each says whether one of them overlaps it.
overlapping as (
    select
        count(*) filter (where e.last_end_date >= e.start_date) as no_day_twice,
        count(*) filter (where e.last_end_date >= date_trunc('month', e.start_date)) as one_a_month
    from (
        select
            f.start_date,
            max(f.end_date) over (
                partition by m.member_id
                order by f.start_date, f.enrollment_id
                rows between unbounded preceding and 1 preceding
            ) as last_end_date
        from fact_enrollment as f
        inner join dim_member as m on f.member_sk = m.member_sk
        where f.member_sk <> -1
    ) as e
),

latest as (
    select
        s.enrollment_id,
        hash_record_extended(row({told_state}), 0) as state,
        nullif(s.member_id, '') as member_id,
        nullif(s.plan_id, '') as plan_id,
        s.start_date,
        s.premium_paid,
        s.aptc_amount
    from (
        select
            e.*,
            row_number() over (
                partition by e.enrollment_id
                order by
                    l.as_of desc,
                    l.batch_id collate "C" desc,
                    e.load_id desc,
                    e.source_line desc
            ) as rank_of_id,
            row_number() over (
                partition by nullif(e.member_id, ''), nullif(e.plan_id, ''), e.start_date
                order by
                    l.as_of desc,
                    l.batch_id collate "C" desc,
                    e.load_id desc,
                    e.source_line desc
            ) as rank_of_grain
        from enrollments_raw as e
        inner join load as l on e.load_id = l.load_id
        where e.load_id = any(%(loads_in_facts)s)
    ) as s
    where s.rank_of_id = 1
        and (
            s.rank_of_grain = 1
            or coalesce(s.member_id, '') = ''
            or coalesce(s.plan_id, '') = ''
        )
),

told as (
    select
        count(*) as facts,
        sum(premium_paid) as premium_paid,
        sum(aptc_amount) as aptc_amount
    from latest
),

held as (
    select
        count(*) filter (where f.enrollment_id is null) as missing,
        count(*) filter (where s.enrollment_id is null) as unfounded,
        count(*) filter (where s.state <> f.state) as outdated,
        count(*) filter (
            where s.enrollment_id is not null and f.enrollment_id is not null
            and (
                s.member_id is distinct from m.member_id
                or s.plan_id is distinct from l.plan_id
                or s.plan_id is not null
                and extract(year from s.start_date) is distinct from l.effective_year
            )
        ) as miskeyed
    from latest as s
    full join (
        select
            f.*,
            hash_record_extended(row({held_state}), 0) as state
        from fact_enrollment as f
    ) as f on s.enrollment_id = f.enrollment_id
    left join dim_member as m on f.member_sk = m.member_sk and m.member_sk <> -1
    left join dim_plan as l on f.plan_sk = l.plan_sk and l.plan_sk <> -1
)

select
    plain.*,
    placed.*,
    overlapping.*,
    abs(placed.facts - plain.facts) as joins_preserve_row_count,
    {joins_keep_money} as joins_keep_money,
    held.missing + plain.facts - held.unfounded - (told.facts - held.missing) as one_row_per_key,
    held.unfounded as no_orphan_version,
    held.outdated as latest_state,
    held.miskeyed as keyed_as_told,
    {money_total} as money_total
from plain
cross join placed
cross join overlapping
cross join told
cross join held;

-- name: fact_claim_state
-- The earlier states of claims: each chain is as staging tells it, ends in the fact, nets to what
-- is paid, and has one state a load.
with several as materialized (
    -- The claims of which something was told that the fact does not show.
    select earlier.claim_id
    from (
        select
            s.claim_id,
            s.load_id
        from claims_raw as s
        where s.load_id = any(%(loads_in_facts)s)
            and not exists (
                select 1
                from fact_claim as f
                where f.claim_id = s.claim_id and f.load_id = s.load_id
            )
        union all
        select
            h.claim_id,
            h.load_id
        from fact_claim_state as h
    ) as earlier
    left join load as l on earlier.load_id = l.load_id
    group by earlier.claim_id
    having bool_or(l.live_at is null and l.status = 'loaded') is not true
),

told as (
    select
        s.claim_id,
        s.load_id,
        row_number() over by_rank as place,
        hash_record_extended(row({told_state}), 0) as state,
        hash_record_extended(row({told_keys_and_state}), 0) as whole_state,
        lag(hash_record_extended(row({told_keys_and_state}), 0)) over by_rank as last_whole_state
    from claims_raw as s
    inner join load as l on s.load_id = l.load_id
    where s.load_id = any(%(loads_in_facts)s)
        and s.claim_id in (
            select claim_id
            from several
        )
    window by_rank as (
        partition by s.claim_id
        order by l.as_of, l.batch_id collate "C", s.load_id, s.source_line
    )
),

history as materialized (
    select
        h.claim_id,
        h.load_id,
        h.is_latest,
        coalesce(h.paid_amount, 0) as paid_amount,
        hash_record_extended(row({held_state}), 0) as state,
        lag(h.load_id) over by_rank as last_load_id,
        lead(h.load_id) over by_rank is null as is_end,
        lag(coalesce(h.paid_amount, 0), 1, 0::numeric) over by_rank as last_paid_amount
    from fact_claim_history as h
    inner join load as l on h.load_id = l.load_id
    where h.claim_id in (
            select claim_id
            from several
            union
            select claim_id
            from fact_claim_state
        )
    window by_rank as (
        partition by h.claim_id
        order by l.as_of, l.batch_id collate "C", h.load_id
    )
),

chains as (
    select
        count(*) filter (where c.is_ended is distinct from true) as ends_in_fact,
        count(*) filter (where c.net_amount is distinct from coalesce(f.paid_amount, 0))
            as nets_to_paid,
        count(*) filter (where c.is_repeated) as one_state_a_load
    from (
        select distinct claim_id
        from fact_claim_state
    ) as s
    left join (
        select
            h.claim_id,
            bool_and(h.is_latest = h.is_end) as is_ended,
            bool_or(h.load_id = h.last_load_id) as is_repeated,
            sum(h.paid_amount - h.last_paid_amount) as net_amount
        from history as h
        group by h.claim_id
    ) as c on s.claim_id = c.claim_id
    left join fact_claim as f on s.claim_id = f.claim_id
),

as_told as (
    select
        count(*) filter (
            where due.is_latest is distinct from held.is_latest or due.state <> held.state
        ) as states_match_staging
    from (
        select
            t.claim_id,
            t.load_id,
            t.state,
            lead(t.load_id) over (partition by t.claim_id order by t.place) is null as is_latest
        from told as t
        where t.place = 1 or t.whole_state <> t.last_whole_state
    ) as due
    full join (
        select h.*
        from history as h
        inner join several as s on h.claim_id = s.claim_id
    ) as held on due.claim_id = held.claim_id and due.load_id = held.load_id
)

select *
from chains
cross join as_told;
