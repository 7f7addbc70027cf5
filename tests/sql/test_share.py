"""A share of the months: it finds in its claims what a look at everything finds in them."""

from __future__ import annotations

from datetime import date

import psycopg
import pytest

from etl.contracts.checks import Finding
from etl.quality import runner, share
from etl.quality.checks.registry import names_by_month, sql_checks
from etl.quality.runner import CheckReport, run_checks, run_share, run_sql_checks
from etl.quality.share import Look, plan
from etl.warehouse.tables import LIVE
from tests.support.check_defects import DEFECTS
from tests.support.warehouse import found_by

MONTHS = (date(2025, 1, 1), date(2025, 2, 1), date(2025, 3, 1))
IN_SQL = {check.name for entry in sql_checks() for check in entry.checks.values()}
BY_MONTH = sorted(names_by_month() & DEFECTS.keys())


@pytest.fixture(autouse=True)
def many_claims(monkeypatch):
    """As few claims as these tests have are taken for very many."""
    monkeypatch.setattr(share, "WHOLE_UP_TO", 0)


def found_in(
    connection: psycopg.Connection, *months: date, loads: tuple[int, ...] = (), name: str = ""
) -> dict[str, Finding | None]:
    """What each check, or that of a name, finds in a share, by name."""
    look = Look(months, len(MONTHS), 2, loads)
    # What was taken is gone with the transaction, of which the test's own is one more.
    with connection.transaction(force_rollback=True):
        found = run_share(connection, LIVE, look, [], wanted=lambda check: name in ("", check.name))
        return {check.name: finding for check, finding in found}


def counts(finding: Finding | None) -> tuple[int, int, int | None] | None:
    return finding and (finding.rows_checked, finding.rows_failed, finding.rows_judged)


def test_a_share_of_all_months_finds_what_everything_has_in_a_sound_warehouse(warehouse):
    whole = {check.name: counts(finding) for check, finding in run_sql_checks(warehouse, LIVE)}
    share = {n: counts(f) for n, f in found_in(warehouse, *MONTHS).items() if n in IN_SQL}
    assert share == whole


@pytest.mark.parametrize("name", BY_MONTH)
def test_a_share_finds_a_defect_of_its_month_and_counts_it_as_a_whole_look_does(warehouse, name):
    warehouse.execute(DEFECTS[name])
    of_all = found_in(warehouse, *MONTHS, name=name)[name]
    assert counts(of_all) == counts(found_by(warehouse, name))
    found = [found_in(warehouse, month, name=name)[name] for month in MONTHS]
    assert any(finding and finding.rows_failed for finding in found)


def test_no_share_of_a_sound_warehouse_fails(warehouse):
    for months in (MONTHS[:1], MONTHS[1:2], MONTHS[2:], ()):
        for loads in ((), (2,)):
            found = found_in(warehouse, *months, loads=loads)
            failing = {name for name, f in found.items() if f is None or f.rows_failed}
            # The text that fills the feeds is not what contracts expect, and a claim names nobody.
            assert {n for n in failing if n in IN_SQL} <= {
                "fact_claim.values_known_on_day",
                "fact_enrollment.values_known_on_day",
            }


@pytest.mark.slow
def test_what_contracts_say_counts_the_same_on_a_share(warehouse, warehouse_url):
    warehouse.execute("update fact_claim set status = 'x' where claim_id in ('c1', 'c6')")

    def look_at(nights: int | None) -> int:
        return run_checks(warehouse, warehouse_url, LIVE, nights=nights).check_run_id

    asked = (
        "select check_name, rows_checked, rows_failed, coalesce(rows_judged, 0) from check_result"
        " where check_run_id = %s and not check_name = any(%s)"
    )
    whole, share = (
        {name: counts for name, *counts in warehouse.execute(asked, [look_at(n), [*IN_SQL]])}
        for n in (None, 1)
    )
    assert share == whole
    assert whole["fact_claim.status.one_of"][1] == 2


def test_claims_of_loads_since_the_last_look_are_looked_at(warehouse):
    # c2 of January came again with the second load, which brought c6 and c7 of March too.
    found = found_in(warehouse, loads=(2,))
    assert found["fact_claim.one_row_per_key"] == Finding(3, 0)
    warehouse.execute("update fact_claim set paid_amount = 1 where claim_id in ('c1', 'c2')")
    assert found_in(warehouse, loads=(2,))["fact_claim.latest_state"].keys == ({"claim_id": "c2"},)


@pytest.fixture
def look(warehouse, warehouse_url, monkeypatch):
    """Runs a look at one of so many shares; ``None``: at everything but what contracts say."""
    monkeypatch.setattr(runner, "run_suites", lambda *_: iter(()))

    def run(nights: int | None) -> CheckReport:
        return run_checks(warehouse, warehouse_url, LIVE, nights=nights)

    return run


