"""A defect for each critical check in SQL, made by hand in the small loaded warehouse."""

# Defects are composed of names that the contracts declare.

from __future__ import annotations

from etl.contracts.feeds import FEEDS
from etl.warehouse.details import DETAILS
from etl.warehouse.tables import CUBES, DIMENSIONS, FACTS, VIEW

DEFECTS: dict[str, str] = {}

for feed in FEEDS.values():
    raw = feed.table
    DEFECTS |= {
        f"{raw}.rows_as_in_file": f"delete from {raw} where source_line = 2",
        f"{raw}.load_known": f"update {raw} set load_id = 31 where source_line = 2",
        f"{raw}.file_accounted": (
            "alter table load_file drop constraint load_file_rows_accounted_check;"
            "alter table load_file drop constraint load_file_lines_accounted_check;"
            f"update load_file set rows_read = rows_read + 1 where feed = '{feed.name}'"
        ),
        f"{raw}.skipped_is_held": (
            f"update load_file set status = 'skipped' where feed = '{feed.name}' and load_id = 2"
        ),
    }
    for amount in feed.money[-1:]:
        DEFECTS[f"{raw}.totals_as_in_file"] = (
            f"update {raw} set {amount} = coalesce({amount}, 0) + 0.01 where source_line = 2"
        )

for dim in DIMENSIONS.values():
    t, sk, key, driver = dim.table, dim.sk, dim.key[0], dim.drivers[0]
    unlocked = f"alter table {t} drop constraint {t}_current_is_open_check;"
    DEFECTS |= {
        f"{t}.sk_unique": (
            f"alter table {t} drop constraint {t}_pkey cascade;"
            f"update {t} set {sk} = 1 where {sk} > 0 and current_flag"
        ),
        f"{t}.keys_present": (
            f"alter table {t} alter column {key} drop not null;"
            f"update {t} set {key} = null where {sk} = 1"
        ),
        f"{t}.no_empty_version": (
            f"alter table {t} drop constraint {t}_not_empty_check;"
            f"update {t} set validity_end_ts = validity_start_ts where not current_flag"
        ),
        f"{t}.no_overlap": (
            f"update {t} set validity_end_ts = validity_end_ts + interval '1 second'"
            " where not current_flag"
        ),
        f"{t}.first_from_1900": (
            f"update {t} set validity_start_ts = '1900-01-02' where validity_end_ts < '9999-01-01'"
        ),
        f"{t}.one_current": (
            f"{unlocked} drop index {t}_current_idx; update {t} set current_flag = true"
        ),
        f"{t}.version_end_has_cause": (
            f"update {t} set validity_end_ts = validity_end_ts - interval '1 second'"
            " where not current_flag"
        ),
        f"{t}.current_is_open": f"{unlocked} update {t} set current_flag = false where {sk} = 1;"
        f"update {t} set current_flag = false where {sk} > 0",
        f"{t}.neighbors_differ": f"update {t} set attr_hash = gen_random_uuid();"
        f"update {t} as d set attr_hash = o.attr_hash from {t} as o where o.{key} = d.{key}"
        f" and o.validity_end_ts = d.validity_start_ts",
        f"{t}.attr_hash_recomputed": f"update {t} set {driver} = 'changed' where {sk} = 1",
        f"{t}.keys_match_staging": f"update {t} set is_inferred = true where {sk} = 1",
        f"{t}.no_orphan_version": f"delete from {dim.feed.table} as s using {t} as d"
        f" where d.{sk} = 1 and s.{key} = d.{key}",
        f"{t}.sk_one_key": f"create temporary table other as select * from {t} where {sk} = 1;"
        f"update other set {key} = 'other'; insert into {dim.past} select *, 3 from other",
    }
    # As on a cluster, where loads change what is kept.
    DEFECTS[f"{t}.published_as_kept"] = (
        "create schema if not exists history;"
        f"create table history.{t} as table {t};"
        f"create trigger {t}_guard_inserts after insert on history.{t} for each statement"
        " execute function refuse_overlapping_versions();"
        f"delete from history.{t} where {sk} = 1"
    )
    for attribute in dim.type_1[:1]:
        DEFECTS[f"{t}.type_1_everywhere"] = (
            f"update {t} set {attribute} = 'changed' where {sk} > 0 and current_flag"
        )

for fact in FACTS.values():
    t, key, amount = fact.table, fact.key, fact.feed.money[0]
    first = f"where {key} = (select min({key}) from {t})"
    DEFECTS |= {
        f"{t}.one_row_per_key": f"delete from {t} {first}",
        f"{t}.no_orphan_version": (
            f"create temporary table more as select * from {t} {first};"
            f"update more set {key} = 'more', member_sk = -1; insert into {t} select * from more"
        ),
        f"{t}.latest_state": f"update {t} set {fact.carried[-1]} = null, {amount} = 7 {first}",
        f"{t}.keys_match_staging": f"update {t} set member_sk = -1 {first}",
        f"{t}.money_total": f"update {t} set {amount} = {amount} + 0.01 {first}",
        f"{t}.keys_present": f"alter table {t} alter column load_id drop not null;"
        f"update {t} set load_id = null {first}",
        f"{t}.joins_preserve_row_count": "delete from dim_member where member_sk = 1",
        f"{t}.joins_keep_money": "delete from dim_plan where plan_sk = 1",
    }
    for reference in fact.references:
        sk, d = reference.sk, reference.dimension.table
        DEFECTS |= {
            f"{t}.{sk}_has_version": f"update {t} set {sk} = 999 {first}",
            f"{t}.{sk}_in_force": (
                f"update {t} as f set {sk} = later.{sk} from {d} as given"
                f" inner join {d} as later on given.validity_end_ts = later.validity_start_ts"
                f" and given.{reference.dimension.key[0]} = later.{reference.dimension.key[0]}"
                f" where f.{sk} = given.{sk}"
            ),
        }

