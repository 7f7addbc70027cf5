"""Faults of the machine and of people under a run: a sentence, an exit code, and nothing lost."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog

from etl import log
from etl.config import ROOT
from etl.db import connection as connections
from etl.db.trouble import explain
from etl.errors import CheckFailedError, ServerError, UsageError
from etl.pipeline import commands, waiting
from etl.pipeline.latest import CUBES_ARE_DUE
from etl.pipeline.status import notices
from etl.quality.runner import CheckReport
from etl.quarantine import correction_csv
from tests.support.managed import Managed
from tests.support.processes import Command, Ended, obey_signals
from tests.support.warehouse import Warehouse


@pytest.fixture
def pending(warehouse: Warehouse) -> Warehouse:
    """A warehouse with a batch of plans to load."""
    warehouse.incremental()
    warehouse.send("2025-01-10", plans=[{"plan_id": "P1"}])
    return warehouse


@contextmanager
def locked(warehouse: Warehouse, table: str = "staging.plans_raw") -> Iterator[psycopg.Connection]:
    """A table that another session has locked, in a transaction that is left idle."""
    with psycopg.connect(warehouse.url, application_name="an analyst's tool") as other:
        other.execute("select 'Jane Doe', $$Jane Doe$$")
        other.execute(f"lock table {table} in share mode")
        yield other


def blocked(warehouse: Warehouse, process: Command) -> int:
    """The session of a run once it waits for a lock."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr and process.stderr.read()
        found = warehouse.rows(
            "select pid from pg_stat_activity where wait_event_type = 'Lock' "
            "and application_name like 'aca-warehouse%' and datname = current_database()"
        )
        if found:
            return int(found[0][0])
        time.sleep(0.05)
    raise AssertionError("the run does not wait")


def interrupted(warehouse: Warehouse, number: int) -> Ended:
    """How a run ends that gets a signal while it waits for a locked table."""
    with locked(warehouse):
        process = warehouse.start("incremental")
        blocked(warehouse, process)
        process.send_signal(number)
        return process.ended(timeout=30)


def test_blocked_load_names_whom_it_waits_for_within_five_seconds(pending: Warehouse) -> None:
    began = time.monotonic()
    said_after = []

    def release(other: psycopg.Connection) -> None:
        while not any("Waiting" in said for said in pending.watcher.said):
            if time.monotonic() > began + 30:
                break
            time.sleep(0.05)
        said_after.append(time.monotonic() - began)
        other.rollback()

    with locked(pending) as other:
        releasing = threading.Thread(target=release, args=[other])
        releasing.start()
        pending.incremental()
        releasing.join()
        first, *rest = (s for s in pending.watcher.said if "ait" in s)
    pid = other.info.backend_pid if not other.closed else ""
    assert "Waiting for a lock of session" in first
    assert str(pid) in first
    assert "of aca_owner (an analyst's tool) at 127.0.0.1" in first
    assert "idle in transaction" in first
    assert "lock table staging.plans_raw in share mode" in first
    assert "after 15 minutes of waiting this try ends, and nothing is lost." in first
    assert "The wait is over" in rest[-1]
    assert said_after[0] < 5 + 3  # the run itself takes its time to come to the lock
    assert pending.value("select count(*) from warehouse.dim_plan") == 2


def test_description_of_a_session_contains_no_text_of_its_query() -> None:
    query = "select * from warehouse.dim_member where last_name = 'Doe' or $x$Doe$x$ = first_name"
    said = waiting.describe((7, "ann", "psql", "10.0.0.1", None, "active", query))
    assert said.startswith("session 7 of ann (psql) at 10.0.0.1, which runs: select * from")
    assert "Doe" not in said
    hidden = waiting.describe((7, "ann", "psql", None, None, None, None))
    assert "hidden from us without the role pg_monitor" in hidden


def test_wait_that_ends_with_the_run_is_not_reported_as_over(pending: Warehouse) -> None:
    with locked(pending):
        process = pending.start("incremental")
        while "Waiting for a lock" not in (said := process.stderr.readline()):
            assert said, "the run ended without waiting"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert "stopped by SIGTERM" in err
    assert "wait is over" not in err


