"""Service levels over days: what is noticed when, counted and written down."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from etl.config import Settings
from etl.db.statements import run
from etl.errors import UsageError
from etl.operations import budget, incidents, judge, review
from etl.operations.metrics import METRICS
from etl.operations.objectives import OBJECTIVES, latest_deadline
from tests.support.health import DEAD, MINUTE, arrived, at, broken, ended, look
from tests.support.receiver import Receiver

NEW_YORK = ZoneInfo("America/New_York")


def test_deadline_follows_the_clocks_of_its_zone() -> None:
    due = time(6)
    # In New York clocks go forward on 2026-03-08 and back on 2026-11-01.
    assert latest_deadline(at("2026-03-07T12:00"), due, NEW_YORK) == at("2026-03-07T11:00")
    assert latest_deadline(at("2026-03-08T10:00"), due, NEW_YORK) == at("2026-03-08T10:00")
    assert latest_deadline(at("2026-03-08T09:59"), due, NEW_YORK) == at("2026-03-07T11:00")
    assert latest_deadline(at("2026-11-01T10:59"), due, NEW_YORK) == at("2026-10-31T10:00")
    assert latest_deadline(at("2026-11-01T11:00"), due, NEW_YORK) == at("2026-11-01T11:00")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (None, "No load began since."),
        ("hung", "incremental began at 2026-03-03 02:00 UTC and has not ended."),
        (
            "CheckFailedError",
            "incremental began at 2026-03-03 02:00 UTC and ended at 02:10 with CheckFailedError.",
        ),
    ],
    ids=["no run", "a run that hangs", "a run that failed"],
)
def test_night_without_a_load_is_alerted_within_a_minute_once_and_its_end_too(
    database: psycopg.Connection[Any],
    chosen: Settings,
    receiver: Receiver,
    error: str | None,
    why: str,
) -> None:
    ended(database, at("2026-03-02T05:59"))
    if error is not None:
        end = None if error == "hung" else at("2026-03-03T02:10")
        failed = None if error == "hung" else error
        ended(database, end, began=at("2026-03-03T02:00"), error=failed)
    now = at("2026-03-03T05:30")
    while now < at("2026-03-03T06:00"):
        assert look(chosen, now).state == "ok"
        now += 15 * MINUTE
    assert receiver.posts == []
    found = look(chosen, at("2026-03-03T06:00:30"))
    assert found.state == "breach"
    assert broken(found) == {("nightly_load", "")}
    assert found.broken[0].why == why
    assert receiver.kinds() == [("begun", "nightly_load")]
    assert look(chosen, at("2026-03-03T06:01:30")).state == "breach"
    ended(database, at("2026-03-03T06:20"))
    assert look(chosen, at("2026-03-03T06:21")).state == "ok"
    assert look(chosen, at("2026-03-03T06:22")).state == "ok"
    assert receiver.kinds() == [("begun", "nightly_load"), ("recovered", "nightly_load")]
    [incident] = incidents.latest(database)
    assert incident.began_at == at("2026-03-03T06:00")
    assert incident.detected_at == at("2026-03-03T06:00:30")
    assert incident.resolved_at == at("2026-03-03T06:21")
    # The late load of one night is not that of the next one.
    assert broken(look(chosen, at("2026-03-04T06:00"))) == {("nightly_load", "")}


# Loads end at 05:00, but for two nights; claims and members are late once. Minutes by hand.
OUTAGES = """
| objective      | subject | broken      | detected    | met again   | detect | repair |
|----------------|---------|-------------|-------------|-------------|--------|--------|
| nightly_load   |         | 01-10 06:00 | 01-10 06:01 | 01-10 09:01 |      1 |    180 |
| nightly_load   |         | 02-01 06:00 | 02-01 06:05 | 02-01 07:05 |      5 |     60 |
| feed_freshness | claims  | 02-10 00:00 | 02-10 00:02 | 02-12 00:00 |      2 |   2878 |
| feed_freshness | members | 02-11 00:00 | 02-11 00:02 | 02-13 00:00 |      2 |   2878 |
"""
# Incidents, MTTD, MTTR, budget left. Of 90 days of 1,440 minutes loads may be late for 1 %, 1,296
# minutes: 181 + 65 were. Feeds for 3 %, 3,888: 4,320 were, from 02-10 to 02-13; two late feeds at
# once count once.
BY_HAND = {
    "nightly_load": (2, 3.0, 120.0, 1 - 246 / 1296),
    "feed_freshness": (2, 2.0, 2878.0, 1 - 4320 / 3888),
}


def test_ninety_days_with_known_outages_are_counted_as_by_hand(
    database: psycopg.Connection[Any], chosen: Settings
) -> None:
    outages = [
        (row[0], row[1], *(at(f"2026-{cell}") for cell in row[2:5]))
        for line in OUTAGES.strip().splitlines()[2:]
        for row in [[cell.strip() for cell in line.strip("|").split("|")]]
    ]
    first, last = at("2026-01-01T00:00"), at("2026-04-01T00:00")
    late = {met.date(): met for name, *_, met in outages if name == "nightly_load"}
    for day in range(90):
        night = first + timedelta(days=day, hours=5)
        ended(database, late.get(night.date(), night))
    # Claims and members come every 31 days at the latest, but for what the table says.
    for _, feed, due, _, met in outages:
        if feed:
            for when in (first, due - timedelta(days=31), met, met + timedelta(days=30)):
                arrived(database, feed, when)
    for feed in ("enrollments", "providers", "plans"):
        for when in (first, first + timedelta(days=30), first + timedelta(days=60)):
            arrived(database, feed, when)
    looks = {when for *_, detected, met in outages for when in (detected, met)}
    looks |= {first + timedelta(days=d, hours=12) for d in range(0, 90, 10)}
    for now in sorted(looks):
        look(chosen, now)
    found = {
        r.objective.name: (r.incidents, r.mttd, r.mttr, r.budget_left)
        for r in budget.records(database, last)
    }
    for name, (count, detect, repair, left) in BY_HAND.items():
        assert found[name] == (count, detect * 60, repair * 60, pytest.approx(left)), name
    backups = {"backup_age": 1, "drill_age": 1}  # none was made in all that time
    others = {o.name: found[o.name][0] for o in OBJECTIVES if o.name not in BY_HAND}
    assert {name: count for name, count in others.items() if count} == backups
    assert [
        (i.objective, i.subject, i.began_at, i.detected_at, i.resolved_at)
        for i in sorted(incidents.latest(database), key=lambda i: i.detected_at)
        if i.objective in BY_HAND
    ] == outages
    # An outage that is partly before the window counts from where the window begins.
    later = budget.records(database, at("2026-02-11T12:00") + timedelta(days=90))
    (freshness,) = (r for r in later if r.objective.name == "feed_freshness")
    assert freshness.broken_seconds == timedelta(days=1, hours=12).total_seconds()


def test_backup_and_drill_are_due_from_the_first_load_on(
    database: psycopg.Connection[Any], chosen: Settings
) -> None:
    first = at("2026-03-01T00:00")
    ended(database, first)
    assert {name for name, _ in broken(look(chosen, first))} == set()
    for feed in ("claims", "enrollments", "members", "plans", "providers"):
        arrived(database, feed, first)
    assert broken(look(chosen, first + timedelta(hours=26))) == set()
    late = look(chosen, first + timedelta(hours=26, minutes=1))
    assert ("backup_age", "") in broken(late)
    database.execute(
        "insert into ledger.backup (kind, started_at, finished_at, path, bytes) "
        "values ('full', %(at)s, %(at)s, 'b', 1)",
        {"at": first + timedelta(hours=26)},
    )
    assert ("backup_age", "") not in broken(look(chosen, first + timedelta(hours=27)))
    assert ("drill_age", "") not in broken(look(chosen, first + timedelta(days=30)))
    month = look(chosen, first + timedelta(days=30, minutes=1))
    [drill] = [j for j in month.broken if j.objective.name == "drill_age"]
    assert (drill.state, drill.broken_since) == ("warning", first + timedelta(days=30))
    # What has failed proves nothing; what is gone is no backup.
    for succeeded, hours in ((False, 1), (True, 2)):
        database.execute(
            "insert into ledger.drill (backup_id, started_at, finished_at, succeeded, rto_seconds, "
            "rpo_seconds, message) values (1, %(at)s, %(at)s, %(succeeded)s, 1, 1, '')",
            {"at": first + timedelta(days=30, hours=hours), "succeeded": succeeded},
        )
    assert ("drill_age", "") in broken(look(chosen, first + timedelta(days=30, hours=1.5)))
    assert ("drill_age", "") not in broken(look(chosen, first + timedelta(days=30, hours=3)))
    database.execute("update ledger.backup set deleted_at = finished_at")
    [backup] = [
        j
        for j in look(chosen, first + timedelta(days=31)).broken
        if j.objective.name == "backup_age"
    ]
    assert backup.broken_since == first + timedelta(hours=26)


def test_feed_that_brings_the_same_bytes_again_is_not_late(
    database: psycopg.Connection[Any], chosen: Settings
) -> None:
    arrived(database, "claims", at("2026-03-01T00:00"))
    arrived(database, "claims", at("2026-03-20T00:00"), status="skipped")
    assert ("feed_freshness", "claims") not in broken(look(chosen, at("2026-04-10T00:00")))
    assert ("feed_freshness", "claims") in broken(look(chosen, at("2026-04-21T00:00")))


def test_sender_whose_files_wait_is_a_warning_until_it_is_resumed(
    database: psycopg.Connection[Any], chosen: Settings
) -> None:
    ended(database, at("2026-03-03T05:00"))
    arrived(database, "claims", at("2026-03-03T00:00"))
    database.execute(
        "insert into ledger.held_feed (sender, feed, held_since, after_load_id) "
        "values ('claims', 'claims', '2026-03-03 05:00+00', 1), "
        "('a_sender', 'plans', '2026-03-03 05:00+00', 1)"
    )
    found = look(chosen, at("2026-03-03T05:01"))
    assert found.state == "warning"
    assert broken(found) == {("held_feed", "claims"), ("held_feed", "a_sender plans")}
    database.execute(
        "update ledger.held_feed set resumed_at = '2026-03-03 06:00+00', resumed_by = 'jdoe'"
    )
    assert broken(look(chosen, at("2026-03-03T06:01"))) == set()


def test_disk_without_room_for_a_full_load_is_a_warning(
    database: psycopg.Connection[Any], chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(database, at("2026-03-03T05:00"))
    (need,) = database.execute(
        "select 3 * sum(pg_total_relation_size(c.oid)) from pg_class as c "
        "where c.relnamespace in ('staging'::regnamespace, 'warehouse'::regnamespace, "
        "'cubes'::regnamespace, 'internal'::regnamespace) and c.relkind in ('r', 'm')"
    ).fetchone() or (0,)
    for free, expected in ((need, set()), (2**20, {("disk_room", "")}), (None, set())):
        monkeypatch.setattr(judge, "_disk_free", lambda _, free=free: free)
        assert broken(look(chosen, at("2026-03-03T05:01"))) == expected


def test_share_of_loads_that_ended_well_counts_runs_by_their_last_try(
    database: psycopg.Connection[Any], chosen: Settings
) -> None:
    first = at("2026-03-01T05:00")
    for day in range(10):
        ended(database, first + timedelta(days=day))
    now = first + timedelta(days=9, hours=2)
    # A run that ended well at its second try.
    database.execute(
        "update ledger.attempt set error_class = 'ServerError' where attempt_id = 3;"
        "insert into ledger.attempt (run_began_at, number, command, began_at, ended_at) "
        "select run_began_at, 2, command, ended_at, ended_at from ledger.attempt "
        "where attempt_id = 3"
    )
    assert broken(look(chosen, now)) == set()
    ended(database, now, error="CheckFailedError")
    assert broken(look(chosen, now)) == set()  # 10 of 11
    ended(database, now + MINUTE, error="CheckFailedError")
    found = look(chosen, now + 2 * MINUTE)
    assert broken(found) == {("load_success", "")}
    assert found.broken[0].measured == pytest.approx(10 / 12)
    assert found.broken[0].broken_since == now + MINUTE
    assert found.state == "warning"


def test_each_report_is_too_slow_since_it_first_was(database: psycopg.Connection[Any]) -> None:
    now = at("2026-03-31T12:00")
    for day, quick, slow in ((1, 99, 99), (10, 1, 1), (20, 1, 9), (30, 1, 9)):
        arrived(database, "plans", at(f"2026-03-{day:02d}"))
        database.execute(
            "insert into ledger.report_plan (report, load_id, recorded_at, shape, shape_hash, cost,"
            " rows, seconds) select r.report, l.load_id, l.as_of, '', '', 1, 1, r.seconds from"
            " (select * from ledger.load order by load_id desc limit 1) as l,"
            " (values ('quick', %s::float8), ('slow', %s)) as r (report, seconds)",
            [quick, slow],
        )
    found = run(database, "operations/objectives.report_seconds", {"now": now, "limit": 5.0})
    assert [(subject, seconds, since) for subject, seconds, _, since in found] == [
        ("quick", 1, None),
        ("slow", 9, at("2026-03-20T00:00")),
    ]


def test_metrics_are_whole_and_read_by_another_parser(
    database: psycopg.Connection[Any], chosen: Settings
) -> None:
    ended(database, at("2026-03-03T05:00"))
    arrived(database, "claims", at("2026-03-01T00:00"))
    database.execute(
        "insert into ledger.backup (kind, started_at, finished_at, path, bytes) "
        "values ('full', '2026-03-03T03:30Z', '2026-03-03T03:40Z', 'b', 1);"
        "insert into ledger.drill (backup_id, started_at, finished_at, succeeded, rto_seconds, "
        "rpo_seconds, message) select backup_id, '2026-03-03T04:20Z', '2026-03-03T04:30Z', true, "
        "1, 1, '' from ledger.backup"
    )
    look(chosen, at("2026-03-03T05:30"))
    found = samples(chosen.metrics_file)
    assert found["aca_backup_age_seconds",] == 2 * 3600
    assert found["aca_drill_age_seconds",] == 3600
    assert found["aca_feed_age_seconds", "claims"] == 2 * 86_400 + 5.5 * 3600
    assert found["aca_last_success_timestamp_seconds", "incremental"] == (
        at("2026-03-03T05:00").timestamp()
    )
    assert found["aca_database_up",] == 1
    assert found["aca_error_budget_left_ratio", "nightly_load"] == 1
    look(
        replace(chosen, database_url=DEAD),
        at("2026-03-03T05:31"),
    )
    down = samples(chosen.metrics_file)
    assert down["aca_database_up",] == 0
    assert down["aca_health_timestamp_seconds",] == at("2026-03-03T05:31").timestamp()
    assert not any(name == "aca_feed_age_seconds" for name, *_ in down)
    assert [path.name for path in chosen.metrics_file.parent.iterdir()] == ["aca.prom"]


def samples(file: Path) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels; none has a timestamp."""
    families = list(text_string_to_metric_families(file.read_text("utf-8")))
    declared = {metric.name: metric for metric in METRICS}
    found = {}
    for family in families:
        assert (family.type, family.documentation) == ("gauge", declared[family.name].means)
        for sample in family.samples:
            assert sample.timestamp is None
            assert sample.labels.keys() == set(declared[family.name].labels)
            labels = (sample.labels[name] for name in declared[family.name].labels)
            found[sample.name, *labels] = sample.value
    return found


