"""The checks: none fails on a sound warehouse, and each one detects its defect."""

# Defects are composed of names that the contracts declare.

from __future__ import annotations

import psycopg
import pytest

from etl.config import Settings
from etl.pipeline import commands
from etl.pipeline.load import STAGES
from etl.pipeline.session import open_run
from etl.quality.checks.registry import sql_checks
from etl.quality.runner import run_sql_checks
from etl.warehouse.tables import LIVE
from tests.support.check_defects import DEFECTS
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
