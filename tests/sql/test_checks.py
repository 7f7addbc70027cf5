"""The checks: none fails on a sound warehouse, and each one detects its defect."""

# Defects are composed of names that the contracts declare.

from __future__ import annotations

import psycopg
import pytest

from etl.config import Settings
from etl.contracts.feeds import FEEDS
from etl.pipeline import commands
from etl.pipeline.load import STAGES
from etl.pipeline.session import open_run
from etl.quality.checks.registry import sql_checks
from etl.quality.runner import run_sql_checks
from etl.warehouse.details import DETAILS
from etl.warehouse.tables import CUBES, DIMENSIONS, FACTS, LIVE, VIEW
from tests.support.feeds import write_batch
from tests.support.warehouse import found_by
from tests.support.watching import Silent


def failing(connection: psycopg.Connection) -> dict[str, int | None]:
    """Names of the SQL checks that fail, with the rows that they count.

    The facts are history of before the first batch, which a check of its own says.
    """
    ran = [*run_sql_checks(connection, LIVE)]
    # A check that passes names no row.
    assert [check.name for check, f in ran if f and f.keys and not f.rows_failed] == []
    return {
        check.name: found and found.rows_failed
        for check, found in ran
        if (found is None or found.rows_failed) and not check.name.endswith("known_on_day")
    }


# One defect for each critical check in SQL, made by hand.
DEFECTS: dict[str, str] = {}