def test_review_has_what_the_ledger_knows_and_is_never_overwritten(
    database: psycopg.Connection[Any], chosen: Settings, tmp_path: Path
) -> None:
    ended(database, at("2026-03-02T05:00"))
    ended(database, at("2026-03-03T02:10"), error="CheckFailedError")
    database.execute(
        "insert into ledger.stage_run (stage, is_rebuild, status, started_at, finished_at, error, "
        "error_code) values ('facts', false, 'failed', '2026-03-03 05:30+00', "
        "'2026-03-03 06:40+00', 'a | b', 'gate_failed')"
    )
    [incident] = look(chosen, at("2026-03-03T06:01")).open_incidents
    ended(database, at("2026-03-03T07:00"))
    look(chosen, at("2026-03-03T07:01"))
    file = review.write(database, incident.incident_id, tmp_path, at("2026-03-03T08:00"))
    text = file.read_text("utf-8")
    template = review.TEMPLATE.read_text("utf-8")
    titles = re.findall(r"^## .*$", template, re.MULTILINE)
    assert re.findall(r"^## .*$", text, re.MULTILINE) == titles
    section = text.partition("## Timeline")[2].partition("\n## ")[0]
    timeline = re.findall(r"^\| (2026\S+ \S+) \| ([^|]+) \|$", section, re.MULTILINE)
    assert timeline == [
        ("2026-03-03 06:00:00", "the objective was broken"),
        ("2026-03-03 06:01:00", "make health noticed"),
        ("2026-03-03 06:01:00", "a receiver took the latest alert"),
        ("2026-03-03 07:01:00", "the objective was met again"),
    ]
    assert r"| 2026-03-03 05:30:00 | 2026-03-03 06:40:00 | facts |  | failed | a \| b |" in text
    assert "incremental | 1 | CheckFailedError" not in text  # more than an hour before
    with pytest.raises(UsageError, match="is there already"):
        review.write(database, incident.incident_id, tmp_path, at("2026-03-03T08:00"))
    with pytest.raises(UsageError, match="There is no incident x"):
        review.write(database, "x", tmp_path, at("2026-03-03T08:00"))


