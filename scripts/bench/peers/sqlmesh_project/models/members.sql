-- A member that the file lacks is gone, as in our snapshots. The columns are those of
-- scripts/bench/members_history.py. One row per version.
MODEL (
    name history.members,
    start '2024-12-31',
    cron '@daily',
    kind SCD_TYPE_2_BY_COLUMN (
        unique_key member_id,
        columns *,
        invalidate_hard_deletes true
    )
);

SELECT
    member_id::text,
    first_name::text,
    last_name::text,
    dob::text,
    gender::text,
    state::text,
    zip::text,
    fpl_ratio::text,
    plan_network_access_type::text,
    plan_metal::text,
    age_group::text,
    region::text,
    clinical_segment::text,
    general_agency_name::text,
    broker_name::text,
    call_count::text,
    new_member_in_period::text,
    member_used_app::text,
    member_had_web_login::text,
    member_visited_new_provider_ind::text,
    high_cost_member::text,
    mutually_exclusive_hcc_condition::text,
    geographic_reporting::text,
    year::text
FROM raw.members
