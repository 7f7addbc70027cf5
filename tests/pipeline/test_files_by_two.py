"""Files of a full load: two sessions read them at once, and one that is refused ends both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from etl.db import trouble
from etl.errors import BatchError, RejectThresholdError
from etl.stages import bulk
from etl.stages.stage import load_file
from etl.stages.stage.staged import Staged
from tests.support.warehouse import CopyOf, Warehouse

# Longer than any of these tests may take.
_ENDLESS = "select pg_sleep(60)"
_SECONDS = 20
FIRST = "2025-02-10"
_BAD = [{"claim_id": f"C{at}", "service_date": "never"} for at in range(9)]

Happens = Callable[[psycopg.Connection[Any]], object]


def load(warehouse: Warehouse) -> None:
    warehouse.send(
        FIRST,
        members="""
            member_id | state
            A         | TX
            B         | FL
        """,
        claims="""
            claim_id | member_id | service_date | paid_amount
            C1       | A         | 2025-01-05   | 90.00
            C2       | B         | never        | 30.00
        """,
        claim_lines="""
            claim_id | line_number | service_date | line_paid
            C1       | 1           | 2025-01-05   | 90.00
        """,
    )
    warehouse.send("2025-02-20", claims=[{"claim_id": "C4", "member_id": "C"}])
    warehouse.rebuild(reject_share=1.0)


@pytest.fixture
def loaded(copy_of: CopyOf, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A warehouse whose next full load takes all of its files for large ones."""
    loaded = copy_of(load)
    monkeypatch.setattr(bulk, "BYTES", 0)
    return loaded


@pytest.fixture
def happens(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let something happen in place of reading a file, once both sessions are at work."""
    read, both = load_file.run_file, threading.Barrier(2, timeout=_SECONDS)

    def replace(batch_id: str = FIRST, **instead: Happens) -> None:
        def run(session: psycopg.Connection[Any], *rest: Any) -> Staged:
            name = rest[2].feed.name
            if rest[1].batch_id == batch_id and name in instead:
                both.wait()
                instead[name](session)
            return read(session, *rest)

        monkeypatch.setattr(load_file, "run_file", run)

    return replace


def endlessly(session: psycopg.Connection[Any]) -> None:
    session.execute(_ENDLESS)


def test_two_sessions_leave_the_rows_of_one(
    loaded: Warehouse, happens: Callable[..., None]
) -> None:
    by_one = loaded.contents()
    # Of the newest full load, since the files are the same.
    rejected = (
        "select r.feed, r.line, r.reason from quality.rejected_row as r "
        "inner join ledger.load as l on r.load_id = l.load_id "
        "where l.build_id = (select max(build_id) from ledger.load) order by 1, 2"
    )
    by_one_rejected = loaded.rows(rejected)
    sessions = []
    happens(members=sessions.append, claims=sessions.append)
    loaded.rebuild(reject_share=1.0)
    assert loaded.contents() == by_one
    assert len({*map(id, sessions)}) == 2
    assert loaded.rows(rejected) == by_one_rejected != []


def test_a_file_that_is_refused_ends_the_other_and_leaves_nothing(
    loaded: Warehouse, happens: Callable[..., None]
) -> None:
    before = loaded.contents()
    loaded.send("2025-02-21", claims=_BAD, members=[{"member_id": "D"}])
    happens("2025-02-21", members=endlessly, claims=lambda _: None)
    began = time.monotonic()
    with pytest.raises(RejectThresholdError) as error:
        loaded.rebuild(reject_share=0.5)
    assert time.monotonic() - began < _SECONDS
    assert "claims.csv" in error.value.message
    assert loaded.contents() == before


def test_an_error_of_one_names_its_file(
    loaded: Warehouse, happens: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = loaded.contents()
    happens(members=endlessly, claims=lambda session: session.execute("select 1 / 0"))
    with pytest.raises(BatchError) as error:
        loaded.rebuild(reject_share=1.0)
    assert "claims.csv cannot pass stage: division by zero" in error.value.message
    ended = "select status, error_code from ledger.load order by load_id desc limit 1"
    assert loaded.rows(ended) == [("failed", "cannot_pass_stage")]
    monkeypatch.undo()
    loaded.rebuild(reject_share=1.0)
    assert loaded.contents() == before


def test_a_lost_session_ends_the_try_and_the_next_one_begins_again(
    loaded: Warehouse,
    happens: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    admin_url: str,
) -> None:
    before = loaded.contents()

    def lose(session: psycopg.Connection[Any]) -> None:
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(%s)", [session.info.backend_pid])
        session.execute(_ENDLESS)

    happens(members=endlessly, claims=lose)
    with pytest.raises(psycopg.OperationalError) as error:
        loaded.rebuild(reject_share=1.0)
    assert trouble.is_transient(error.value)
    monkeypatch.undo()
    loaded.rebuild(reject_share=1.0)
    assert loaded.contents() == before
