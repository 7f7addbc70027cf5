"""The checks: quiet on a sound warehouse, and each one heard on the defect that it is there for."""

# Defects are put together from names that the contracts declare.

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import event
from sqlalchemy.engine import Engine

from etl.config import Settings
from etl.contracts.checks import MOST_KEYS, Finding
from etl.contracts.column import Pii
from etl.contracts.feeds import FEEDS
from etl.db.connection import set_search_path
from etl.pipeline import commands
from etl.pipeline.load import STAGES
from etl.pipeline.session import open_run
from etl.quality.checks.registry import sql_checks
from etl.quality.great_expectations import run_suites
from etl.quality.runner import all_checks, run_checks, run_sql_checks
from etl.render.expectations import suites
from etl.stages.cubes.refresh import run_cubes
from etl.warehouse.tables import CUBES, DIMENSIONS, FACTS, LIVE
from tests.support.databases import copy, drop, unguarded, url_of
from tests.support.feeds import write_batch
from tests.support.watching import Silent

_copies = itertools.count(1)


def write_feeds(inbox: Path) -> None:
    """Two batches: every dimension gets a second version, a member goes, a claim is decided."""
    snapshot = {"files": {"members.csv": {"kind": "snapshot"}}}
    claim = {"member_id": "A", "provider_id": "D", "plan_id": "P", "status": "approved"}
    claim |= {"claim_amount": "60000.00", "allowed_amount": "60000.00", "paid_amount": "60000.00"}
    claim |= {"diagnosis_code": "E119"}
    # At a newborn's factor, 0.765, the premium of ten dollars that fills the enrollments.
    plan = {"plan_id": "P", "metal_tier": "Silver", "monthly_premium": "13.07"}
    write_batch(
        inbox,
        "2025-01-31",
        {"batch_id": "2025-01-31", "as_of": "2025-01-31T00:00:00Z", **snapshot},
        members=[
            {"member_id": "A", "last_name": "Quigley", "call_count": "1"},
            {"member_id": "B", "last_name": "Ramsbottom"},
            {"member_id": "C", "last_name": "Featherstone"},
        ],
        plans=[{**plan, "oop_max": "100.00"}],
        providers=[{"provider_id": "D", "name": "one", "npi": "1234567893"}],
        enrollments=[
            {"enrollment_id": "e1", "member_id": "A", "plan_id": "P", "start_date": "2025-01-01"},
            {
                "enrollment_id": "e2",
                "member_id": "B",
                "plan_id": "P",
                "start_date": "2025-01-01",
                "end_date": "2025-06-30",
            },
        ],
        claims=[
            {**claim, "claim_id": "c1", "service_date": "2025-01-10"},
            {**claim, "claim_id": "c2", "service_date": "2025-01-11", "status": "pending"},
            {**claim, "claim_id": "c3", "service_date": "2025-01-12", "paid_amount": "0.00"}
            | {"status": "denied"},
            {**claim, "claim_id": "c4", "service_date": "2025-01-12", "member_id": ""},
            {**claim, "claim_id": "c5", "service_date": "2025-01-12", "provider_id": "nobody"},
        ],
    )
    write_batch(
        inbox,
        "2025-02-28",
        {"batch_id": "2025-02-28", "as_of": "2025-02-28T00:00:00Z", **snapshot},
        members=[
            {"member_id": "A", "last_name": "Quigley-Smith", "call_count": "2"},
            {"member_id": "B", "last_name": "Ramsbottom", "call_count": "7"},
        ],
        plans=[{**plan, "oop_max": "200.00"}],
        providers=[{"provider_id": "D", "name": "two", "npi": "1234567893"}],
        enrollments=[
            {"enrollment_id": "e3", "member_id": "A", "plan_id": "P", "start_date": "2025-01-01"},
            {"enrollment_id": "e4", "member_id": "C", "plan_id": "P", "start_date": "2025-03-01"},
        ],
        claims=[
            {**claim, "claim_id": "c2", "service_date": "2025-01-11"},
            {**claim, "claim_id": "c6", "service_date": "2025-03-05"},
            {**claim, "claim_id": "c7", "service_date": "2025-03-05", "member_id": "C"},
        ],
    )


