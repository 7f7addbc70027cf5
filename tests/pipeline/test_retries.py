"""What passes by itself begins a run again; what does not is tried once."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl.config import Settings
from etl.db import trouble
from etl.db.connection import LIMITS, connect
from etl.errors import ServerError
from etl.pipeline.tries import Tries
from etl.server import server
from tests.support.feeds import write_batch
from tests.support.kills import Outcome, crash_server, end_sessions, run_command
from tests.support.proxy import proxy_to
from tests.support.warehouse import Warehouse

ATTEMPTS = (
    "select number, error_class, sqlstate, exit_code from ledger.attempt "
    "where command = 'incremental' order by attempt_id"
)


@pytest.mark.slow
@pytest.mark.parametrize("ends", ["for both", "for us"])
def test_run_that_loses_its_connections_begins_again_and_the_ledger_has_each_try(
    warehouse: Warehouse, ends: str
) -> None:
    """A connection of which only we see the end leaves a session with the lock of the run."""
    warehouse.send("2025-01-10", plans=[{"plan_id": "P1"}])
    port = int(conninfo_to_dict(warehouse.url)["port"] or 0)
    with proxy_to(port) as proxy, psycopg.connect(warehouse.url) as other:
        other.execute("lock table staging.plans_raw in share mode")
        address = make_conninfo(warehouse.url, port=proxy.port)
        process = warehouse.start("incremental", DATABASE_URL=address, RETRY_MINUTES="20")
        while not warehouse.value(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' "
            "and datname = current_database()"
        ):
            assert process.poll() is None
            time.sleep(0.05)
        if ends == "for us":
            proxy.cut()
        else:
            end_sessions(warehouse.url)
        other.rollback()
        ended = process.ended()
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("Try 1 of make incremental ended: The server went away") == 1
    assert "Another run" not in ended.stderr
    state = "08006" if ends == "for us" else "57P01"
    assert warehouse.rows(ATTEMPTS) == [(1, "ServerError", state, 3), (2, None, None, 0)]
    of_run = "from ledger.attempt where command = 'incremental'"
    assert warehouse.value(f"select max(waited_seconds) > 0.9 {of_run}")
    assert warehouse.value(f"select count(distinct run_began_at) {of_run}") == 1
    assert warehouse.value("select count(*) from warehouse.dim_plan") == 2


def test_run_that_loses_its_connections_when_all_is_done_has_ended_well(
    warehouse: Warehouse,
) -> None:
    with warehouse.pipeline():
        end_sessions(warehouse.url)
    latest = "select error_class, exit_code from ledger.attempt order by attempt_id desc limit 1"
    assert warehouse.rows(latest) == [(None, 0)]


@pytest.mark.slow
def test_lock_that_is_kept_is_waited_for_in_bounds_then_tried_again_and_readers_read(
    warehouse: Warehouse,
) -> None:
    warehouse.send("2025-01-10", plans=[{"plan_id": "P1"}])
    warehouse.connection.execute("set lock_timeout = '1s'")
    with psycopg.connect(warehouse.url) as other:
        other.execute("lock table staging.plans_raw in share mode")
        process = warehouse.start("incremental", LOCK_MINUTES="0.02", RETRY_MINUTES="20")
        said = []
        while "Try 1" not in "".join(said):
            said.append(process.stderr.readline())
            warehouse.rows("select count(*) from staging.plans_raw")
        other.rollback()
        ended = process.ended()
    assert ended.returncode == 0, ended.stderr
    assert "Try 1 of make incremental ended: The run waited too long for another" in said[-1]
    assert warehouse.rows(ATTEMPTS)[0] == (1, "ServerError", "55P03", 3)


def test_session_that_does_nothing_within_a_transaction_ends_with_a_sentence(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LIMITS, "idle_seconds", 0.1)
    with connect(database_url, "test") as connection:
        connection.execute("begin")
        time.sleep(0.5)
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout) as found:
            connection.execute("select 1")
    assert "IDLE_MINUTES" in str(trouble.explain(found.value))


@pytest.mark.parametrize(
    ("part", "value"), [("password", "wrong"), ("dbname", "nowhere"), ("host", "nowhere.invalid")]
)
def test_address_that_is_wrong_is_tried_once(warehouse: Warehouse, part: str, value: str) -> None:
    address = make_conninfo(warehouse.url, **{part: value})
    more = {"RETRY_MINUTES": "20", "ALLOW_PLAINTEXT": "yes"}
    ended = warehouse.command("incremental", DATABASE_URL=address, **more)
    assert (ended.returncode, "Try" in ended.stderr) == (3, False), ended.stderr


def test_server_that_is_not_there_is_tried_again_until_the_time_is_over(
    warehouse: Warehouse,
) -> None:
    address = make_conninfo(warehouse.url, port=1)
    ended = warehouse.command("incremental", DATABASE_URL=address, RETRY_MINUTES="0.06")
    assert ended.returncode == 3
    first, *_, last = ended.stderr.strip().splitlines()
    assert first.startswith("Try 1 of make incremental ended: The server at 127.0.0.1:1")
    assert last.startswith("Check that it runs")


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        (psycopg.errors.ConnectionFailure(), True),
        (psycopg.errors.SerializationFailure(), True),
        (psycopg.errors.DeadlockDetected(), True),
        (psycopg.errors.LockNotAvailable(), True),
        (psycopg.errors.TooManyConnections(), True),
        (psycopg.errors.CannotConnectNow(), True),
        (psycopg.OperationalError("the connection is closed"), True),
        (psycopg.OperationalError("connection failed: FATAL:  sorry, too many clients"), True),
        (psycopg.OperationalError("connection failed: FATAL:  no such role"), False),
        (psycopg.errors.DiskFull(), False),
        (psycopg.errors.OutOfMemory(), False),
        (psycopg.errors.QueryCanceled(), False),
        (psycopg.errors.UniqueViolation(), False),
        (psycopg.errors.IdleInTransactionSessionTimeout(), False),
        (ServerError("the rebuild could not go live"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_only_what_passes_by_itself_is_transient(error: BaseException, is_transient: bool) -> None:
    wrapped = ValueError("another library's")
    wrapped.__cause__ = error
    assert trouble.is_transient(error) is is_transient
    assert trouble.is_transient(wrapped) is (is_transient and isinstance(error, Exception))


def test_pauses_grow_until_the_time_is_over_and_a_stage_that_lasts_gives_more_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr("tenacity.nap.time.sleep", sleep)
    monkeypatch.setattr("etl.pipeline.tries.time.monotonic", lambda: clock[0])
    said: list[str] = []
    tries = Tries("incremental", 20, said.append)

    def work() -> None:
        if len(pauses) == 3:
            tries.note_progress()
        raise psycopg.errors.DeadlockDetected

    with pytest.raises(psycopg.errors.DeadlockDetected):
        tries.keep_trying(work)
    assert len(said) == len(pauses) == tries.current.number - 1
    assert all(earlier < later for earlier, later in zip(pauses[:6:2], pauses[2:8:2], strict=True))
    assert max(pauses) <= 62
    assert 20 * 60 - 62 < sum(pauses[3:]) <= 20 * 60


@pytest.mark.slow
def test_embedded_server_that_crashes_is_started_by_the_run_and_not_one_that_was_stopped(
    server_settings: Settings, tmp_path: Path
) -> None:
    write_batch(tmp_path / "inbox", "2025-01-10", plans=[{"plan_id": "P1"}])
    environment = {"DATABASE_URL": "", "DATA_DIR": str(server_settings.data)}
    environment |= {"INBOX": str(tmp_path / "inbox"), "DATABASE_URL_FILE": ""}

    def run(minutes: str, strike: partial[object]) -> Outcome:
        more = {"RETRY_MINUTES": minutes, "PATH": "/usr/bin:/bin"}
        return run_command(
            {**environment, **more}, "incremental", strike_at=(150,), strike=strike, checks=False
        )

    try:
        stopped = run("0.05", partial(server.stop, server_settings))
        assert stopped.code == 3
        assert "Error: The server was stopped by make down." in stopped.said
        assert not server.status(server_settings).running
        crashed = run("20", partial(crash_server, server_settings))
        assert crashed.code == 0, crashed.said
        assert crashed.said.count("Try ") == 1
        with psycopg.connect(server.ensure_running(server_settings)) as connection:
            loaded = connection.execute("select count(*) from warehouse.dim_plan").fetchone()
            assert loaded == (2,)
    finally:
        server.ensure_running(server_settings)


def test_only_sessions_of_earlier_tries_are_ended(warehouse: Warehouse) -> None:
    """Not one of another program that has the number now, nor one of a run that we know not of."""
    tries = Tries("incremental", 20)
    with (
        psycopg.connect(warehouse.url, application_name="a run") as earlier,
        psycopg.connect(warehouse.url, application_name="a run") as unknown,
        psycopg.connect(warehouse.url, application_name="psql") as other,
    ):
        for session in (earlier, other):
            tries.meet(session, "nobody")
        tries.meet(warehouse.connection, "a run")
        for session in (unknown, other):
            assert session.execute("select 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError):
            earlier.execute("select 1")
