"""Thresholds change without running a check again, and the past is judged by them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from etl.config import ROOT
from etl.errors import UsageError
from etl.quality import thresholds
from etl.quality.runner import define
from etl.quality.thresholds import Wanted, change
from etl.schema import repeatable
from etl.warehouse.tables import LIVE
from tests.support.make import make

NAME = "fact_claim.amounts_in_order"


@pytest.fixture
def judged(database):
    """Four runs in which 0, 5, 20 and 40 of 1,000 claims were in the wrong order."""
    repeatable.ensure(database)
    database.execute(f"set search_path = {', '.join(LIVE.schemas.path)}")
    define(database)
    for failed in (0, 5, 20, 40):
        database.execute(
            "with r as (insert into check_run (finished_at) values (now()) returning check_run_id)"
            " insert into check_result (check_run_id, check_name, table_name, dimension, severity,"
            " passed, rows_checked, rows_failed) select check_run_id, %s, 'fact_claim', 'validity',"
            " 'major', %s, 1000, %s from r",
            [NAME, failed == 0, failed],
        )
    return database


def passed(connection):
    query = "select passed from check_judged where check_name = %s order by check_run_id"
    return [p for (p,) in connection.execute(query, [NAME])]


def test_changed_threshold_judges_past_results_again(judged):
    assert passed(judged) == [True, False, False, False]
    said = change(judged, Wanted(NAME, count=5, why="known"))
    assert said == (
        f"{NAME} passes with at most 5 rows (major); until now with at most 0 rows (major). "
        "1 of the last 4 results changes to passed."
    )
    assert passed(judged) == [True, True, False, False]
    # The wider of both counts; what is not given stays.
    said = change(judged, Wanted(NAME, share=0.02, severity="minor", why="known"))
    assert "at most 5 rows, or 0.02 of the rows checked (minor)" in said
    assert passed(judged) == [True, True, True, False]
    stored = [p for (p,) in judged.execute("select passed from check_result order by 1")]
    assert stored == [False, False, False, True]


def test_a_reset_goes_back_to_the_registry(judged):
    change(judged, Wanted(NAME, count=20, why="known"))
    said = change(judged, Wanted(NAME, reset=True))
    assert said.endswith("2 of the last 4 results change to failed.")
    assert passed(judged) == [True, False, False, False]
    assert judged.execute("select count(*) from check_threshold").fetchone() == (0,)


def test_threshold_records_who_changed_it_when_and_why(judged):
    change(judged, Wanted(NAME, count=1, why="known"))
    change(judged, Wanted(NAME, severity="minor", why="less so"))
    assert judged.execute(
        "select threshold, severity, reason, changed_by = session_user from check_threshold"
    ).fetchall() == [(1, "minor", "less so", True)]


def test_a_check_without_results_says_so(judged):
    said = change(judged, Wanted("dim_plan.no_overlap", count=1, why="known"))
    assert said.endswith("It has no results yet.")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Wanted(""), "Which check"),
        (Wanted(NAME), "What is to change"),
        (Wanted(NAME, count=1), "needs a reason"),
        (Wanted(NAME, count=1, why=" "), "needs a reason"),
        (Wanted(NAME, count=-1, why="x"), "COUNT is -1"),
        (Wanted(NAME, count=float("nan"), why="x"), "COUNT is nan"),
        (Wanted(NAME, share=1.5, why="x"), "SHARE is 1.5"),
        (Wanted(NAME, severity="worst", why="x"), "SEVERITY is 'worst'"),
        (Wanted(NAME, count=1, reset=True), "two things"),
        (Wanted("fact_claim.amount_in_order", count=1, why="x"), "There is no check"),
    ],
)
def test_invalid_threshold_is_refused_with_the_valid_ones(judged, wanted, says):
    with pytest.raises(UsageError, match=says) as raised:
        change(judged, wanted)
    assert raised.value.hint
    assert judged.execute("select count(*) from check_threshold").fetchone() == (0,)


def test_misspelled_check_is_answered_with_its_name(judged):
    with pytest.raises(UsageError) as raised:
        change(judged, Wanted("fact_claim.amount_in_order", count=1, why="x"))
    assert f"Is {NAME}" in raised.value.hint


def test_threshold_change_names_the_results_that_it_judges(judged, monkeypatch):
    monkeypatch.setattr(thresholds, "LATEST", 2)
    said = change(judged, Wanted(NAME, count=20, why="known"))
    assert said.endswith("1 of the last 2 results changes to passed.")


@pytest.mark.parametrize("arguments", [[], ["--check", NAME], ["--check", NAME, "--count", "1"]])
def test_threshold_command_requires_check_and_reason(arguments):
    ended = subprocess.run(
        [sys.executable, "-m", "etl", "dq-threshold", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert "make dq-threshold CHECK=" in ended.stderr


def test_make_target_passes_all_threshold_arguments():
    words = (f"CHECK={NAME}", "COUNT=3", "SHARE=0.1", "SEVERITY=minor")
    shown = make("dq-threshold", *words, "WHY=the sender's fault", "RESET=yes").stdout
    shown = shown.splitlines()[-1]
    assert shown.endswith(
        f"dq-threshold --check '{NAME}' --count '3' --share '0.1' --severity 'minor' "
        "--why 'the sender'\\''s fault' --reset"
    )
