"""make health and its like as they are called, and what a run does when it ends."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from etl.config import ROOT
from tests.support.health import DEAD, MINUTE, arrived, ended
from tests.support.receiver import Receiver
from tests.support.warehouse import Warehouse


def test_health_loads_nothing_that_takes_long() -> None:
    heavy = {"sqlalchemy", "great_expectations", "numpy", "pandas", "pyarrow", "alembic"}
    program = f"import etl.cli.health, sys; print(*({heavy} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_health_exits_with_the_worst_state_and_speaks_json(warehouse: Warehouse) -> None:
    never = warehouse.command("health", "--json")
    assert never.returncode == 11
    assert "Error: A service level is not met: nightly_load.\n" in never.stderr
    assert "docs/runbooks/the-load-failed.md" in never.stderr
    found = json.loads(never.stdout)
    assert found["state"] == "breach"
    assert [i["objective"] for i in found["incidents"]] == ["nightly_load"]
    now = datetime.now(UTC)
    ended(warehouse.connection, now - MINUTE)
    for feed in ("claims", "enrollments", "members", "plans", "providers"):
        arrived(warehouse.connection, feed, now - MINUTE)
    well = warehouse.command("health")
    assert (well.returncode, well.stderr) == (0, "")
    assert "feed_freshness, 5 of 5" in well.stdout
    for minute in range(12):
        failed = now - (12 - minute) * MINUTE
        ended(warehouse.connection, failed, error="BatchError" if minute < 3 else None)
    assert warehouse.command("health").returncode == 10


def test_health_and_its_like_work_while_the_database_is_down(warehouse: Warehouse) -> None:
    down = warehouse.command("health", "--json", DATABASE_URL=DEAD)
    assert down.returncode == 11
    [incident] = json.loads(down.stdout)["incidents"]
    assert (incident["objective"], incident["acknowledged_by"]) == ("database", None)
    who = ("--id", incident["incident_id"], "--who", "jdoe")
    assert warehouse.command("incident-ack", *who, DATABASE_URL=DEAD).returncode == 0
    again = warehouse.command("health", "--json", DATABASE_URL=DEAD)
    [incident] = json.loads(again.stdout)["incidents"]
    assert incident["acknowledged_by"] == "jdoe"
    remembered = warehouse.command("incidents", DATABASE_URL=DEAD)
    assert remembered.returncode == 0
    assert incident["incident_id"] in remembered.stdout
    assert "The database cannot be reached" in remembered.stdout
    assert warehouse.command("incident-ack", "--id", "x", "--who", "y").returncode == 2
    listed = warehouse.command("incidents")
    assert listed.returncode == 0
    assert "jdoe" in listed.stdout
    assert "nightly_load" in listed.stdout


def test_run_judges_health_when_it_ends_and_a_failed_one_too(
    warehouse: Warehouse, receiver: Receiver
) -> None:
    warehouse.send("2025-01-01", providers=[{"provider_id": "P1"}])
    done = warehouse.command("incremental", ALERT_WEBHOOK=receiver.url)
    assert done.returncode == 0, done.stderr
    # Of the batch's only feed the next one is late by the clock of today.
    assert ("begun", "feed_freshness") in receiver.kinds()
    file = warehouse.data / "metrics" / "aca.prom"
    assert 'aca_last_success_timestamp_seconds{command="incremental"}' in file.read_text()
    file.unlink()
    (warehouse.send("2025-01-02") / "providers.csv").write_text("nonsense\n")
    assert warehouse.command("incremental", ALERT_WEBHOOK=receiver.url).returncode == 4
    assert file.exists()


@pytest.mark.slow
def test_dead_receiver_delays_a_run_by_five_seconds_at_most(
    warehouse: Warehouse, receiver: Receiver
) -> None:
    warehouse.send("2025-01-01", providers=[{"provider_id": "P1"}])
    receiver.wait.clear()
    assert warehouse.command("migrate").returncode == 0
    started = time.monotonic()
    assert warehouse.command("dims").returncode == 0
    without = time.monotonic() - started
    started = time.monotonic()
    assert warehouse.command("dims", ALERT_WEBHOOK=receiver.url).returncode == 0
    assert time.monotonic() - started < without + 5 + 1