def test_review_names_the_incidents_of_its_time(
    database: psycopg.Connection[Any], chosen: Settings, tmp_path: Path
) -> None:
    """From an hour before it began to an hour after it was over, both ends included."""
    began, now = at("2026-03-03T06:00"), at("2026-03-03T08:00")
    hour = timedelta(hours=1)
    for name, since, until in (
        ("reviewed", began, now),
        ("over before", began - 3 * hour, began - hour - timedelta(seconds=1)),
        ("over just then", began - 3 * hour, began - hour),
        ("not over", began - 3 * hour, None),
        ("begins an hour later", now + hour, None),
        ("begins later", now + hour + timedelta(seconds=1), None),
    ):
        database.execute(
            "insert into ledger.incident (incident_id, objective, subject, severity, began_at, "
            "detected_at, resolved_at) values (%s, 'nightly_load', %s, 'breach', %s, %s, %s)",
            (name, name, since, since, until),
        )
    text = review.write(database, "reviewed", tmp_path, now).read_text("utf-8")
    others = text.partition("## Other incidents")[2].partition("\n## ")[0]
    assert re.findall(r"^\| 2026\S+ \S+ \| ([^|]+) \|$", others, re.MULTILINE) == [
        "over just then",
        "not over",
        "begins an hour later",
    ]
