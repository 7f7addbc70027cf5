"""Settled partitions of staging in files: with and without them every run gives the same rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.contracts.feeds import FEEDS
from etl.errors import AcaError, RestoreError, UsageError
from etl.pipeline import archive_staging, commands, erase
from etl.quality.share import Look
from etl.retention import parquet
from etl.warehouse import staging
from etl.warehouse.staging import PARTITIONED
from etl.warehouse.tables import DIM_MEMBER
from tests.support import details_model as model
from tests.support.archives import failed_with_files
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
from tests.support.retention import OLD_CLAIMS, retain, send_all
from tests.support.warehouse import Warehouse, failed_critical, fresh_warehouse

LATER = date(2100, 1, 1)


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
        # A rebuild replaces the table that a plan is kept for.
        found[table] = warehouse.connection.execute(query, prepare=False).fetchall()
    return found


def returned(warehouse: Warehouse) -> int:
    """How many files have come back so far."""
    return warehouse.value(
        "select count(*) from ledger.staging_archive where state in ('returned', 'removed')"
    )


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


@pytest.mark.slow
def test_every_run_that_asks_for_old_rows_gives_the_same(
    warehouse: Warehouse, twin: Warehouse
) -> None:
    came_back = [0]
    compared = zip(story(twin, archives=False), story(warehouse, archives=True), strict=True)
    for wanted, found in compared:
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


def sent(warehouse: Warehouse) -> None:
    """Two settled loads of claims, the first with its members."""
    send(warehouse.inbox, 0, 0)
    send(warehouse.inbox, 1, 0)
    warehouse.incremental(1)


@pytest.mark.slow
def test_command_shows_then_does_and_says_what_it_cannot(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(warehouse)
    rows = staged(warehouse)
    for text in ("", "soon", "2025-13-01"):
        with pytest.raises(UsageError, match="before which staging is to be archived"):
            archive_staging.day_of(text)
    both = warehouse.command("archive-staging", "--back", "--before", "2025-01-01")
    assert (both.returncode, "Name one of the two" in both.stderr) == (UsageError.exit_code, True)
    place = warehouse.data / "staging-archive"
    warehouse.run(archive_staging.archive, LATER)
    assert "Nothing was changed" in warehouse.watcher.said[-1]
    assert staged(warehouse) == rows
    assert not place.exists()
    # The batch of January alone: its partitions have nothing of another.
    said = archive(warehouse, date(2025, 2, 1))
    assert "3 settled partitions of staging with 9 rows" in said[-1]
    assert {row[0] for found in staged(warehouse).values() for row in found} == {2}
    assert place.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}
    (path,) = place.glob("claims-*.parquet")
    archived = pq.read_table(path)
    assert archived.schema.field("paid_amount").type == pa.decimal128(14, 2)
    assert archived.schema.field("service_date").type == pa.date32()
    assert warehouse.overview().archived[:2] == (3, 9)
    assert "Nothing to do" in archive(warehouse, date(2025, 2, 1))[-1]
    # A run that asks for rows of a file that is not as it was written says so and changes nothing.
    kept = path.read_bytes()
    damages: tuple[Callable[[], object], ...] = (
        path.unlink,
        lambda: path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1])),
    )
    send(warehouse.inbox, 2, 0)
    before = warehouse.contents()
    for damage in damages:
        damage()
        ended = warehouse.command("incremental", REJECT_SHARE="1")
        assert ended.returncode == RestoreError.exit_code, ended.stderr
        assert path.name in ended.stderr
        assert warehouse.contents()["fact_claim"] == before["fact_claim"]
        path.write_bytes(kept)
    warehouse.incremental(1)
    # A value that would not come back as it was keeps the partition where it is.
    monkeypatch.setattr(parquet, "as_csv", lambda path, columns, among=None: iter(()))
    with pytest.raises(AcaError, match="reads back as 0 rows"):
        archive(warehouse)
    monkeypatch.undo()
    assert not list(place.glob("*-000002-*.parquet"))
    warehouse.run(archive_staging.bring_back)
    assert {table: found[: len(rows[table])] for table, found in staged(warehouse).items()} == rows
    assert list(place.iterdir()) == []


@pytest.mark.slow
def test_a_share_of_the_months_is_looked_at_with_rows_of_files(warehouse: Warehouse) -> None:
    sent(warehouse)
    send(warehouse.inbox, 3, 0)
    warehouse.incremental(1)
    archive(warehouse)
    share = Look((date(2025, 1, 1),), 3, since_load_id=3)
    assert failed_with_files(warehouse, share) == set()
    since = Look((), 3, since_load_id=1, loads_since=(2, 3))
    assert failed_with_files(warehouse, since) == set()
    change = "update warehouse.fact_claim set paid_amount = 0.07 where claim_id = 'C1'"
    warehouse.connection.execute(change)
    assert "fact_claim.latest_state" in failed_with_files(warehouse)


@pytest.mark.slow
def test_erasure_and_retention_reach_what_is_in_files(warehouse: Warehouse) -> None:
    send_all(warehouse)
    archive(warehouse)
    warehouse.run(erase.erase, "M3", "asked to")
    files = list((warehouse.data / "staging-archive").glob("claims-*.parquet"))
    assert not any("M3" in pq.read_table(file)["member_id"].to_pylist() for file in files)
    assert warehouse.rows("select 1 from staging.claims_raw where member_id = 'M3'") == []
    archive(warehouse)
    retain(warehouse)
    left = warehouse.column("select claim_id from staging.claims_raw")
    archived = [
        claim
        for file in (warehouse.data / "staging-archive").glob("claims-*.parquet")
        for claim in pq.read_table(file)["claim_id"].to_pylist()
    ]
    assert not set(OLD_CLAIMS) & {*left, *archived}
    assert failed_with_files(warehouse) == set()
    # An old row of a claim that stays for another row of it, which is in a file.
    archive(warehouse)
    late = {"claim_id": "MOVED", "member_id": "M2", "service_date": "2023-11-11"}
    warehouse.send("2025-04-01", claims=[late])
    warehouse.incremental(1)
    kept = "select count(*) from staging.claims_raw where claim_id = 'MOVED'"
    assert warehouse.value(kept) == 3
    assert failed_with_files(warehouse) == set()