@pytest.mark.slow
def test_status_waits_five_seconds_at_most_for_a_locked_table(pending: Warehouse) -> None:
    with psycopg.connect(pending.url, application_name="an analyst's tool") as other:
        other.execute("lock table ledger.load in access exclusive mode")
        pending.command("--help")  # the program is loaded before the clock starts
        began = time.monotonic()
        done = pending.command("status")
        assert time.monotonic() - began < 5 + 4
    assert done.returncode == 3
    assert "A table of the warehouse was locked for 5 s by session" in done.stderr
    assert "(an analyst's tool)" in done.stderr


@pytest.mark.slow
def test_a_wait_for_a_report_whose_session_cannot_be_seen_is_said_once(managed: Managed) -> None:
    managed.send("2025-01-10", plans=[{"plan_id": "P1"}])
    with psycopg.connect(managed.login("report_reader")) as reader:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select 1 from pg_class limit 1")
        releasing = threading.Thread(target=_release_once_said, args=(managed, reader))
        releasing.start()
        managed.rebuild()
        releasing.join()
    said = [text for text in managed.watcher.said if "ait" in text]
    assert len(said) == 1, said
    assert "waiting for older transactions to end: session" in said[0]


def _release_once_said(managed: Managed, reader: psycopg.Connection[Any]) -> None:
    """End the report some seconds after the run has said that it waits, or after a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if any("ait" in text for text in managed.watcher.said):
            time.sleep(5)  # long enough to say it again
            break
        time.sleep(0.1)
    reader.rollback()


def test_endless_wait_ends_with_code_3(pending: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections.LIMITS, "lock_seconds", 1)
    with locked(pending), pytest.raises(psycopg.errors.LockNotAvailable) as found:
        pending.incremental()
    explained = explain(found.value)
    assert isinstance(explained, ServerError)
    assert pending.rows(
        "select l.status, l.error, r.status, r.error from ledger.load l "
        "join ledger.stage_run r using (load_id)"
    ) == [("failed", explained.message, "failed", explained.message)]
    pending.incremental()
    assert pending.value("select count(*) from warehouse.dim_plan") == 2


@pytest.mark.parametrize(
    "name",
    ["SIGTERM", *(pytest.param(name, marks=pytest.mark.slow) for name in ("SIGHUP", "SIGQUIT"))],
)
def test_signal_stops_a_run_cleanly_and_the_ledger_names_it(pending: Warehouse, name: str) -> None:
    number = signal.Signals[name]
    with locked(pending):
        process = pending.start("incremental")
        blocked(pending, process)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        # The table is still locked, so the statement that waited was canceled.
        assert pending.rows(
            "select count(*) from pg_stat_activity where application_name like 'aca-warehouse%' "
            "and datname = current_database()"
        ) == [(0,)]
    assert process.returncode == 128 + number, err
    assert f"Error: The run was stopped by {name}." in err
    assert "Run again: it continues from the last stage" in err
    assert "Traceback" not in err
    assert pending.rows(
        "select l.status, l.error, r.status, r.error from ledger.load l "
        "join ledger.stage_run r using (load_id)"
    ) == [("failed", f"stopped by {name}", "failed", f"stopped by {name}")]
    pending.incremental()
    assert pending.value("select count(*) from warehouse.dim_plan") == 2


def test_ctrl_c_while_the_program_is_loaded_is_one_sentence(tmp_path: Path) -> None:
    # The last module to be imported waits, so that the signal comes before the command line.
    (tmp_path / "typer.py").write_text("import time\nprint(flush=True)\ntime.sleep(30)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "etl", "status"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        preexec_fn=obey_signals,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "Error: Interrupted.\nNothing had begun. Run it again.\n"


def test_ctrl_c_stops_a_run_cleanly_and_the_ledger_names_it(pending: Warehouse) -> None:
    ended = interrupted(pending, signal.SIGINT)
    assert ended.returncode == 130
    assert "Error: Interrupted.\nThe current stage was rolled back" in ended.stderr
    assert pending.value("select error from ledger.load") == "stopped by SIGINT"


@pytest.mark.parametrize("whose", [pytest.param("work", marks=pytest.mark.slow), "all"])
def test_run_whose_sessions_are_terminated_fails_with_a_message_and_the_next_completes(
    pending: Warehouse, whose: str
) -> None:
    with locked(pending):
        process = pending.start("incremental")
        blocked(pending, process)
        pending.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and application_name like "
            f"'aca-warehouse {'work' if whose == 'work' else '%'}'"
        )
        _, err = process.communicate(timeout=30)
    assert process.returncode == 3, err
    assert "Error: The server went away while the run was at work" in err
    assert "unforeseen" not in err
    pending.incremental()
    assert pending.rows("select status, error from ledger.load order by load_id")[0] == (
        "failed",
        "interrupted" if whose == "all" else explain(psycopg.OperationalError()).message,
    )
    assert pending.value("select count(*) from warehouse.dim_plan") == 2


def test_full_disk_under_the_database_is_reported_in_one_sentence(pending: Warehouse) -> None:
    pending.connection.execute(
        "create function public.full_disk() returns trigger language plpgsql as "
        "$$ begin raise disk_full using message = 'could not extend file: Jane Doe'; end $$"
    )
    pending.connection.execute(
        "create trigger full_disk before insert on ledger.load_file "
        "for each statement execute function public.full_disk()"
    )
    done = pending.command("incremental", RETRY_MINUTES="20")
    assert done.returncode == 3
    assert "Error: The disk of the database is full." in done.stderr
    assert "Try" not in done.stderr
    tried = "select number, sqlstate from ledger.attempt order by attempt_id desc limit 1"
    assert pending.rows(tried) == [(1, "53100")]
    assert "Doe" not in done.stderr
    assert pending.value("select error from ledger.load") == "The disk of the database is full."
    pending.connection.execute("drop function public.full_disk cascade")
    pending.incremental()
    assert pending.value("select count(*) from warehouse.dim_plan") == 2


def test_cubes_that_were_not_reached_are_named_by_status_and_checks(pending: Warehouse) -> None:
    for is_loaded, said in ((False, "make full-load loads the inbox"), (True, CUBES_ARE_DUE)):
        if is_loaded:
            pending.run(commands.run_stages, ("stage", "dims", "facts"))
        assert notices(pending.url, pending.data) == ([CUBES_ARE_DUE] if is_loaded else [])
        with pending.pipeline() as pipeline:
            pipeline.checks = lambda *_: CheckReport(0, 1, 1, 1, ())
            with pytest.raises(CheckFailedError) as raised:
                commands.dq_check(pipeline)
        assert said in raised.value.hint
    pending.incremental()
    assert notices(pending.url, pending.data) == []


def test_every_error_of_server_and_disk_has_a_message_however_it_is_wrapped() -> None:
    class Wrapped(Exception):
        orig: BaseException

    for cause in (
        psycopg.errors.DiskFull(),
        psycopg.errors.AdminShutdown(),
        psycopg.errors.CrashShutdown(),
        psycopg.errors.CannotConnectNow(),
        psycopg.errors.ConnectionFailure(),
        psycopg.errors.QueryCanceled(),
        psycopg.errors.DeadlockDetected(),
        psycopg.errors.OutOfMemory(),
        psycopg.errors.IdleInTransactionSessionTimeout(),
        psycopg.OperationalError("server closed the connection unexpectedly"),
        psycopg.InterfaceError("the connection is closed"),
        OSError(errno.ENOSPC, "No space left on device", "/somewhere/file"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ):
        wrapped = Wrapped()
        wrapped.orig = cause
        for error in (cause, wrapped):
            explained = explain(error)
            assert explained is not None, cause
            assert (explained.exit_code, bool(explained.hint)) == (3, True)
    for other in (psycopg.errors.UndefinedTable(), ValueError(), UsageError("x")):
        assert explain(other) is None


def test_log_on_a_full_disk_is_reported_once_only(capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    try:
        log.configure(Path("/dev/full"))
        for _ in range(3):
            log.get().info("an_event")
        said = capsys.readouterr().err
        assert said.count("cannot be written (No space left on device)") == 1
        assert said.count("an_event") == 3
    finally:
        structlog.configure(**before)


def test_export_on_a_full_disk_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "claims.csv"
    entry = correction_csv.Entry(1, 2, ("missing key",), ("claim_id",), "a,b")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(correction_csv, "_write_rows", full)
    monkeypatch.setattr(correction_csv, "_ADVICE", {"missing key": "x"})
    with pytest.raises(OSError, match="No space left"):
        correction_csv.write(path, ["claim_id", "member_id"], [entry])
    assert not path.exists()
