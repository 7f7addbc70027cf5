"""Settled partitions of staging in files, on a cluster: the rows of one server after each run."""

from __future__ import annotations

from datetime import date

import pytest

from etl.pipeline import archive_staging
from etl.warehouse import staging
from tests.support.archives import failed_with_files
from tests.support.corrections import BATCHES, claim, correct, export, replay, send
from tests.support.rehearsed import require_same
from tests.support.warehouse import Warehouse

LATER = date(2100, 1, 1)


@pytest.fixture(autouse=True)
def _one_load_a_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "MOST_LOADS", 1)


def put_away(*warehouses: Warehouse) -> None:
    for one in warehouses:
        one.run(archive_staging.archive, LATER, confirmed=True)
        assert one.value("select count(*) from ledger.staging_archive where state = 'archived'")


def follow(plain: Warehouse, clustered: Warehouse) -> None:
    """Runs that ask for rows in files, each compared."""
    both = (plain, clustered)
    for one in both:
        send(one.inbox, 0, 0)
        one.rebuild(1)
        send(one.inbox, 1, 0)
        one.incremental(1)
    put_away(*both)
    require_same(*both)
    for one in both:
        send(one.inbox, 2, 0)  # late
        one.incremental(1)
    require_same(*both)
    put_away(*both)
    for one in both:
        reversal = claim(6, 8, claim_amount="-30.00", allowed_amount="-20.00", paid_amount="-6.10")
        one.send("2025-04-10", claims=[reversal, claim(1, 1, is_deleted="true")])
        one.incremental(1)
    require_same(*both)
    put_away(*both)
    for one in both:
        (path,) = export(one, BATCHES[0][0], "claims")
        correct(0, path)
        replay(one, path)
    require_same(*both)
    put_away(*both)
    assert failed_with_files(clustered) == failed_with_files(plain) == set()
    for one in both:
        one.run(archive_staging.bring_back)
    require_same(*both)


@pytest.mark.slow
def test_runs_that_ask_for_rows_in_files_give_the_rows_of_one_server(
    warehouse: Warehouse, on_cluster: Warehouse
) -> None:
    follow(warehouse, on_cluster)


@pytest.mark.cluster
@pytest.mark.slow
def test_runs_on_nodes_that_ask_for_rows_in_files_give_the_rows_of_one_server(
    warehouse: Warehouse, on_nodes: Warehouse
) -> None:
    follow(warehouse, on_nodes)
