"""Settled partitions of staging in files: with and without them every run gives the same rows."""

from __future__ import annotations

import random
from datetime import date
from typing import Any

import pytest

from etl.contracts.checks import CRITICAL
from etl.contracts.feeds import FEEDS
from etl.pipeline import archive_staging
from etl.quality.runner import run_share
from etl.quality.share import Look
from etl.retention.staging_archive import StagingArchive
from etl.warehouse import staging
from etl.warehouse.staging import PARTITIONED
from etl.warehouse.tables import LIVE
from tests.support import details_model as model
from tests.support.warehouse import Warehouse, failed_critical

LATER = date(2100, 1, 1)
WHOLE = Look((), 0)
STATES = """
    select claim_id, service_date, paid_amount, status
    from internal.fact_claim_state
    order by 1, 2, 3
"""


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


def in_files(warehouse: Warehouse) -> int:
    return warehouse.value(
        "select coalesce(sum(row_count), 0) from ledger.staging_archive where state = 'archived'"
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


def live_through(warehouse: Warehouse, seed: int, *, archives: bool) -> list[Any]:
    """Batches in any order; what there is after each, and after a rebuild."""
    batches = model.drawn_batches(random.Random(seed))
    random.Random(seed).shuffle(batches)
    found: list[Any] = []
    for batch in batches:
        warehouse.send(batch.batch_id, **batch.feeds)
        warehouse.incremental()
        if archives:
            archive(warehouse)
            assert not any(staged(warehouse).values())
        found += [warehouse.contents(), warehouse.rows(STATES)]
    assert failed_with_files(warehouse) == set()
    assert bool(failed_critical(warehouse.connection)) == archives
    warehouse.run(archive_staging.bring_back)
    found.append(staged(warehouse))
    if archives:
        archive(warehouse)
    warehouse.rebuild()
    found += [warehouse.contents(), staged(warehouse)]
    return found


@pytest.mark.parametrize("seed", [1])
def test_batches_in_any_order_give_the_same_rows(warehouse: Warehouse, seed: int) -> None:
    wanted = live_through(warehouse, seed, archives=False)
    warehouse.clear()
    found = live_through(warehouse, seed, archives=True)
    assert found == wanted