for feed in FEEDS.values():
    raw = feed.table
    DEFECTS |= {
        f"{raw}.rows_as_in_file": f"delete from {raw} where source_line = 2",
        f"{raw}.load_known": f"update {raw} set load_id = 999 where source_line = 2",
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


def test_every_critical_check_in_sql_has_a_defect():
    found = [check for entry in sql_checks() for check in entry.checks.values()]
    assert {check.name for check in found if check.severity == "critical"} == DEFECTS.keys()


# Other ways in which some of them are broken.
MORE_DEFECTS = {
    "a snapshot that has the key ends no version of it": (
        "dim_member.version_end_has_cause",
        "update dim_member set validity_end_ts = '2025-02-28', current_flag = false"
        " where member_id = 'B'",
    ),
    "neighbors of one content and two hashes": (
        "dim_provider.neighbors_differ",
        "update dim_provider set name = 'one' where provider_id = 'D'",
    ),
    "a key that the dimension lost": (
        "dim_member.keys_match_staging",
        "delete from dim_member where member_id = 'B'",
    ),
    "a claim with another load than the one that brought it": (
        "fact_claim_state.states_match_staging",
        "update fact_claim set load_id = 1 where claim_id = 'c6'",
    ),
    "an earlier state that no file brought": (
        "fact_claim_state.states_match_staging",
        "insert into fact_claim_state (claim_id, load_id, service_date) values ('c1', 2, now())",
    ),
    "an earlier state that is lost": (
        "fact_claim_state.states_match_staging",
        "delete from fact_claim_state",
    ),
    "a chain whose order turned round": (
        "fact_claim_state.ends_in_fact",
        "update load set as_of = '2025-03-31Z' where batch_id = '2025-01-31'",
    ),
    "a row changed by hand": (
        "dim_member_past.present_is_last_known",
        "insert into dim_member_past select *, 3 from dim_member where member_sk = 1",
    ),
    "a line that waits with the key of a member": (
        "fact_claim_line.keyed_as_claim",
        "update fact_claim_line set claim_id = 'c9' where claim_id = 'c1' and line_number = 2",
    ),
    "a line that is made of its claim and not the first": (
        "fact_claim_line.made_of_claim",
        "update fact_claim_line set line_number = 2 where claim_id = 'c3'",
    ),
    "a set that a later batch replaced": (
        "bridge_claim_diagnosis.latest_set",
        "insert into claim_diagnoses_raw select * from claim_diagnoses_raw where claim_id = 'c2';"
        "update claim_diagnoses_raw set claim_id = 'c1', diagnosis_code = 'I10'"
        " where load_id = 2 and ctid = (select max(ctid) from claim_diagnoses_raw)",
    ),
    "lines a cent off": (
        "fact_claim_line.paid_as_claim",
        "update fact_claim_line set paid_amount = paid_amount + 0.01 where claim_id = 'c2'",
    ),
    "lines that were billed otherwise than their claim": (
        "fact_claim_line.billed_as_claim",
        "update fact_claim_line set claim_amount = 7 where claim_id = 'c2'",
    ),
    "lines that were allowed otherwise than their claim": (
        "fact_claim_line.allowed_as_claim",
        "update fact_claim set allowed_amount = 7 where claim_id = 'c2'",
    ),
    "a principal diagnosis that is not the claim's": (
        "bridge_claim_diagnosis.principal_as_claim",
        "update bridge_claim_diagnosis set diagnosis_code = 'I10' where claim_id = 'c2'",
    ),
    "a position that is left out": (
        "bridge_claim_diagnosis.numbers_without_gap",
        "update bridge_claim_diagnosis set position = 3 where claim_id = 'c1' and position = 2",
    ),
    "a line that is left out": (
        "fact_claim_line.numbers_without_gap",
        "delete from fact_claim_line where claim_id = 'c1' and line_number = 1",
    ),
    "a diagnosis of no chapter": (
        "bridge_claim_diagnosis.code_possible",
        "update dim_diagnosis set chapter = 'Unknown' where diagnosis_code = 'I10'",
    ),
    "a procedure of no code system": (
        "fact_claim_line.code_possible",
        "update dim_procedure set code_system = 'unknown' where procedure_code = 'J1100'",
    ),
    "a plan that is there twice": (
        "fact_claim.joins_keep_money",
        "alter table dim_plan drop constraint dim_plan_pkey cascade;"
        "update dim_plan set plan_sk = 1 where plan_sk = 2",
    ),
}


@pytest.mark.parametrize("what", MORE_DEFECTS)
def test_check_finds_another_defect(warehouse, what):
    name, defect = MORE_DEFECTS[what]
    assert name not in failing(warehouse)
    warehouse.execute(defect)
    assert failing(warehouse)[name]


def test_version_ended_by_a_restatement_of_its_dimension_passes(warehouse):
    warehouse.execute(
        "insert into load (batch_id, as_of, kind, subject, status, is_rebuild, live_at) values"
        " ('a restatement', '2025-02-10Z', 'restatement', 'dim_plan', 'loaded', false, now());"
        "insert into stage_run (load_id, stage, is_rebuild, status)"
        " select max(load_id), 'restate', false, 'done' from load;"
        "update dim_plan set validity_end_ts = '2025-02-10' where plan_sk = 1"
    )
    assert failing(warehouse) == {}
    warehouse.execute("update load set subject = 'dim_member' where kind = 'restatement'")
    assert failing(warehouse) == {"dim_plan.version_end_has_cause": 1}


def test_delete_marker_explains_an_end_and_needs_no_key(warehouse, warehouse_url, tmp_path):
    write_batch(
        tmp_path / "inbox",
        "2025-03-31",
        providers=[{"provider_id": key, "is_deleted": True} for key in ("D", "nobody")],
    )
    settings = Settings("", tmp_path / "inbox", tmp_path, reject_share=0.0)
    with open_run(warehouse_url, settings, Silent(), "incremental") as pipeline:
        commands.run_stages(pipeline, STAGES)
    # A claim named nobody two months ago.
    assert failing(warehouse) == {"dim_provider.known_in_time": 1}
    warehouse.execute("update dim_provider set is_inferred = false where provider_id = 'nobody'")
    assert failing(warehouse) == {"dim_provider.no_orphan_version": 1}
    warehouse.execute("update dim_provider set is_inferred = true where provider_id = 'nobody'")
    warehouse.execute("update providers_raw set provider_id = 'E' where load_id = 3")
    assert failing(warehouse)["dim_provider.version_end_has_cause"] == 1


def test_load_from_before_states_were_kept_passes(warehouse):
    warehouse.execute("delete from fact_claim_state")
    assert failing(warehouse) == {"fact_claim_state.states_match_staging": 1}
    warehouse.execute("update load set live_at = null where load_id = 1")
    assert failing(warehouse) == {}


@pytest.mark.usefixtures("warehouse_url")  # guarded, so not in a transaction of the shared one
def test_change_by_hand_is_detected_in_the_next_load(warehouse):
    warehouse.execute("set session_replication_role = origin")
    warehouse.execute("update dim_member set call_count = 9 where member_id = 'B'")
    assert failing(warehouse) == {"dim_member_past.present_is_last_known": 1}


# Checks of a whole table, which name no row.
WITHOUT_KEYS = (
    "sk_unique",
    "joins_preserve_row_count",
    "joins_keep_money",
    "money_total",
)


@pytest.mark.parametrize("name", DEFECTS)
def test_check_finds_its_defect(warehouse, name):
    warehouse.execute(DEFECTS[name])
    found = found_by(warehouse, name)
    assert found.rows_failed
    # The rows at fault are named by their keys, except repeated ones of one key.
    if not name.endswith(WITHOUT_KEYS) and name not in ("fact_claim.one_row_per_key",):
        assert found.keys
        assert len(found.keys) <= found.rows_failed
    assert len({str(key) for key in found.keys}) == len(found.keys)


# What is changed: the check that fails, and the keys that it names.
FAULTY_ROWS = {
    "update dim_member set last_name = 'changed' where member_sk = 2": (
        "dim_member.attr_hash_recomputed",
        {"member_sk": 2},
    ),
    "delete from dim_member where member_id = 'B'": (
        "dim_member.keys_match_staging",
        {"member_id": "B"},
    ),
    "update fact_claim set status = 'x' where claim_id in ('c1', 'c6')": (
        "fact_claim.latest_state",
        {"claim_id": "c1"},
        {"claim_id": "c6"},
    ),
    "delete from fact_claim where claim_id = 'c1'": (
        "fact_claim.one_row_per_key",
        {"claim_id": "c1"},
    ),
    "update fact_claim set date_key = -1 where claim_id = 'c3'": (
        "fact_claim.date_key.in_calendar",
        {"claim_id": "c3"},
    ),
    "update fact_claim set paid_amount = 0 where claim_id = 'c6'": (
        "claims_daily_member.money_as_in_facts",
        {"month": "2025-03-01"},
    ),
    "delete from members_raw where load_id = 2 and source_line = 2": (
        "members_raw.rows_as_in_file",
        {"load_id": 2},
    ),
    "set session_replication_role = replica;"
    "update members_raw set load_id = 9 where load_id = 2 and source_line = 2": (
        "members_raw.load_known",
        {"load_id": 9},
    ),
    "update fact_claim_state set status = 'denied'": (
        "fact_claim_state.states_match_staging",
        {"claim_id": "c2", "load_id": 1},
    ),
}


@pytest.mark.parametrize("defect", FAULTY_ROWS)
def test_failing_rows_are_named_by_their_keys(warehouse, defect):
    name, *keys = FAULTY_ROWS[defect]
    warehouse.execute(defect)
    assert sorted(found_by(warehouse, name).keys, key=repr) == keys


@pytest.mark.parametrize("number", [1, 3])
def test_parallel_workers_gather_no_more_keys(database, number):
    """A parallel scan keeps the same keys as one process."""
    database.execute("set search_path = quality")
    (kept,) = database.execute(
        "select add_keys(a, b) from (select some_keys(to_jsonb(n)) filter (where n <= 70) as a,"
        " some_keys(to_jsonb(n)) filter (where n > 70) as b"
        " from generate_series(1, 70 + 70 * %s) as n) as both_halves",
        [number],
    ).fetchone()
    assert kept == list(range(1, 101))


def test_a_claim_that_is_there_twice_is_found(warehouse):
    warehouse.execute(
        "create temporary table more as select * from fact_claim where claim_id = 'c1';"
        "update more set service_date = '2025-01-09', date_key = 20250109;"
        "insert into fact_claim select * from more"
    )
    assert failing(warehouse)["fact_claim.one_row_per_key"] == 1


@pytest.mark.parametrize(("total", "amount"), [("expected", "1.00"), ("rejected", "0.01")])
def test_total_unlike_the_manifest_or_that_does_not_add_up_is_found(warehouse, total, amount):
    warehouse.execute(
        f"update load_file set totals = jsonb_set(totals, '{{paid_amount,{total}}}',"
        f" '\"{amount}\"') where feed = 'claims'"
    )
    assert failing(warehouse) == {"claims_raw.totals_as_in_file": 2}


def test_load_that_is_only_staged_fails_no_check_of_facts(warehouse):
    warehouse.execute(
        "insert into load (batch_id, as_of, status, is_rebuild)"
        " values ('2025-03-31', '2025-03-31Z', 'running', false);"
        "insert into claims_raw (load_id, source_line, claim_id, service_date)"
        " select max(load_id), 2, 'c9', '2025-03-01' from load;"
        "insert into load_file (load_id, feed, file_name, kind, status, size_bytes, modified_ns,"
        " xxh3_128, rows_read, rows_loaded) select max(load_id), 'claims', 'claims.csv', 'delta',"
        " 'loaded', 1, 1, gen_random_uuid(), 1, 1 from load"
    )
    assert failing(warehouse) == {}
    warehouse.execute(
        "insert into stage_run (load_id, stage, is_rebuild, status)"
        " select max(load_id), 'facts', false, 'done' from load"
    )
    assert failing(warehouse) == {
        "fact_claim.one_row_per_key": 1,
        "fact_claim_state.states_match_staging": 1,
    }


def test_failed_load_is_not_part_of_the_build(warehouse):
    warehouse.execute("update load set status = 'failed' where batch_id = '2025-02-28'")
    assert failing(warehouse)["claims_raw.load_known"] == 3


def test_a_cube_that_was_never_made_fails_as_not_evaluated(warehouse, warehouse_url):
    warehouse.execute("drop table high_cost_member_tracking cascade")
    assert failing(warehouse) == {
        "high_cost_member_tracking.rolling_paid": None,
        "planner.indexes_are_there": 1,
    }


def test_a_member_over_the_threshold_who_is_missing_is_found(warehouse):
    warehouse.execute(
        "update fact_claim set paid_amount = 0 where claim_id in ('c1', 'c2', 'c6');"
        "delete from high_cost_member_tracking"
    )
    assert failing(warehouse)["high_cost_member_tracking.rolling_paid"]


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ("status = 'approved', paid_amount = allowed_amount + 1", True),
        ("status = 'approved', claim_amount = allowed_amount - 1", True),
        ("status = 'approved', paid_amount = null", False),
        ("status = 'Reversed', claim_amount = -9, allowed_amount = -5, paid_amount = -4", False),
    ],
)
def test_paid_is_at_most_allowed_at_most_billed_but_for_reversals(warehouse, change, fails):
    warehouse.execute(f"update fact_claim set {change} where claim_id = 'c1'")
    assert ("fact_claim.amounts_in_order" in failing(warehouse)) is fails
