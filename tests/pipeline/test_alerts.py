"""Alerts: once an incident, also while the database is down, and at no cost of a dead receiver."""

from __future__ import annotations

import fcntl
import socket
import time as clock
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from etl.config import AlertSettings, Settings
from etl.operations import alerts, health, incidents
from etl.operations.objectives import DATABASE
from tests.support.health import DEAD, at, broken, ended, look
from tests.support.receiver import Receiver, taking_mail


def test_dead_database_is_alerted_once_kept_in_a_file_and_entered_when_it_is_back(
    database: psycopg.Connection[Any], chosen: Settings, receiver: Receiver
) -> None:
    ended(database, at("2026-03-03T05:00"))
    dead = replace(chosen, database_url=DEAD)
    assert look(chosen, at("2026-03-03T05:58")).state == "ok"
    found = look(dead, at("2026-03-03T05:59"))
    assert (found.state, broken(found)) == ("breach", {("database", "")})
    [incident] = found.open_incidents
    assert receiver.posts[0]["alerts"][0]["incident_id"] == incident.incident_id
    health.acknowledge(dead, incident.incident_id, "jdoe", at("2026-03-03T06:10"))
    health.acknowledge(dead, incident.incident_id, "somebody else", at("2026-03-03T06:11"))
    assert look(dead, at("2026-03-03T11:00")).state == "breach"  # acknowledged: no repetition
    assert incidents.latest(database) == []
    assert look(chosen, at("2026-03-03T11:01")).state == "ok"
    assert look(chosen, at("2026-03-03T11:02")).state == "ok"
    assert receiver.kinds() == [("begun", "database"), ("recovered", "database")]
    [entered] = incidents.latest(database)
    assert entered.incident_id == incident.incident_id
    assert (entered.acknowledged_at, entered.acknowledged_by) == (at("2026-03-03T06:10"), "jdoe")
    assert entered.resolved_at == entered.recovery_alerted_at == at("2026-03-03T11:01")


def test_incident_that_nobody_acknowledges_is_repeated_after_hours(
    chosen: Settings, receiver: Receiver
) -> None:
    dead = replace(chosen, database_url=DEAD)
    for hour in range(10):
        look(dead, at("2026-03-03T00:00") + timedelta(hours=hour))
    assert [kind for kind, _ in receiver.kinds()] == ["begun", "repeated", "repeated"]


def test_receiver_that_fails_is_tried_three_times_and_again_by_the_next_look(
    chosen: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "_PAUSE", 0.01)
    dead = replace(chosen, database_url=DEAD)
    receiver.answer = 302
    found = look(dead, at("2026-03-03T00:00"))
    assert [n for n in found.notes if "ALERT_WEBHOOK" in n] == [
        "The alert to ALERT_WEBHOOK was given up: HTTPError 302."
    ]
    receiver.answer = 200
    look(dead, at("2026-03-03T00:01"))
    look(dead, at("2026-03-03T00:02"))
    assert receiver.kinds() == [("begun", "database")]


def test_dead_receiver_costs_five_seconds_at_most(
    chosen: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert alerts.SECONDS <= 5
    monkeypatch.setattr(alerts, "SECONDS", 0.6)
    receiver.wait.clear()  # it takes the alert and never answers
    dead = replace(chosen, database_url=DEAD)
    started = clock.monotonic()
    found = look(dead, at("2026-03-03T00:00"))
    assert clock.monotonic() - started < 0.6 + 1
    assert any("no answer in time" in note for note in found.notes)


def test_alert_goes_by_mail_too_and_names_objective_runbook_and_incident(
    chosen: Settings, receiver: Receiver
) -> None:
    with taking_mail() as (url, messages):
        dead = replace(
            chosen,
            database_url=DEAD,
            alerts=AlertSettings(receiver.url, url, ("oncall@example.com", "b@example.com")),
        )
        [incident] = look(dead, at("2026-03-03T00:00")).open_incidents
        look(dead, at("2026-03-03T00:01"))
    [message] = messages
    assert "To: oncall@example.com, b@example.com" in message
    assert "Subject: ACA warehouse: Broken (breach): database" in message.replace("\r\n ", " ")
    assert incident.incident_id in message
    assert "docs/runbooks/the-load-failed.md" in message
    [alert] = receiver.posts[0]["alerts"]
    assert alert.keys() == {
        *("kind", "incident_id", "objective", "subject", "severity", "measured", "allowed"),
        *("unit", "began_at", "detected_at", "resolved_at", "runbook"),
    }


def test_server_that_never_answers_is_a_database_that_is_down(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "DATABASE", replace(DATABASE, limit=0.3))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/gone"
        started = clock.monotonic()
        found = look(replace(chosen, database_url=url), at("2026-03-03T00:00"))
    assert clock.monotonic() - started < 2
    assert broken(found) == {("database", "")}
    assert found.broken[0].why == "The database has not answered within 0.3 s."


def test_of_two_looks_at_once_one_follows_incidents(
    database: psycopg.Connection[Any], chosen: Settings, receiver: Receiver
) -> None:
    chosen.health.mkdir(parents=True)
    with (chosen.health / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = look(chosen, at("2026-03-03T00:00"))
    assert broken(found) == {("nightly_load", "")}
    assert any("Another make health" in note for note in found.notes)
    assert incidents.latest(database) == receiver.posts == []


def test_health_goes_on_where_nothing_can_be_written(
    database: psycopg.Connection[Any], chosen: Settings, receiver: Receiver
) -> None:
    chosen.data.write_text("no folder")
    found = look(chosen, at("2026-03-03T00:00"))
    assert found.state == "breach"
    assert len(found.notes) == 3  # the lock, the incidents, the metrics
    look(chosen, at("2026-03-03T00:01"))
    # What was sent is in the ledger.
    assert receiver.kinds() == [("begun", "nightly_load")]
