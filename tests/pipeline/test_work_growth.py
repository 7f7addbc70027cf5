"""How the work of set statements grows with the data: as the rows do, and never as their square."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl.db.connection import connect, set_search_path
from etl.docs import report_queries
from etl.pipeline import commands
from etl.pipeline.session import RunContext
from etl.warehouse.tables import BEGINNING, DIMENSIONS, LIVE
from tests.support.corrections import export, rewrite
from tests.support.plans import Node, looked_at, nodes, watch
from tests.support.warehouse import Warehouse, fresh_warehouse

FACTOR = 4
# Work that grows with the square comes to FACTOR ** 2 times as much.
MOST = 2 * FACTOR
# Rows for each member up to which a statement may read a whole table instead of an index.
FEW = 10

Work = dict[str, int]
AtSizes = Callable[[Callable[[Warehouse, int], Work], int], tuple[Work, Work]]


def watched(connection: psycopg.Connection[Any], work: Work) -> None:
    """Add up what each statement of a connection does: rows that its nodes look at, by its text."""

    def note(text: str, plan: Node) -> None:
        query = re.sub(r"\d+", "0", " ".join(text.split()))[:400]
        work[query] = max(work.get(query, 0), sum(map(looked_at, nodes(plan))))

    watch(connection, note)


def batches(members: int) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Batches of every kind that the stages treat differently, in the order of arrival.

    Each with its feeds and what ``write_batch`` is given besides.
    """
    of = range(members)

    def people(batch: int, which: range = of, **more: Any) -> list[dict[str, Any]]:
        return [
            {"member_id": f"M{n}", "last_name": f"n{batch * (n % 3)}", "call_count": batch, **more}
            for n in which
        ]

    def claims(batch: int, bad: int = 0) -> list[dict[str, Any]]:
        return [
            {
                "claim_id": f"C{batch * members // 2 + n}",
                "member_id": f"M{n}",
                "provider_id": f"R{n}",
                "plan_id": f"P{n}",
                "service_date": f"2025-0{1 + n % 3}-1{n % 9}",
                "paid_amount": "x" if n < bad else f"{batch}.00",
            }
            for n in of
        ]

    def others(batch: int) -> dict[str, list[dict[str, Any]]]:
        return {
            "plans": [
                {"plan_id": f"P{n}", "effective_year": 2025, "name": f"p{batch * (n % 2)}"}
                for n in of
            ],
            "providers": [{"provider_id": f"R{n}", "name": f"r{batch * (n % 2)}"} for n in of],
            "enrollments": [
                {
                    "enrollment_id": f"E{n}",
                    "member_id": f"M{n}",
                    "plan_id": f"P{n}",
                    "premium_paid": f"{batch * (n % 2)}.00",
                }
                for n in of
            ],
        }

    first = {"members": people(1), "claims": claims(1, members // 10), **others(1)}
    gone = range(members // 20)
    return [
        ("2025-01-10", first, {}),
        ("2025-02-10", {"members": people(2), "claims": claims(2), **others(2)}, {}),
        ("2025-01-20", {"members": people(3), "claims": claims(3), **others(3)}, {}),
        ("2025-03-10", {"members": people(4)}, {"lacking": ("call_count", "zip")}),
        ("2025-03-20", {"members": people(4, gone, is_deleted="true")}, {}),
        ("2025-04-10", {"members": people(5, of[len(gone) :])}, {"snapshots": ["members"]}),
    ]


@contextmanager
def run(warehouse: Warehouse, work: Work) -> Iterator[RunContext]:
    """A run whose work is watched."""
    with warehouse.pipeline(1) as pipeline:
        watched(pipeline.work, work)
        yield pipeline


def life(warehouse: Warehouse, members: int) -> Work:
    """The work of every statement that the commands send, the most that it did at once."""
    work: Work = {}
    for batch_id, feeds, described in batches(members):
        warehouse.send(batch_id, **described, **feeds)
        with run(warehouse, work) as pipeline:
            commands.run_stages(pipeline, ("stage", "dims", "facts"))
            commands.run_cubes(pipeline)
    read(warehouse, work)
    (path,) = export(warehouse, "2025-01-10", "claims")
    rewrite(path, lambda row: row | {"paid_amount": "1.00"})
    with run(warehouse, work) as pipeline:
        commands.replay_export(pipeline, path)
    for dimension in DIMENSIONS.values():
        for since in (BEGINNING, datetime(2025, 2, 1)):
            with run(warehouse, work) as pipeline:
                commands.restate(pipeline, dimension, since)
    return work


@contextmanager
def reader(warehouse: Warehouse, work: Work) -> Iterator[psycopg.Connection[Any]]:
    """A session of the owner of the tables whose work is watched."""
    with connect(warehouse.url, "test") as connection:
        set_search_path(connection, LIVE.schemas.readers_path, is_local=False)
        watched(connection, work)
        connection.execute("reset role")
        yield connection


def read(warehouse: Warehouse, work: Work) -> None:
    """The work of every documented report."""
    with reader(warehouse, work) as connection:
        for report in report_queries.reports().values():
            report.ask(connection)


def history_by_the_worst_plan(warehouse: Warehouse, members: int) -> Work:
    """The work of a query on all states of claims, where the planner expects a row or none."""
    work: Work = {}
    for batch_id, feeds, _ in batches(members)[:2]:
        claims = [row | {"claim_id": row["member_id"]} for row in feeds["claims"]]
        warehouse.send(batch_id, claims=claims)
        warehouse.incremental(reject_share=1.0)
    with reader(warehouse, work) as connection:
        # What it chooses then: it thinks that a set is looked at once.
        for way in ("hashjoin", "mergejoin", "material", "seqscan", "sort"):
            connection.execute(f"set enable_{way} = off")
        connection.execute(
            "select load_id, count(withdrawn_load_id) from fact_claim_history group by load_id"
        )
    return work


@pytest.fixture
def at_sizes(admin_url: str, template: str, tmp_path: Path) -> AtSizes:
    """What something does in a warehouse of so many members, and in one of FACTOR times as many."""

    def measure(what: Callable[[Warehouse, int], Work], members: int) -> tuple[Work, Work]:
        works = []
        for size in (members, members * FACTOR):
            inbox, data = tmp_path / str(size), tmp_path / f"data-{size}"
            inbox.mkdir()
            with fresh_warehouse(admin_url, template, inbox, data) as warehouse:
                works.append(what(warehouse, size))
        return works[0], works[1]

    return measure


def grown(small: Work, large: Work, members: int) -> dict[str, tuple[int, int]]:
    """Statements whose work grew by more than the rows did, with their work at both sizes."""
    return {
        query: (small.get(query, 0), work)
        for query, work in large.items()
        if work > MOST * max(small.get(query, 0), FEW * members)
    }


@pytest.mark.parametrize("members", [250, pytest.param(2_500, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_four_times_the_rows_cost_no_statement_eight_times_the_work(
    at_sizes: AtSizes, members: int
) -> None:
    small, large = at_sizes(life, members)
    assert len(large) > 100
    assert grown(small, large, members) == {}


@pytest.mark.slow
def test_states_of_claims_are_never_looked_at_once_for_each_other(at_sizes: AtSizes) -> None:
    small, large = at_sizes(history_by_the_worst_plan, 100)
    assert any("withdrawn_load_id" in query for query in large)
    assert grown(small, large, 100) == {}