def critical(report: CheckReport) -> set[str]:
    """Critical failures of checks that a share is enough for; those of cubes look at all facts."""
    failed = {f.check.name for f in report.failures if f.check.severity == "critical"}
    return failed & names_by_month()


def test_a_fault_of_an_old_month_is_found_within_the_nights(warehouse, look):
    # The first look is at everything, whatever was asked for.
    assert look(3).look == Look(MONTHS, 3)
    warehouse.execute("update fact_claim set paid_amount = 1 where claim_id = 'c6'")
    reports = [look(3) for _ in MONTHS]
    # Those of one look come in the order of the calendar.
    assert [report.look.months for report in reports] == [(month,) for month in MONTHS]
    assert [bool(critical(report)) for report in reports] == [False, False, True]
    # Until it is repaired, its month is looked at with the next share.
    assert look(3).look.months == (MONTHS[0], MONTHS[2])
    warehouse.execute("update fact_claim set paid_amount = 60000 where claim_id = 'c6'")
    after = look(3)
    assert after.look.months == MONTHS
    assert critical(after) == set()
    assert after.still_open == ()


def test_everything_finds_at_once_what_a_share_has_not_come_to(warehouse, look):
    look(None)
    warehouse.execute("update fact_claim set paid_amount = 1 where claim_id = 'c6'")
    assert critical(look(3)) == set()
    assert "fact_claim.latest_state" in critical(look(None))


def test_a_failure_lasts_until_its_months_were_looked_at_again(warehouse, look):
    look(None)
    # Denied, and paid: a major failure.
    warehouse.execute(
        "update claims_raw set paid_amount = 1 where claim_id = 'c3';"
        "update fact_claim set paid_amount = 1 where claim_id = 'c3';"
        "update fact_claim_line set paid_amount = 1 where claim_id = 'c3'"
    )
    name = "fact_claim.denied_pays_nothing"
    failing = "select rows_failed from failing_now where check_name = %s"
    first = look(3)
    assert name in {f.check.name for f in first.failures}
    warehouse.execute(
        "update claims_raw set paid_amount = 0 where claim_id = 'c3';"
        "update fact_claim set paid_amount = 0 where claim_id = 'c3';"
        "update fact_claim_line set paid_amount = 0 where claim_id = 'c3'"
    )
    for month in MONTHS[1:]:
        report = look(3)
        assert month in report.look.months
        if MONTHS[0] not in report.look.months:
            assert name in report.still_open
            assert warehouse.execute(failing, [name]).fetchall() == [(1,)]
    assert name not in look(3).still_open
    assert warehouse.execute(failing, [name]).fetchall() == []


def test_a_look_that_was_cut_short_counts_for_nothing(warehouse, look):
    look(None)
    months = [look(3).look.months for _ in range(2)]
    warehouse.execute(
        "update check_run set finished_at = null"
        " where check_run_id = (select max(check_run_id) from check_run)"
    )
    assert look(3).look.months == months[1]


def test_more_months_than_nights_share_a_night(warehouse, look):
    look(None)
    loads = [1, 2]
    assert plan(warehouse, LIVE, loads, 2).months == MONTHS[:2]
    assert plan(warehouse, LIVE, loads, 30).months == MONTHS[:1]


def test_a_look_says_since_when_every_claim_was_looked_at(warehouse, look):
    look(None)
    for _ in MONTHS:
        look(3)
    (all_since,) = warehouse.execute(
        "select all_since from check_run order by check_run_id desc limit 1"
    ).fetchone()
    started = [
        at
        for (at,) in warehouse.execute(
            "select started_at from check_run where gate is null order by check_run_id"
        )
    ]
    # That of the first of the three shares: each of its months was looked at then or later.
    assert all_since == started[1]


def test_a_look_at_a_build_that_is_not_live_is_none_at_what_is(warehouse, look):
    look(None)
    warehouse.execute("update load set status = 'failed'; update check_run set load_id = 1")
    warehouse.execute(
        "insert into load (batch_id, as_of, status, is_rebuild, live_at)"
        " values ('other', '2025-02-28', 'loaded', true, now())"
    )
    assert look(3).look.is_whole


def test_of_few_claims_each_look_is_at_everything(warehouse, look, monkeypatch):
    warehouse.execute("analyze fact_claim")
    (claims,) = warehouse.execute("select count(*) from fact_claim").fetchone()
    for most, is_whole in ((claims - 1, False), (claims, True)):
        monkeypatch.setattr(share, "WHOLE_UP_TO", most)
        look(None)
        assert look(3).look.is_whole is is_whole
