"""No report sees half of a full load: of another role, whose snapshots the loader may not see."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from etl.db.connection import connect
from etl.pipeline import swap
from tests.support.managed import Managed

pytestmark = pytest.mark.slow

# Read one after the other; a full load from more batches changes them all.
TABLES = ("staging.claims_raw", "warehouse.fact_claim", "cubes.claims_daily_member")


def send(managed: Managed, number: int) -> None:
    """A batch of one claim of a member of its own."""
    claim = {"claim_id": f"C{number}", "member_id": f"M{number}"}
    managed.send(f"2025-01-{number:02}", claims=[claim])


def count(connection: psycopg.Connection, table: str) -> int:
    return connection.execute(f"select count(*) from {table}").fetchone()[0]


@pytest.fixture
def reader(managed: Managed) -> Iterator[psycopg.Connection]:
    """A connection of a role that may only read, to a warehouse of one claim."""
    send(managed, 1)
    managed.rebuild()
    address = managed.login("managed_analyst")
    managed.connection.execute(
        "grant usage on schema staging, warehouse, cubes to managed_analyst;"
        "grant select on all tables in schema staging, warehouse, cubes to managed_analyst"
    )
    with connect(address, "report", autocommit=False) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield connection
        connection.rollback()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_report_begun_before_a_full_load_reads_the_old_warehouse_to_its_end(
    managed: Managed, reader: psycopg.Connection
) -> None:
    reader.execute("select 1")  # takes the snapshot and no lock
    send(managed, 2)
    with ThreadPoolExecutor(1) as executor:
        load = executor.submit(managed.rebuild)
        wait_until(lambda: any("waiting for older" in said for said in managed.watcher.said))
        time.sleep(1.5)
        assert [count(reader, table) for table in TABLES] == [1, 1, 1]
        assert not load.done()
        reader.commit()
        load.result()
    # Who is named may change while the run waits.
    waits = [said for said in managed.watcher.said if "waiting for older" in said]
    assert any("of managed_analyst (report)" in said for said in waits)
    assert not any("None" in said for said in waits)
    assert [count(reader, table) for table in TABLES] == [2, 2, 2]


def test_report_that_has_read_one_table_reads_the_others_of_the_same_build(
    managed: Managed, reader: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins when the rebuild is complete, so only its reading delays the swap."""
    complete, begun = threading.Event(), threading.Event()
    wait = swap.wait_for_older_readers

    def wait_and_let_it_begin(*asked: object) -> None:
        wait(*asked)
        complete.set()
        begun.wait(60)

    monkeypatch.setattr(swap, "wait_for_older_readers", wait_and_let_it_begin)
    send(managed, 2)
    with ThreadPoolExecutor(1) as executor:
        load = executor.submit(managed.rebuild)
        complete.wait(60)
        seen = [count(reader, TABLES[0])]
        begun.set()
        time.sleep(3)
        seen += [count(reader, table) for table in TABLES[1:]]
        reader.commit()
        load.result()
    assert seen == [1, 1, 1]
    assert [count(reader, table) for table in TABLES] == [2, 2, 2]


def test_transaction_left_idle_in_read_committed_does_not_delay_the_swap(
    managed: Managed, reader: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read, so it has locks on tables but no snapshot."""
    monkeypatch.setattr(swap, "LOCK_SECONDS", 1.0)
    monkeypatch.setattr(swap, "RETIRED_PATIENCE", 0.5)
    reader.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    assert count(reader, TABLES[1]) == 1
    send(managed, 2)
    began = time.monotonic()
    managed.rebuild()
    assert time.monotonic() - began < 30
    assert not any("waiting" in said for said in managed.watcher.said)
    assert [count(reader, table) for table in TABLES] == [2, 2, 2]


@pytest.mark.slow
def test_reports_without_a_break_never_see_half_of_a_full_load(managed: Managed) -> None:
    """Eight loops of reports of another role over ten swaps."""
    send(managed, 1)
    managed.rebuild()
    address = managed.login("managed_analyst")
    managed.connection.execute(
        "alter default privileges grant select on tables to managed_analyst;"
        "grant usage on schema staging, warehouse, cubes to managed_analyst;"
        "grant select on all tables in schema staging, warehouse, cubes to managed_analyst"
    )
    ended = threading.Event()

    def report() -> set[tuple[int, ...]]:
        seen = set()
        with connect(address, "report", autocommit=False) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            while not ended.is_set():
                seen.add(tuple(count(connection, table) for table in TABLES))
                connection.commit()
        return seen

    with ThreadPoolExecutor(8) as readers:
        reports = [readers.submit(report) for _ in range(8)]
        try:
            for number in range(2, 12):
                send(managed, number)
                managed.rebuild()
        finally:
            ended.set()
        seen = set().union(*(found.result() for found in reports))
    assert {len(set(counts)) for counts in seen} == {1}
    assert len(seen) > 5