@pytest.fixture(scope="module")
def loaded(
    admin_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Name of a database that holds the two batches, cubes included."""
    name = "test_checks_loaded"
    with psycopg.connect(admin_url, autocommit=True) as admin:
        copy(admin, template, name)
        folder = tmp_path_factory.mktemp("checks")
        write_feeds(folder / "inbox")
        settings = Settings("", folder / "inbox", folder, reject_share=0.0)
        with open_run(url_of(admin_url, name), settings, Silent(), "incremental") as pipeline:
            commands.run_stages(pipeline, STAGES)
            commands.run_cubes(pipeline)
            # Its facts are history of before the first batch.
            pipeline.work.execute(
                "insert into quality.check_threshold (check_name, threshold_share, reason)"
                " select check_name, 1, 'history' from quality.check_definition"
                " where check_name like '%.values_known_on_day'"
            )
        yield name
        drop(admin, name)


@pytest.fixture
def warehouse_url(admin_url: str, loaded: str) -> Iterator[str]:
    """URL of a copy of the loaded database, for one test to damage."""
    yield from _copied(admin_url, loaded)


@pytest.fixture(scope="module")
def shared(admin_url: str, loaded: str) -> Iterator[psycopg.Connection]:
    """A connection to a copy that tests damage one after the other and put right again."""
    for url in _copied(admin_url, loaded):
        with unguarded(url) as connection:
            # As the checks have it, who are in the same transaction here.
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield connection


@pytest.fixture
def warehouse(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """A connection to a loaded database which neither foreign keys nor triggers hold back.

    What a test does is rolled back, unless it asks for the URL of a copy of its own too.
    """
    if "warehouse_url" in request.fixturenames:
        with unguarded(request.getfixturevalue("warehouse_url")) as connection:
            yield connection
    else:
        connection = request.getfixturevalue("shared")
        with connection.transaction(force_rollback=True):
            yield connection


def _copied(admin_url: str, loaded: str) -> Iterator[str]:
    name = f"test_checks_{next(_copies)}"
    with psycopg.connect(admin_url, autocommit=True) as admin:
        copy(admin, loaded, name)
        yield url_of(admin_url, name)
        drop(admin, name)


def found_by(connection: psycopg.Connection, name: str) -> Finding:
    """What one SQL check finds."""
    ((_, found),) = (a for a in run_sql_checks(connection, LIVE) if a[0].name == name)
    assert found is not None
    return found


def failing(connection: psycopg.Connection) -> dict[str, int | None]:
    """Names of the SQL checks that fail, with the rows that they count.

    The facts are history of before the first batch, which a check of its own says.
    """
    return {
        check.name: found and found.rows_failed
        for check, found in run_sql_checks(connection, LIVE)
        if (found is None or found.rows_failed) and not check.name.endswith("known_on_day")
    }


# One defect for each critical check in SQL, made behind the warehouse's back.
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
        f"{t}.neighbours_differ": f"update {t} set attr_hash = gen_random_uuid();"
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
        f"{t}.keyed_as_told": f"update {t} set member_sk = -1 {first}",
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
                f"update {t} as f set {sk} = later.{sk} from {d} as held"
                f" inner join {d} as later on held.validity_end_ts = later.validity_start_ts"
                f" and held.{reference.dimension.key[0]} = later.{reference.dimension.key[0]}"
                f" where f.{sk} = held.{sk}"
            ),
        }

for table in (*DIMENSIONS.values(), *FACTS.values()):
    past = table.past
    kept = f"create temporary table kept as select * from {table.table} limit 1;"
    DEFECTS |= {
        f"{past}.made_before_changed": f"{kept} update kept set load_id = 2;"
        f"insert into {past} select *, 1 from kept",
        f"{past}.changed_by_a_load": f"{kept} insert into {past} select *, 4 from kept",
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
    "claims_by_plan_metal_month.covered_days": (
        "update fact_enrollment set coverage_days = coverage_days + 1"
    ),
    "high_cost_member_tracking.rolling_paid": (
        "update fact_claim set paid_amount = paid_amount + 0.01 where claim_id = 'c1';"
        "update claims_daily_member set paid_usd = paid_usd + 0.01 where member_id = 'A'"
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
    "neighbours of one content and two hashes": (
        "dim_provider.neighbours_differ",
        "update dim_provider set name = 'one' where provider_id = 'D'",
    ),
    "a key that the dimension lost": (
        "dim_member.keys_match_staging",
        "delete from dim_member where member_id = 'B'",
    ),
    "a claim with another load than the one that told of it": (
        "fact_claim_state.states_match_staging",
        "update fact_claim set load_id = 1 where claim_id = 'c6'",
    ),
    "an earlier state that nobody told": (
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
    "a plan that is there twice": (
        "fact_claim.joins_keep_money",
        "alter table dim_plan drop constraint dim_plan_pkey cascade;"
        "update dim_plan set plan_sk = 1 where plan_sk = 2",
    ),
}


@pytest.mark.parametrize("what", MORE_DEFECTS)
def test_another_defect_is_found(warehouse, what):
    name, defect = MORE_DEFECTS[what]
    assert name not in failing(warehouse)
    warehouse.execute(defect)
    assert failing(warehouse)[name]


def test_the_restatement_of_its_own_dimension_may_end_a_version(warehouse):
    warehouse.execute(
        "insert into load (batch_id, as_of, status, is_rebuild, live_at)"
        " values ('restate dim_plan from 2025-02-10', '2025-02-10Z', 'loaded', false, now());"
        "insert into stage_run (load_id, stage, status)"
        " select max(load_id), 'restate', 'done' from load;"
        "update dim_plan set validity_end_ts = '2025-02-10' where plan_sk = 1"
    )
    assert failing(warehouse) == {}
    warehouse.execute("update load set batch_id = replace(batch_id, 'plan', 'member')")
    assert failing(warehouse) == {"dim_plan.version_end_has_cause": 1}


def test_a_delete_marker_explains_an_end_and_tells_of_no_key(warehouse, warehouse_url, tmp_path):
    write_batch(
        tmp_path / "inbox",
        "2025-03-31",
        {"batch_id": "2025-03-31", "as_of": "2025-03-31T00:00:00Z"},
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


def test_a_delete_marker_may_be_empty(warehouse, warehouse_url):
    warehouse.execute(
        "insert into providers_raw (load_id, source_line, provider_id, is_deleted)"
        " values (2, 9, 'D', true), (2, 10, 'D', false), (2, 11, 'D', null)"
    )
    report = run_checks(warehouse, warehouse_url, LIVE)
    assert warehouse.execute(
        "select rows_checked, rows_failed, failing_keys from check_result"
        " where check_name = 'providers_raw.name.not_null' and check_run_id = %s",
        [report.check_run_id],
    ).fetchone() == (
        4,
        2,
        [{"load_id": 2, "source_line": n, "provider_id": "D"} for n in (10, 11)],
    )


def test_what_was_told_before_states_were_kept_is_not_missed(warehouse):
    warehouse.execute("delete from fact_claim_state")
    assert failing(warehouse) == {"fact_claim_state.states_match_staging": 1}
    warehouse.execute("update load set live_at = null where load_id = 1")
    assert failing(warehouse) == {}


@pytest.mark.usefixtures("warehouse_url")  # guarded, so not in a transaction of the shared one
def test_a_change_by_hand_is_of_the_next_load(warehouse):
    warehouse.execute("set session_replication_role = origin")
    warehouse.execute("update dim_member set call_count = 9 where member_id = 'B'")
    assert failing(warehouse) == {"dim_member_past.present_is_last_known": 1}


# Rules of a whole table that no row is to blame for.
WITHOUT_KEYS = (
    "sk_unique",
    "joins_preserve_row_count",
    "joins_keep_money",
    "money_total",
    "covered_days",
)


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found(warehouse, name):
    warehouse.execute(DEFECTS[name])
    found = found_by(warehouse, name)
    assert found.rows_failed
    # The rows at fault are told by their keys, but for more of one key.
    if not name.endswith(WITHOUT_KEYS) and name not in ("fact_claim.one_row_per_key",):
        assert found.keys
        assert len(found.keys) <= found.rows_failed


@pytest.mark.parametrize(
    ("name", "defect", "keys"),
    [
        (
            "dim_member.attr_hash_recomputed",
            "update dim_member set last_name = 'changed' where member_sk = 2",
            [{"member_sk": 2}],
        ),
        (
            "dim_member.keys_match_staging",
            "delete from dim_member where member_id = 'B'",
            [{"member_id": "B"}],
        ),
        (
            "fact_claim.latest_state",
            "update fact_claim set status = 'x' where claim_id in ('c1', 'c6')",
            [{"claim_id": "c1"}, {"claim_id": "c6"}],
        ),
        (
            "fact_claim.one_row_per_key",
            "delete from fact_claim where claim_id = 'c1'",
            [{"claim_id": "c1"}],
        ),
        (
            "fact_claim.date_key.in_calendar",
            "update fact_claim set date_key = -1 where claim_id = 'c3'",
            [{"claim_id": "c3"}],
        ),
        (
            "claims_daily_member.money_as_in_facts",
            "update fact_claim set paid_amount = 0 where claim_id = 'c6'",
            [{"month": "2025-03-01"}],
        ),
        (
            "members_raw.rows_as_in_file",
            "delete from members_raw where load_id = 2 and source_line = 2",
            [{"load_id": 2}],
        ),
        (
            "fact_claim_state.states_match_staging",
            "update fact_claim_state set status = 'denied'",
            [{"claim_id": "c2", "load_id": 1}],
        ),
    ],
)
def test_failing_rows_are_told_by_their_keys(warehouse, name, defect, keys):
    warehouse.execute(defect)
    assert sorted(found_by(warehouse, name).keys, key=repr) == keys


def test_no_more_than_a_hundred_keys_are_kept(warehouse, warehouse_url):
    warehouse.execute(
        "insert into claims_raw (load_id, source_line, claim_id, service_date)"
        " select 2, 1000 + n, 'more' || n, '2025-03-01' from generate_series(1, 250) as n"
    )
    assert len(found_by(warehouse, "fact_claim.one_row_per_key").keys) == MOST_KEYS
    report = run_checks(warehouse, warehouse_url, LIVE)
    kept = dict(
        warehouse.execute(
            "select check_name, (rows_failed, jsonb_array_length(failing_keys)) from check_result"
            " where check_run_id = %s",
            [report.check_run_id],
        )
    )
    assert kept["fact_claim.one_row_per_key"] == ("250", "100")
    assert kept["claims_raw.status.not_null"] == ("250", "100")
    assert warehouse.execute(
        "select failing_keys -> 0 from check_result where check_name = 'claims_raw.status.not_null'"
        " and check_run_id = %s",
        [report.check_run_id],
    ).fetchone() == ({"load_id": 2, "source_line": 1001, "claim_id": "more1"},)


@pytest.mark.parametrize("number", [1, 3])
def test_keys_gathered_by_several_workers_are_no_more(database, number):
    """What a parallel scan puts together is what one process would."""
    database.execute("set search_path = quality")
    (kept,) = database.execute(
        "select add_keys(a, b) from (select some_keys(to_jsonb(n)) filter (where n <= 70) as a,"
        " some_keys(to_jsonb(n)) filter (where n > 70) as b"
        " from generate_series(1, 70 + 70 * %s) as n) as both_halves",
        [number],
    ).fetchone()
    assert kept == list(range(1, 101))


def test_a_sound_warehouse_passes_every_check(warehouse, warehouse_url):
    seen = []
    report = run_checks(warehouse, warehouse_url, LIVE, seen.append)
    # One claim names no member, and the text that fills the feeds is not what contracts expect:
    # that is reported and leaves the warehouse sound.
    assert [f.check.name for f in report.failures if f.check.severity != "minor"] == [
        "claims_raw.member_id.not_null"
    ]
    assert report.checks == len(all_checks()) == len(seen)
    assert report.failed_critical == 0


def test_an_empty_warehouse_passes_with_no_rows(database, database_url):
    with database.transaction():
        set_search_path(database, LIVE.schemas.path)
        run_cubes(database)
    report = run_checks(database, database_url, LIVE)
    assert report.failures == ()
    assert database.execute(
        "select sum(rows_checked), sum(rows_failed), bool_and(passed) from quality.check_result"
    ).fetchone() == (0, 0, True)


def test_a_run_is_recorded(warehouse, warehouse_url):
    warehouse.execute("delete from fact_claim where claim_id = 'c1'")
    report = run_checks(warehouse, warehouse_url, LIVE)
    assert warehouse.execute(
        "select checks, failed, failed_critical, finished_at is not null from check_run"
        " where check_run_id = %s",
        (report.check_run_id,),
    ).fetchone() == (report.checks, report.failed, report.failed_critical, True)
    assert warehouse.execute(
        "select table_name, severity, passed, rows_checked, rows_failed, message"
        " from check_result where check_run_id = %s and check_name = 'fact_claim.one_row_per_key'",
        (report.check_run_id,),
    ).fetchone() == (
        "fact_claim",
        "critical",
        False,
        7,
        1,
        "1 of 7: a row of staging is missing from the fact or there more than once.",
    )
    assert report.failures[0].check.severity == "critical"


def test_a_claim_that_is_there_twice_is_found(warehouse):
    warehouse.execute(
        "create temporary table more as select * from fact_claim where claim_id = 'c1';"
        "update more set service_date = '2025-01-09', date_key = 20250109;"
        "insert into fact_claim select * from more"
    )
    assert failing(warehouse)["fact_claim.one_row_per_key"] == 1


def test_a_total_that_the_manifest_gives_otherwise_is_found(warehouse):
    warehouse.execute(
        "update load_file set totals = jsonb_set(totals, '{paid_amount,expected}', '\"1.00\"')"
        " where feed = 'claims'"
    )
    assert failing(warehouse) == {"claims_raw.totals_as_in_file": 2}


def test_amounts_of_a_file_that_do_not_add_up_are_found(warehouse):
    warehouse.execute(
        "update load_file set totals = jsonb_set(totals, '{paid_amount,rejected}', '\"0.01\"')"
        " where feed = 'claims'"
    )
    assert failing(warehouse) == {"claims_raw.totals_as_in_file": 2}


def test_a_load_that_is_staged_only_is_not_missed_in_the_facts(warehouse):
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
        "insert into stage_run (load_id, stage, status)"
        " select max(load_id), 'facts', 'done' from load"
    )
    assert failing(warehouse) == {
        "fact_claim.one_row_per_key": 1,
        "fact_claim_state.states_match_staging": 1,
    }


def test_a_load_that_failed_is_no_part_of_the_build(warehouse):
    warehouse.execute("update load set status = 'failed' where batch_id = '2025-02-28'")
    assert failing(warehouse)["claims_raw.load_known"] == 3


def test_a_cube_that_was_never_made_fails_as_not_evaluated(warehouse, warehouse_url):
    warehouse.execute("drop table high_cost_member_tracking")
    assert failing(warehouse) == {"high_cost_member_tracking.rolling_paid": None}


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


def test_no_personal_value_is_stored_or_said(
    warehouse, warehouse_url, capfd, caplog, monkeypatch, tmp_path
):
    """Every personal column of staging holds a value that its contract refuses."""
    monkeypatch.chdir(tmp_path)
    marked = []
    for feed in FEEDS.values():
        for column in feed.columns:
            if column.pii is not Pii.NONE and column.type.stored == "text":
                secret = f"Tell-Tale {column.name}"
                marked.append(secret)
                for table in (
                    feed.table,
                    *(d.table for d in DIMENSIONS.values() if d.feed is feed),
                ):
                    warehouse.execute(
                        sql.SQL("update {} set {} = {}").format(
                            sql.Identifier(table), sql.Identifier(column.name), sql.Literal(secret)
                        )
                    )
    warehouse.execute("update members_raw set dob = '1907-03-07'")
    report = run_checks(warehouse, warehouse_url, LIVE)
    assert {"members_raw.zip.matches", "claims_raw.diagnosis_code.matches"} <= {
        failure.check.name for failure in report.failures
    }
    stored = warehouse.execute("select string_agg(r::text, '') from check_result as r").fetchone()[
        0
    ]
    said = capfd.readouterr()
    everything = "".join((stored, repr(report), said.out, said.err, caplog.text))
    assert "Tell-Tale" not in everything
    assert "1907-03-07" not in everything
    assert "Quigley" not in everything
    assert marked
    # Keys of rows are natural or surrogate ones, and say nothing else.
    shown = [key for f in report.failures if f.found for key in f.found.keys]
    assert shown
    assert {name for key in shown for name in key} <= {
        "load_id",
        "source_line",
        *(key for feed in FEEDS.values() for key in feed.key),
        *(dimension.sk for dimension in DIMENSIONS.values()),
        "month",
        "known_to_load_id",
    }
    assert (said.out, said.err) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_an_expectation_counts_the_rows_that_break_it(warehouse, warehouse_url):
    warehouse.execute(
        "update members_raw set gender = (array['f', 'M', 'fx', null, null])[row_number],"
        " fpl_ratio = (array[0, 100, -0.01, 100.01, null])[row_number],"
        " state = (array['TX', 'tx', 'TXX', 'TX' || chr(10), null])[row_number]"
        " from (select ctid, row_number() over () from members_raw) as numbered"
        " where numbered.ctid = members_raw.ctid;"
        "update fact_enrollment set coverage_days = 367 where enrollment_id = 'e4'"
    )
    run_checks(warehouse, warehouse_url, LIVE)
    found = dict(
        warehouse.execute("select check_name, (rows_checked, rows_failed) from check_result")
    )
    assert found["members_raw.gender.one_of"] == ("5", "1")
    assert found["members_raw.gender.not_null"] == ("5", "2")
    assert found["members_raw.fpl_ratio.between"] == ("5", "2")
    assert found["members_raw.state.matches"] == ("5", "3")
    assert found["fact_enrollment.coverage_days.between"] == ("3", "1")
    # The same said in SQL, for the keys of those rows, finds as many.
    kept = dict(warehouse.execute("select check_name, failing_keys from check_result"))
    for suite in suites():
        for expectation in suite.expectations:
            rows_failed = int(found[expectation.check.name][1])
            assert len(kept[expectation.check.name]) == rows_failed, expectation.check.name


def test_great_expectations_reads_a_table_twice(warehouse, warehouse_url):
    """Once to count its rows and once for all expectations; nothing else that it sends does."""
    sent = []

    def listen(_connection, _cursor, statement, values, _context, _many):
        sent.append((statement, values))

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        for suite in suites():
            sent.clear()
            list(run_suites(warehouse_url, LIVE.schemas, (suite,)))
            of_table = [(s, v) for s, v in sent if f"{suite.layer}.{suite.table}" in s]
            scans = [s for s, v in of_table if " LIMIT " not in s]
            assert len(scans) == 2, suite.table
            # Samples of values are cut off before the first; one row says that the table is there.
            for statement, values in of_table:
                if "unexpected_values" in statement:
                    assert list(values.values())[-1] == 0
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
