"""The views on results, against a history of runs drawn by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from etl.contracts.refusals import Refusal
from etl.db.statements import run
from etl.errors import SchemaError
from etl.schema import objects, repeatable
from etl.warehouse.tables import LIVE

DAY = timedelta(days=1)
FIRST = datetime(2025, 1, 1, tzinfo=UTC)

# Name: table, dimension, severity, threshold, share.
CHECKS = {
    "a.critical": ("a", "consistency", "critical", 0, None),
    "a.major": ("a", "consistency", "major", 10, None),
    "a.minor": ("a", "validity", "minor", 0, 0.1),
    "b.minor": ("b", "validity", "minor", 0, None),
}
# A run a day, rows failed of 100 by check; None could not be evaluated.
RUNS = {
    1: {"a.critical": 0, "a.major": 10, "a.minor": 10, "b.minor": 0},
    2: {"a.critical": 1, "a.major": 11, "a.minor": 11, "b.minor": 0},
    3: {"a.critical": 2, "a.major": 0, "a.minor": 11, "b.minor": 0},
    4: {"a.critical": 0, "a.major": 0, "a.minor": 11, "b.minor": None},
    5: {"a.critical": 0, "a.major": 99, "a.minor": 0, "b.minor": 0},
}


@pytest.fixture
def drawn(database: psycopg.Connection) -> psycopg.Connection:
    repeatable.ensure(database)
    database.execute(
        f"set search_path = {', '.join(LIVE.schemas.path)}; set timezone = 'UTC';"
        " set intervalstyle = postgres"
    )
    for name, (table, dimension, severity, threshold, share) in CHECKS.items():
        database.execute(
            "insert into check_definition (check_name, table_name, dimension, severity,"
            " answered_by, means, advice, unit, threshold, threshold_share)"
            " values (%s, %s, %s, %s, 'sql', 'wrong', 'fix it', 'rows', %s, %s)",
            [name, table, dimension, severity, threshold, share],
        )
    for number, results in RUNS.items():
        add_run(database, number, results)
    return database


def add_run(connection, number, results, gate=None, finished=True):
    started = FIRST + number * DAY
    (run_id,) = connection.execute(
        "insert into check_run (started_at, finished_at, gate) values (%s, %s, %s)"
        " returning check_run_id",
        [started, started if finished else None, gate],
    ).fetchone()
    for name, failed in results.items():
        table, dimension, severity, *_ = CHECKS[name]
        connection.execute(
            "insert into check_result (check_run_id, check_name, table_name, dimension, severity,"
            " passed, rows_checked, rows_failed, failing_keys)"
            " values (%s, %s, %s, %s, %s, true, %s, %s, '[{\"k\": 1}]')",
            [
                run_id,
                name,
                table,
                dimension,
                severity,
                None if failed is None else 100,
                failed or 0,
            ],
        )
    return run_id


def rows(connection, query):
    return connection.execute(query).fetchall()


def test_results_are_judged_by_the_registry(drawn):
    assert rows(
        drawn, "select check_run_id, check_name from check_judged where not passed order by 1, 2"
    ) == [
        (2, "a.critical"),
        (2, "a.major"),
        (2, "a.minor"),
        (3, "a.critical"),
        (3, "a.minor"),
        (4, "a.minor"),
        (4, "b.minor"),
        (5, "a.major"),
    ]


def test_report_counts_the_latest_run_of_all_checks(drawn):
    add_run(drawn, 6, {"a.critical": 3}, gate="facts")
    add_run(drawn, 7, {"a.critical": 3}, finished=False)
    [(run_id, load_id, *counts)] = run(drawn, "reports/business.quality", {"load": None})
    # Of four checks a.major fails, one of two that compare.
    assert (run_id, load_id, *counts) == (5, None, 4, 1, 0, 2, 1)


def test_results_are_judged_by_a_threshold_before_the_registry(drawn):
    drawn.execute(
        "insert into check_threshold (check_name, threshold, threshold_share, severity, reason)"
        " values ('a.critical', 1, null, 'minor', 'x'), ('a.minor', null, 0.11, null, 'x')"
    )
    assert rows(
        drawn,
        "select check_run_id, check_name, severity, threshold from check_judged"
        " where not passed and check_name like 'a.%%' order by 1, 2",
    ) == [(2, "a.major", "major", 10), (3, "a.critical", "minor", 1), (5, "a.major", "major", 10)]


def test_a_measure_other_than_rows_is_what_counts(drawn):
    drawn.execute("update check_result set measured = 0.5 where check_name = 'a.critical'")
    drawn.execute("update check_definition set threshold = 0.5 where check_name = 'a.critical'")
    assert rows(
        drawn, "select bool_and(passed) from check_judged where check_name = 'a.critical'"
    ) == [(True,)]


def test_check_not_evaluated_passes_under_no_threshold(drawn):
    drawn.execute("update check_definition set threshold = 1000, threshold_share = 1")
    assert rows(drawn, "select check_run_id, check_name from check_judged where not passed") == [
        (4, "b.minor")
    ]


def test_result_of_a_removed_check_keeps_its_judgment(drawn):
    drawn.execute("delete from check_definition where check_name = 'a.minor'")
    drawn.execute("update check_result set threshold = 11 where check_name = 'a.minor'")
    assert rows(
        drawn,
        "select severity, bool_and(passed) from check_judged"
        " where check_name = 'a.minor' group by severity",
    ) == [("minor", True)]


def test_score_weights_checks_by_severity(drawn):
    assert rows(
        drawn,
        "select table_name, dimension, checks, failed, failed_critical, score::float8"
        " from check_score where check_run_id = 3 order by 1, 2",
    ) == [
        ("a", "consistency", 2, 1, 1, 0.375),  # 3 of 5 + 3
        ("a", "validity", 1, 1, 0, 0.0),
        ("b", "validity", 1, 0, 0, 1.0),
    ]


def test_trend_counts_only_runs_of_all_checks(drawn):
    assert rows(
        drawn,
        "select check_run_id, checks, failed, failed_critical, score::float8,"
        " score_change::float8 from check_trend order by 1",
    ) == [
        (1, 4, 0, 0, 1.0, None),
        (2, 4, 3, 1, 0.1, -0.9),
        (3, 4, 2, 1, 0.4, 0.3),
        (4, 4, 2, 0, 0.8, 0.4),
        (5, 4, 1, 0, 0.7, -0.1),
    ]


def test_an_episode_lasts_from_the_first_failure_to_the_run_that_passes(drawn):
    assert rows(
        drawn,
        "select check_name, severity, first_run_id, last_run_id, runs_failed, failing_since,"
        " resolved_at, time_to_resolve from check_episode order by 1, 3",
    ) == [
        ("a.critical", "critical", 2, 3, 2, FIRST + 2 * DAY, FIRST + 4 * DAY, 2 * DAY),
        ("a.major", "major", 2, 2, 1, FIRST + 2 * DAY, FIRST + 3 * DAY, DAY),
        ("a.major", "major", 5, 5, 1, FIRST + 5 * DAY, None, None),
        ("a.minor", "minor", 2, 4, 3, FIRST + 2 * DAY, FIRST + 5 * DAY, 3 * DAY),
        ("b.minor", "minor", 4, 4, 1, FIRST + 4 * DAY, FIRST + 5 * DAY, DAY),
    ]


def test_failing_now_shows_the_latest_complete_run(drawn):
    now = (
        "select check_name, severity, rows_failed, advice, failing_since, runs_failed,"
        " failing_keys from failing_now"
    )
    failing = ("a.major", "major", 99, "fix it", FIRST + 5 * DAY, 1, [{"k": 1}])
    assert rows(drawn, now) == [failing]
    # Neither a gate nor an interrupted run counts as a complete run.
    add_run(drawn, 6, {"b.minor": 1}, gate="dims")
    add_run(drawn, 6, {}, finished=False)
    assert rows(drawn, now) == [failing]
    assert rows(drawn, "select count(*) from check_trend") == [(5,)]
    add_run(drawn, 7, {"b.minor": 2, "a.major": 99, "a.critical": 1})
    assert [name for name, *_ in rows(drawn, now)] == ["a.critical", "a.major", "b.minor"]
    since = "select check_name, failing_since, runs_failed from"
    assert rows(drawn, f"{since} failing_now order by 1") == rows(
        drawn, f"{since} check_episode where resolved_at is null order by 1"
    )
    # One that is still at work has not made anything fail for longer.
    add_run(drawn, 8, {"a.major": 99}, finished=False)
    assert ("a.major", FIRST + 5 * DAY, 2) in rows(drawn, f"{since} failing_now")


def test_a_check_that_a_run_left_out_is_neither_resolved_nor_failing_longer(drawn):
    add_run(drawn, 6, {"a.critical": 0})
    add_run(drawn, 7, {"a.major": 99})
    assert rows(
        drawn,
        "select first_run_id, last_run_id, runs_failed, resolved_at from check_episode"
        " where check_name = 'a.major' and first_run_id = 5",
    ) == [(5, 7, 2, None)]


def test_time_to_resolve_is_the_median_of_episodes(drawn):
    assert rows(
        drawn,
        "select severity, episodes, unresolved, median_time_to_resolve, longest_time_to_resolve"
        " from time_to_resolve order by 1",
    ) == [
        ("critical", 1, 0, 2 * DAY, 2 * DAY),
        ("major", 2, 1, DAY, DAY),
        ("minor", 2, 0, 2 * DAY, 3 * DAY),
    ]


# Load: batch, day of as_of, status, files by feed with their status.
LOADS = [
    ("jan", 31, "superseded", {"claims": "loaded"}),
    ("jan", 31, "loaded", {"claims": "loaded", "plans": "loaded"}),
    ("feb", 59, "loaded", {"claims": "loaded", "plans": "skipped"}),
    ("mid-feb", 45, "loaded", {"claims": "loaded"}),
    ("mar", 90, "failed", {"claims": "refused"}),
    ("apr", 120, "running", {"claims": "loaded"}),
]


@pytest.fixture
def arrived(drawn):
    for batch, day, status, files in LOADS:
        (load_id,) = drawn.execute(
            "insert into load (batch_id, as_of, status, is_rebuild) values (%s, %s, %s, false)"
            " returning load_id",
            [batch, FIRST + day * DAY, status],
        ).fetchone()
        for feed, of_file in files.items():
            drawn.execute(
                "insert into load_file (load_id, feed, file_name, kind, status, refusal_code,"
                " size_bytes, modified_ns, xxh3_128, rows_read, rows_loaded)"
                " values (%s, %s, 'x', 'delta', %s, %s, 1, 1, gen_random_uuid(), 7, %s)",
                [
                    load_id,
                    feed,
                    of_file,
                    Refusal.TOO_MANY_REJECTED if of_file == "refused" else None,
                    7 if of_file == "loaded" else 0,
                ],
            )
    return drawn


def test_arrivals_are_in_the_order_of_batches(arrived):
    assert rows(
        arrived, "select feed, batch_id, status, since_last from feed_arrival order by 1, as_of"
    ) == [
        ("claims", "jan", "loaded", None),
        ("claims", "mid-feb", "loaded", 14 * DAY),
        ("claims", "feb", "loaded", 14 * DAY),
        ("claims", "apr", "loaded", 61 * DAY),
        ("plans", "jan", "loaded", None),
        ("plans", "feb", "skipped", 28 * DAY),
    ]


def test_freshness_is_against_the_clock_and_against_the_newest(arrived):
    assert rows(
        arrived,
        "select feed, latest_as_of, behind, files, usual_interval, age = now() - latest_as_of"
        " from feed_freshness order by 1",
    ) == [
        ("claims", FIRST + 120 * DAY, timedelta(0), 4, 14 * DAY, True),
        ("plans", FIRST + 59 * DAY, 61 * DAY, 2, 28 * DAY, True),
    ]


@pytest.fixture
def change(monkeypatch):
    """Replaces the text of a statement, as a later version of the code would."""
    real = objects.described

    def replaced(statement, old, new):
        comment, text = real(statement)
        assert old in text
        changed = comment, text.replace(old, new, 1)
        monkeypatch.setattr(
            objects, "described", lambda name: changed if name == statement else real(name)
        )
        repeatable.kept.cache_clear()

    yield replaced
    repeatable.kept.cache_clear()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("as score_change", "as score_change,\n    1 as one"),
        # Columns before others: the view cannot be replaced where it is.
        ("s.check_run_id,", "s.check_run_id,\n    1 as one,"),
    ],
)
def test_changed_view_is_created_again_with_its_grants(drawn, change, old, new):
    drawn.execute(
        "drop role if exists quality_reader; create role quality_reader;"
        "grant select on quality.check_trend to quality_reader"
    )
    change("quality/views.check_trend", old, new)
    granted = "select has_table_privilege('quality_reader', 'quality.check_trend', 'select')"
    try:
        repeatable.ensure(drawn)
        assert rows(drawn, "select distinct one from check_trend") == [(1,)]
        assert rows(drawn, granted) == [(True,)]
        # A view without a change is not created again.
        made = "select oid, xmin from pg_class where relnamespace = 'quality'::regnamespace"
        before = rows(drawn, made)
        repeatable.ensure(drawn)
        assert rows(drawn, made) == before
    finally:
        drawn.execute("drop owned by quality_reader; drop role quality_reader")


def test_view_of_a_user_follows_a_change_that_keeps_its_columns(drawn, change):
    drawn.execute("create view public.mine as select * from quality.check_trend")
    change("quality/views.check_score", "5::numeric", "50::numeric")
    before = rows(drawn, "select score from public.mine")
    repeatable.ensure(drawn)
    assert rows(drawn, "select score from public.mine") != before


def test_view_of_a_user_on_a_changed_view_is_not_dropped(drawn, change):
    drawn.execute("create view public.mine as select * from quality.check_trend")
    change("quality/views.check_score", "j.started_at,\n", "j.started_at as began,\n")
    with pytest.raises(SchemaError, match="other views read from it"):
        repeatable.ensure(drawn)
    assert rows(drawn, "select count(*) from public.mine") == [(5,)]
