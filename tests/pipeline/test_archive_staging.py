"""Settled partitions of staging in files: with and without them every run gives the same rows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from etl.contracts.checks import CRITICAL
from etl.contracts.feeds import FEEDS
from etl.pipeline import archive_staging, commands
from etl.quality.runner import run_share
from etl.quality.share import Look
from etl.retention.staging_archive import StagingArchive
from etl.warehouse import staging
from etl.warehouse.staging import PARTITIONED
from etl.warehouse.tables import DIM_MEMBER, LIVE
from tests.support import details_model as model
from tests.support.corrections import (
    BATCHES,
    claim,
    correct,
    everything,
    export,
    replay,
    same,
    send,
)
from tests.support.warehouse import Warehouse, failed_critical, fresh_warehouse

LATER = date(2100, 1, 1)
WHOLE = Look((), 0)


@pytest.fixture(autouse=True)
def _one_load_a_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "MOST_LOADS", 1)


def archive(warehouse: Warehouse, before: date = LATER) -> list[str]:
    """Archive what is settled; what was said."""
    warehouse.run(archive_staging.archive, before, confirmed=True)
    return warehouse.watcher.said


def staged(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of staging that is in partitions, without the clock time of its load."""
    found = {}
    for feed in PARTITIONED:
        columns = ", ".join(c.name for c in FEEDS[feed].staged)
        table = FEEDS[feed].table
        query = f"select load_id, source_line, {columns} from staging.{table} order by 1, 2"
        # A rebuild takes the place of the table that a plan is kept for.
        found[table] = warehouse.connection.execute(query, prepare=False).fetchall()
    return found


def returned(warehouse: Warehouse) -> int:
    """How many files have come back so far."""
    return warehouse.value(
        "select count(*) from ledger.staging_archive where state in ('returned', 'removed')"
    )


def failed_with_files(warehouse: Warehouse, look: Look = WHOLE) -> set[str]:
    """Critical checks that fail, those of claims asked of tables and files."""
    answers = run_share(
        warehouse.connection,
        LIVE,
        look,
        [],
        wanted=lambda check: check.severity == CRITICAL,
        archive=StagingArchive(warehouse.data / "staging-archive"),
    )
    return {check.name for check, found in answers if found is None or found.rows_failed}


def as_known(warehouse: Warehouse) -> list[list[tuple[Any, ...]]]:
    """The claims as they were known after each load."""
    loads = warehouse.column("select load_id from ledger.load where status = 'loaded' order by 1")
    query = (
        "select claim_id, service_date, status, paid_amount, member_sk "
        "from warehouse.fact_claim_as_known_at({}) order by 1"
    )
    return [warehouse.rows(query.format(load_id)) for load_id in loads]


def story(warehouse: Warehouse, *, archives: bool) -> Iterator[dict[str, Any]]:
    """What there is after each of the runs that can ask for old rows."""

    def put_away() -> None:
        if archives:
            archive(warehouse)
            assert not any(staged(warehouse).values())

    def load(number: int) -> dict[str, Any]:
        send(warehouse.inbox, number, 0)
        warehouse.incremental(1)
        return everything(warehouse)

    load(0)
    load(1)
    put_away()
    yield load(2)  # late: asks for claims of both
    put_away()
    # The latest: reverses a claim, and withdraws one of which lines stay.
    reversal = claim(6, 8, claim_amount="-30.00", allowed_amount="-20.00", paid_amount="-6.10")
    warehouse.send("2025-04-10", claims=[reversal, claim(1, 1, is_deleted="true")])
    warehouse.incremental(1)
    yield everything(warehouse)
    put_away()
    (path,) = export(warehouse, BATCHES[0][0], "claims")
    correct(0, path)
    replay(warehouse, path)
    yield everything(warehouse)
    put_away()
    warehouse.run(commands.restate, DIM_MEMBER, datetime(2025, 1, 5))
    yield everything(warehouse) | {"as known": as_known(warehouse)}


@pytest.fixture
def twin(admin_url: str, template: str, tmp_path: Path) -> Iterator[Warehouse]:
    """A second warehouse with an inbox of its own."""
    (tmp_path / "twin").mkdir()
    place = tmp_path / "twin"
    with fresh_warehouse(admin_url, template, place, tmp_path / "twin data") as made:
        yield made


def test_every_run_that_asks_for_old_rows_gives_the_same(
    warehouse: Warehouse, twin: Warehouse
) -> None:
    came_back = [0]
    told = zip(story(twin, archives=False), story(warehouse, archives=True), strict=True)
    for wanted, found in told:
        same(found, wanted)
        came_back.append(returned(warehouse))
    # The late batch, the reversal and the replay ask for old rows; the restatement does not.
    grew = [came_back[n] > came_back[n - 1] for n in range(1, len(came_back))]
    assert grew == [True, True, True, False]
    assert failed_with_files(warehouse) == set()
    # Without the files the rows are missed.
    assert failed_critical(warehouse.connection)
    warehouse.rebuild(1)
    found = everything(warehouse)
    same(found, {name: rows for name, rows in wanted.items() if name in found})
    assert {name: len(rows) for name, rows in staged(warehouse).items()} == {
        name: len(rows) for name, rows in staged(twin).items()
    }
    assert not list((warehouse.data / "staging-archive").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_batches_in_any_order_give_the_same_rows(warehouse: Warehouse, seed: int) -> None:
    batches = model.drawn_batches(random.Random(seed))
    random.Random(seed).shuffle(batches)
    found: list[list[Any]] = []
    for archives in (False, True):
        warehouse.clear()
        found.append([])
        for batch in batches:
            warehouse.send(batch.batch_id, **batch.feeds)
            warehouse.incremental()
            if archives:
                archive(warehouse)
            found[-1].append(warehouse.contents())
        assert failed_with_files(warehouse) == set()
        warehouse.run(archive_staging.bring_back)
        found[-1].append(staged(warehouse))
        assert failed_critical(warehouse.connection) == set()
    assert found[0] == found[1]
