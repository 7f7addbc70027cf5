"""Who reads on a replica while the warehouse works: sees old or new, and whose report is ended."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl.db.connection import connect
from etl.db.statements import run
from etl.docs import report_queries
from etl.pipeline import commands, replica_readers
from etl.quality.runner import CheckReport
from etl.server import replicas
from etl.synthetic.generate import generate, increment
from etl.warehouse.tables import LIVE
from tests.support.backups import Site, site
from tests.support.feeds import write_batch
from tests.support.watching import Silent

pytestmark = pytest.mark.slow
READERS = 20
DAYS = 3
# What a reader of a replica may get as an error: that a long query was canceled.
CANCELED = (psycopg.errors.QueryCanceled, psycopg.errors.SerializationFailure)
TABLES = ("staging.claims_raw", "warehouse.fact_claim", "cubes.claims_daily_member")


def silent(_: str) -> None:
    """For what nobody reads here."""


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def here(server_folder: Path) -> Iterator[Site]:
    """A warehouse without a load, and a replica of it."""
    with site(server_folder) as made:
        replicas.up(made.settings, [1], silent)
        yield made


@pytest.fixture
def reader(here: Site) -> Iterator[psycopg.Connection[Any]]:
    """Somebody on the replica who reads several tables in one transaction."""
    url = replicas.address(here.settings, 1, silent)
    with connect(url, "report", autocommit=False) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield connection


def send(here: Site, number: int) -> None:
    """A batch of one claim of a member of its own."""
    claim = {"claim_id": f"C{number}", "member_id": f"M{number}"}
    write_batch(here.settings.inbox, f"2025-01-{number:02}", claims=[claim])


def rebuild(here: Site, said: list[str] | None = None) -> list[str]:
    """A full load; what it says, also while it goes on."""
    with here.run() as context:
        context.checks = lambda *_: CheckReport(0, 0, 0, 0, ())
        assert isinstance(context.watcher, Silent)
        context.watcher.said = said = [] if said is None else said
        commands.full_load(context)
        return said


def count(connection: psycopg.Connection[Any], table: str) -> Any:
    return connection.execute(f"select count(*) from {table}").fetchone()[0]


def test_report_begun_before_a_full_load_reads_the_old_warehouse_to_its_end(
    here: Site, reader: psycopg.Connection[Any]
) -> None:
    send(here, 1)
    rebuild(here)
    replicas.await_caught_up(here.settings, 1)
    reader.execute("select 1")  # takes the snapshot and no lock
    send(here, 2)
    said: list[str] = []
    with ThreadPoolExecutor(1) as executor:
        load = executor.submit(rebuild, here, said)
        wait_until(lambda: any("older transactions to end on replica 1" in line for line in said))
        assert [count(reader, table) for table in TABLES] == [1, 1, 1]
        assert not load.done()
        reader.commit()
        load.result()
    replicas.await_caught_up(here.settings, 1)
    assert [count(reader, table) for table in TABLES] == [2, 2, 2]
    # Also what a session sets to ask for an earlier state.
    reader.execute("select warehouse.as_known_at((select min(load_id) from ledger.load))")
    assert count(reader, "fact_claim") == 1
    reader.execute("select warehouse.as_known_now()")
    assert count(reader, "warehouse.fact_claim") == 2


def test_report_that_is_too_old_is_ended_and_never_reads_a_mixture(
    here: Site, reader: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_readers, "PATIENCE", 1)
    send(here, 1)
    rebuild(here)
    replicas.await_caught_up(here.settings, 1)
    assert count(reader, TABLES[0]) == 1
    send(here, 2)
    said = rebuild(here)
    assert any("1 transactions on replica 1 were ended" in line for line in said)
    with pytest.raises(psycopg.OperationalError):
        count(reader, TABLES[1])


@dataclass
class Reader(threading.Thread):
    """Somebody who asks the documented reports until the end; answers, and what went wrong."""

    url: str
    ended: threading.Event
    wrong: Counter[str] = field(default_factory=Counter)
    canceled: int = 0
    answers: int = 0
    longest: float = 0.0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        with connect(self.url, "reader") as session:
            path = ", ".join(LIVE.schemas.readers_path)
            session.execute(f"set search_path = {path}")
            while not self.ended.is_set():
                for report in report_queries.reports().values():
                    if self.ended.wait(0.2):
                        return
                    started = time.monotonic()
                    try:
                        report.ask(session)
                        self.answers += 1
                    except CANCELED:
                        self.canceled += 1
                    except psycopg.Error as error:
                        self.wrong[f"{report.name}: {type(error).__name__} {error}"] += 1
                    self.longest = max(self.longest, time.monotonic() - started)


@dataclass
class Witness(threading.Thread):
    """Somebody who asks in one statement what each layer contains; every state that was seen."""

    url: str
    ended: threading.Event
    states: set[tuple[str, str, str]] = field(default_factory=set)
    faults: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        with connect(self.url, "witness") as session:
            while not self.ended.wait(0.05):
                self.states.add(self.look(session))

    def look(self, session: psycopg.Connection[Any]) -> tuple[str, str, str]:
        cursor = run(session, "bench/analysts.state")
        names = [column.name for column in cursor.description or ()]
        seen = dict(zip(names, cursor.fetchone() or (), strict=True))
        self.faults["a fact points at no version"] += seen["orphans"]
        self.faults["cubes differ"] += not seen["days"] == seen["tiers"] == seen["specialties"]
        return seen["dims"], seen["facts"], f"{seen['days']} {seen['high_cost']}"


def test_twenty_readers_see_only_whole_states_through_a_full_load_and_three_days(
    here: Site,
) -> None:
    inbox, truth = here.settings.inbox, here.settings.truth
    generate(inbox, members=1_000, truth=truth)
    rebuild(here)
    replicas.await_caught_up(here.settings, 1)
    url = replicas.address(here.settings, 1, silent)
    ended = threading.Event()
    readers = [Reader(url, ended) for _ in range(READERS)]
    witness = Witness(url, ended)
    with connect(url, "test") as session:
        whole = [witness.look(session)]
        for thread in (*readers, witness):
            thread.start()
        try:
            for load in (rebuild, *[day] * DAYS):
                load(here)
                status = here.start("status").ended().stdout
                assert "Replica  1, running on port" in status
                assert " s behind" in status
                replicas.await_caught_up(here.settings, 1)
                whole.append(witness.look(session))
        finally:
            ended.set()
            for thread in (*readers, witness):
                thread.join()
    assert [dict(reader.wrong) for reader in readers] == [{}] * READERS
    assert +witness.faults == Counter()
    assert min(reader.answers for reader in readers) > 0
    # A short report is never canceled: only what kept the log from being applied for 30 s.
    assert all(reader.canceled == 0 or reader.longest > 30 for reader in readers)
    # A full load goes live at once; of a day dimensions, facts and cubes follow one another.
    rebuilt, *days = pairwise(whole)
    complete = set(rebuilt) | {
        new[:step] + old[step:] for old, new in days for step in range(len(new) + 1)
    }
    assert witness.states <= complete
    assert len(witness.states) > DAYS


def day(here: Site) -> None:
    """Load the next day."""
    increment(here.settings.inbox, truth=here.settings.truth)
    with here.run() as context:
        context.checks = lambda *_: CheckReport(0, 0, 0, 0, ())
        commands.incremental(context)
