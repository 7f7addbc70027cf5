"""Lines and diagnoses of a full load: two sessions fill them at once, and both end with either."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from etl.db import trouble
from etl.db.connection import LIMITS
from etl.errors import BatchError
from etl.pipeline import details
from etl.stages.facts import merge_facts
from etl.warehouse.details import BRIDGE_CLAIM_DIAGNOSIS, DETAILS, FACT_CLAIM_LINE, Detail
from tests.support.warehouse import CopyOf, Warehouse

# Longer than any of these tests may take.
_ENDLESS = "select pg_sleep(60)"
_SECONDS = 20

Filling = Callable[[psycopg.Connection[Any], Detail], object]


def load(warehouse: Warehouse) -> None:
    warehouse.send(
        "2025-02-10",
        claims="""
            claim_id | member_id | service_date | diagnosis_code | paid_amount
            C1       | A         | 2025-01-05   | E119           | 90.00
            C2       | A         | 2025-02-06   | I10            | 30.00
            C3       | B         | 2025-02-07   | Z00            | 50.00
        """,
        claim_lines="""
            claim_id | line_number | service_date | line_paid
            C2       | 1           | 2025-02-06   | 10.00
            C2       | 3           | 2025-02-06   | 20.00
            C9       | 1           | 2025-03-01   | 7.00
        """,
        claim_diagnoses="""
            claim_id | position | service_date | diagnosis_code
            C1       | 1        | 2025-01-05   | E119
            C1       | 2        | 2025-01-05   | I10
        """,
    )
    warehouse.send("2025-02-20", claims=[{"claim_id": "C4", "member_id": "C"}])
    warehouse.rebuild()


@pytest.fixture
def loaded(copy_of: CopyOf) -> Warehouse:
    return copy_of(load)


@pytest.fixture
def filling(monkeypatch: pytest.MonkeyPatch) -> Callable[[Filling], None]:
    """Let something happen in place of filling a table, once both sessions are at work."""
    both = threading.Barrier(2, timeout=_SECONDS)

    def replace(happens: Filling) -> None:
        def fill(session: psycopg.Connection[Any], detail: Detail, _: object) -> dict[str, int]:
            both.wait()
            happens(session, detail)
            return {}

        monkeypatch.setattr(merge_facts, "fill_detail", fill)

    return replace


def test_two_sessions_leave_the_rows_of_one(
    loaded: Warehouse, filling: Callable[[Filling], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_two = loaded.contents()
    assert len(by_two["fact_claim_line"]) == 6
    monkeypatch.setattr(details, "_takes_two", lambda *_: False)
    loaded.rebuild()
    assert loaded.contents() == by_two


def test_each_table_is_filled_by_a_session_of_its_own(
    loaded: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill, both = merge_facts.fill_detail, threading.Barrier(2, timeout=_SECONDS)
    sessions = {}

    def noted(session: psycopg.Connection[Any], detail: Detail, *rest: Any) -> dict[str, int]:
        both.wait()
        sessions[detail.table] = session.info.backend_pid
        return fill(session, detail, *rest)

    before = loaded.contents()
    monkeypatch.setattr(merge_facts, "fill_detail", noted)
    loaded.rebuild()
    assert sessions.keys() == {detail.table for detail in DETAILS}
    assert len({*sessions.values()}) == len(DETAILS)
    assert loaded.contents() == before


def test_a_session_waits_for_the_other_however_long_that_takes(
    loaded: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill, attached = merge_facts.fill_detail, threading.Event()

    def slowly(session: psycopg.Connection[Any], detail: Detail, *rest: Any) -> dict[str, int]:
        if detail is BRIDGE_CLAIM_DIAGNOSIS:
            attached.wait(_SECONDS)
            return fill(session, detail, *rest)
        filled = fill(session, detail, *rest)
        attached.set()
        session.execute("select pg_sleep(1)")
        return filled

    before = loaded.contents()
    monkeypatch.setattr(LIMITS, "lock_seconds", 0.2)
    monkeypatch.setattr(merge_facts, "fill_detail", slowly)
    loaded.rebuild()
    assert loaded.contents() == before


@pytest.mark.parametrize("failing", DETAILS, ids=lambda detail: detail.table)
def test_an_error_of_one_session_ends_the_other_and_names_its_file(
    loaded: Warehouse,
    filling: Callable[[Filling], None],
    monkeypatch: pytest.MonkeyPatch,
    failing: Detail,
) -> None:
    before = loaded.contents()
    filling(lambda s, detail: s.execute("select 1 / 0" if detail is failing else _ENDLESS))
    began = time.monotonic()
    with pytest.raises(BatchError) as error:
        loaded.rebuild()
    assert time.monotonic() - began < _SECONDS
    named = "claim_lines.csv" if failing is FACT_CLAIM_LINE else "claim_diagnoses.csv"
    assert f"{named} cannot pass facts: division by zero" in error.value.message
    ended = "select status, error_code from ledger.load order by load_id desc limit 1"
    assert loaded.rows(ended) == [("failed", "rebuild_not_live")]
    monkeypatch.undo()
    loaded.rebuild()
    assert loaded.contents() == before


@pytest.mark.parametrize("lost", DETAILS, ids=lambda detail: detail.table)
def test_a_lost_session_ends_the_try_and_the_next_one_begins_again(
    loaded: Warehouse,
    filling: Callable[[Filling], None],
    monkeypatch: pytest.MonkeyPatch,
    admin_url: str,
    lost: Detail,
) -> None:
    before = loaded.contents()

    def lose(session: psycopg.Connection[Any], detail: Detail) -> None:
        if detail is lost:
            with psycopg.connect(admin_url, autocommit=True) as admin:
                admin.execute("select pg_terminate_backend(%s)", [session.info.backend_pid])
        session.execute(_ENDLESS)

    filling(lose)
    began = time.monotonic()
    with pytest.raises(psycopg.OperationalError) as error:
        loaded.rebuild()
    assert time.monotonic() - began < _SECONDS
    assert trouble.is_transient(error.value)
    monkeypatch.undo()
    loaded.rebuild()
    assert loaded.contents() == before


def test_a_run_that_is_stopped_ends_both_sessions(
    loaded: Warehouse, filling: Callable[[Filling], None]
) -> None:
    before = loaded.contents()

    def endlessly(session: psycopg.Connection[Any], _: Detail) -> None:
        if threading.current_thread() is threading.main_thread():
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        session.execute(_ENDLESS)

    filling(endlessly)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        loaded.rebuild()
    assert time.monotonic() - began < _SECONDS
    assert loaded.value(f"select count(*) from pg_stat_activity where query = '{_ENDLESS}'") == 0
    assert loaded.contents() == before