for detail in DETAILS:
    t, number, value = detail.table, detail.number, detail.codes.code
    of_set, of_claim = "where not is_from_claim", "where claim_id = 'c3'"
    DEFECTS |= {
        f"{t}.every_claim_has_one": f"delete from {t} {of_claim}",
        f"{t}.keyed_as_claim": f"update {t} set member_sk = -1 {of_claim}",
        f"{t}.made_of_claim": f"update {t} set {value} = null {of_claim}",
        f"{t}.keyed_to_code": f"update {t} set {detail.codes.sk} = -1 {of_claim}",
        f"{t}.one_row_per_key": f"delete from {t} {of_set} and {number} = 2",
        f"{t}.no_orphan_version": f"update {t} set is_from_claim = false {of_claim}",
        f"{t}.latest_set": f"update {t} set {value} = 'other' {of_set}",
        f"{t}.set_alone": f"update {t} set is_from_claim = true {of_set} and {number} = 2",
    }

for table in (*DIMENSIONS.values(), *FACTS.values(), *DETAILS):
    past = table.past
    kept = f"create temporary table kept as select * from {table.table} limit 1;"
    # By name: columns that came later are the last ones.
    into_past = (
        f"insert into {past} select (jsonb_populate_record(null::{past},"
        " to_jsonb(k) || jsonb_build_object('known_to_load_id', {}))).* from kept as k"
    )
    DEFECTS |= {
        f"{past}.made_before_changed": f"{kept} update kept set load_id = 2;{into_past.format(1)}",
        f"{past}.changed_by_a_load": f"{kept} {into_past.format(4)}",
    }

DEFECTS |= {
    "fact_claim_state.ends_in_fact": (
        "update load set as_of = '2025-03-31Z' where batch_id = '2025-01-31'"
    ),
    "fact_claim_state.nets_to_paid": (
        "update load set as_of = '2025-03-31Z' where batch_id = '2025-01-31';"
        "update fact_claim_state set paid_amount = 7"
    ),
    "fact_claim_state.one_state_a_load": "update fact_claim_state set load_id = 2",
    "fact_claim_state.states_match_staging": "update fact_claim_state set status = 'denied'",
    "fact_claim.date_key.in_calendar": "update fact_claim set date_key = -1",
    "fact_enrollment.enrollment_start_date_key.in_calendar": (
        "update fact_enrollment set enrollment_start_date_key = enrollment_end_date_key"
    ),
    "fact_enrollment.enrollment_end_date_key.in_calendar": (
        "delete from dim_date where full_date = '2025-12-31'"
    ),
    **{
        f"{cube}.money_as_in_facts": (
            "update fact_claim set paid_amount = paid_amount - 0.01 where claim_id = 'c1'"
        )
        for cube in CUBES
        if CUBES[cube].claims_by
    },
    # A view cannot be changed: a table of its name with a row without values is read instead.
    **{
        f"{cube.name}.grain_is_known": (
            f"alter materialized view {cube.name} rename to earlier;"
            f"create table {cube.name} as select * from earlier;"
            f"insert into {cube.name} default values"
        )
        for cube in CUBES.values()
        if cube.kind is VIEW
    },
    "claims_by_plan_metal_month.covered_days": (
        "update exposure_month set covered_days = covered_days - 1"
    ),
    "high_cost_member_tracking.rolling_paid": (
        "update fact_claim set paid_amount = paid_amount + 0.01 where claim_id = 'c1';"
        "update claims_daily_member set paid_usd = paid_usd + 0.01 where member_id = 'A'"
    ),
    "inpatient_stay.claims_as_in_facts": (
        "insert into inpatient_stay (member_id, stay_id, admit_date, discharge_date, claims,"
        " allowed_usd, paid_usd) values ('A', 'x', '2025-01-01', '2025-01-02', 1, 0, 0)"
    ),
    "inpatient_stay.stays_apart": (
        "insert into inpatient_stay (member_id, stay_id, admit_date, discharge_date)"
        " select 'A', id, '2025-01-01', '2025-01-02' from unnest(array['x', 'y']) as id"
    ),
    "member_month.days_as_in_facts": (
        "update member_month set covered_days = covered_days - 1 where member_id = 'A'"
    ),
    "exposure_month.sums_of_member_months": (
        "update member_month set premium_usd = premium_usd + 0.01 where member_id = 'A'"
    ),
    "member_month.counted_once": (
        "update member_month set member_months_any = 0 where member_id = 'A'"
    ),
    "enrollment_flow_month.flow_continues": (
        "update enrollment_flow_month set at_end = at_end + 1"
    ),
    "high_cost_year.years_as_in_days": (
        "update claims_daily_member set paid_usd = paid_usd + 100000 where member_id = 'A'"
    ),
    "access.as_declared": (
        "grant usage on schema warehouse to aca_analyst; grant select on dim_member to aca_analyst"
    ),
    "dim_member.limited_as_dimension": (
        "update dim_member_limited set zip = '00000' where version_sk > 0"
    ),
    "access.looks_are_noted": "alter table dim_member disable row level security",
    "access.erased_stay_erased": (
        "insert into access.erased (member_token, why, through_load_id, key_check)"
        " values ('erased-1', 'x', 1, 'a'), ('erased-2', 'x', 1, 'b')"
    ),
}
