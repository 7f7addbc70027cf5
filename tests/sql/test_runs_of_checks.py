"""Every check run at once, Great Expectations included: what is recorded, and what never is."""

from __future__ import annotations

import pytest
from psycopg import sql
from sqlalchemy import event
from sqlalchemy.engine import Engine

from etl.contracts.checks import MOST_KEYS
from etl.contracts.column import Pii
from etl.contracts.feeds import FEEDS
from etl.db.connection import set_search_path
from etl.quality.great_expectations import run_suites
from etl.quality.runner import all_checks, run_checks
from etl.render.expectations import suites
from etl.stages.cubes.refresh import run_cubes
from etl.warehouse.tables import DIMENSIONS, LIVE
from tests.support.warehouse import found_by


@pytest.mark.slow
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
    ).fetchone() == (4, 2, [{"load_id": 2, "source_line": n, "provider_id": "D"} for n in (10, 11)])


@pytest.mark.slow
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
    # The run is of what is there: of the latest load, and of no gate.
    assert warehouse.execute(
        "select load_id, gate from check_run where check_run_id = %s", [report.check_run_id]
    ).fetchone() == (2, None)


def test_an_empty_warehouse_passes_with_no_rows(database, database_url):
    with database.transaction():
        set_search_path(database, LIVE.schemas.path)
        run_cubes(database)
    report = run_checks(database, database_url, LIVE)
    assert report.failures == ()
    # Who may see what, and which indexes there are, is declared of tables without rows too.
    assert database.execute(
        "select sum(rows_checked) filter (where table_name not in ('access', 'planner')), "
        "sum(rows_failed), bool_and(passed) from quality.check_result"
    ).fetchone() == (0, 0, True)


@pytest.mark.slow
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


@pytest.mark.slow
def test_run_of_checks_stores_and_prints_no_personal_value(
    warehouse, warehouse_url, capfd, caplog, monkeypatch, tmp_path
):
    """Every personal column of staging has a value that its contract refuses."""
    monkeypatch.chdir(tmp_path)
    marked = []
    for feed in FEEDS.values():
        for column in feed.columns:
            if column.pii is not Pii.NONE and column.type.stored == "text":
                secret = f"SecretTag {column.name}"
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
    assert "SecretTag" not in everything
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
    # The same condition in SQL, for the keys of those rows, finds as many.
    kept = dict(warehouse.execute("select check_name, failing_keys from check_result"))
    for suite in suites():
        for expectation in suite.expectations:
            rows_failed = int(found[expectation.check.name][1])
            assert len(kept[expectation.check.name]) == rows_failed, expectation.check.name


@pytest.mark.slow
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
