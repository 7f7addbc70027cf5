"""Loads after old rows have gone: what they bring from before the horizon counts as expired."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

import pytest

from etl.errors import BatchError
from tests.support.corrections import export, put, replay, rewrite
from tests.support.feeds import write_batch
from tests.support.retention import BATCHES, rebuild_gives_the_same, retain, seen, send_all
from tests.support.tables import draw
from tests.support.warehouse import Warehouse, differing_cubes, failed_critical

pytestmark = pytest.mark.slow


@pytest.fixture
def sent(warehouse: Warehouse) -> Warehouse:
    """A warehouse with four batches of three years."""
    send_all(warehouse)
    return warehouse


def test_a_file_that_comes_again_brings_nothing_old(sent: Warehouse) -> None:
    retain(sent)
    kept = seen(sent)
    first = dict(BATCHES)["2023-02-01"]
    write_batch(sent.inbox, "2025-04-01", claims=first["claims"], enrollments=first["enrollments"])
    sent.incremental(1)
    again = seen(sent)
    assert again["staged claims"][:-2] == kept["staged claims"]
    assert sent.rows(
        "select feed, rows_read, rows_loaded, rows_expired, totals -> 'paid_amount' "
        "from ledger.load_file where load_id = (select max(load_id) from ledger.load) order by 1"
    ) == [
        (
            "claims",
            5,
            # MOVED and BACK have newer states, which these replace.
            2,
            3,
            {
                "in_file": "150.15",
                "loaded": "70.07",
                "rejected": "0.00",
                "duplicate": "0.00",
                "expired": "80.08",
                "filtered": "0.00",
                "unread": 0,
            },
        ),
        ("enrollments", 3, 1, 2, None),
    ]
    assert not sent.rows("select * from warehouse.fact_claim where claim_id in ('OLD', 'LAST')")
    assert failed_critical(sent.connection) == set()
    rebuild_gives_the_same(sent)


def test_the_summary_says_what_of_a_file_expired(sent: Warehouse) -> None:
    retain(sent)
    write_batch(
        sent.inbox,
        "2025-04-01",
        claims=draw("""
            claim_id | service_date | paid_amount
            A        | 2023-03-03   | 1.50
            B        | 2024-03-03   | 2.50
        """),
    )
    summary = sent.incremental(1)
    [file] = summary.files
    assert file.counts() == {
        "rows_read": 2,
        "rows_loaded": 1,
        "rows_rejected": 0,
        "rows_duplicate": 0,
        "rows_expired": 1,
        "rows_filtered": 0,
        "rows_added": 0,
    }
    assert file.totals["paid_amount"]["loaded"] == "2.50"
    assert file.totals["paid_amount"]["expired"] == "1.50"
    assert not sent.rows("select * from warehouse.fact_claim where claim_id = 'A'")


def test_a_replayed_row_from_before_the_horizon_expires(sent: Warehouse) -> None:
    write_batch(
        sent.inbox,
        "2025-04-01",
        claims=draw("""
            claim_id | service_date | paid_amount
            A        | 2023-03-03   | wrong
            B        | 2024-03-03   | wrong
            C        | 2024-03-03   | 3.50
        """),
    )
    sent.incremental(1)
    retain(sent)
    [path] = export(sent, "2025-04-01", "claims")
    rewrite(path, put(paid_amount="1.50"))
    replay(sent, path)
    assert sent.rows(
        "select rows_read, rows_loaded, rows_rejected, rows_expired, totals -> 'paid_amount' "
        "from ledger.load_file f join ledger.load l using (load_id) "
        "where batch_id = '2025-04-01' and feed = 'claims'"
    ) == [
        (
            3,
            2,
            0,
            1,
            {
                "in_file": "6.50",
                "loaded": "5.00",
                "rejected": "0.00",
                "duplicate": "0.00",
                "expired": "1.50",
                "filtered": "0.00",
                "unread": 0,
            },
        )
    ]
    assert sent.rows("select claim_id from warehouse.fact_claim where claim_id < 'BA'") == [("B",)]
    assert not sent.rows("select * from internal.fact_claim_past where claim_id = 'A'")
    assert failed_critical(sent.connection) == set()
    rebuild_gives_the_same(sent)


def test_a_full_load_needs_no_file_whose_rows_have_all_expired(sent: Warehouse) -> None:
    retain(sent)
    kept = sent.contents()
    (sent.inbox / "2023-06-01" / "claims.csv").unlink()
    sent.rebuild(1)
    assert sent.contents() == kept
    # What the horizon does not reach is missed as ever.
    (sent.inbox / "2023-02-01" / "claims.csv").unlink()
    with pytest.raises(BatchError, match="would lose what came from a file"):
        sent.rebuild(1)


def test_parts_of_a_feed_count_their_own_expired_rows(warehouse: Warehouse) -> None:
    write_batch(warehouse.inbox, "2025-03-01", members=[{"member_id": "A"}])
    folder = warehouse.inbox / "2025-03-01"
    days = {"1": ["2023-05-01", "2024-05-01"], "2": ["2023-06-01", "2023-07-01", "2024-07-01"]}
    for part, of_part in days.items():
        claims = [{"claim_id": f"{part}{n}", "service_date": day} for n, day in enumerate(of_part)]
        sent = write_batch(warehouse.data / part, "x", claims=claims)
        (sent / "claims.csv").rename(folder / f"claims_{part}.csv")
    warehouse.incremental(1)
    retain(warehouse)
    parts = (
        "select part, rows_read, rows_loaded, rows_expired from ledger.load_file_part "
        "join ledger.load using (load_id) where feed = 'claims' and status = 'loaded' order by 1"
    )
    assert warehouse.rows(parts) == [(1, 2, 1, 1), (2, 3, 1, 2)]
    assert failed_critical(warehouse.connection) == set()
    warehouse.rebuild(1)
    assert warehouse.rows(parts) == [(1, 2, 1, 1), (2, 3, 1, 2)]


def test_a_skipped_file_that_is_loaded_after_all_has_its_expired_rows(warehouse: Warehouse) -> None:
    same = draw("""
        claim_id | service_date
        OLD      | 2023-05-01
        A        | 2024-05-01
    """)
    write_batch(warehouse.inbox, "2025-03-01", claims=same)
    write_batch(warehouse.inbox, "2025-05-01", claims=same)
    warehouse.incremental(1)
    retain(warehouse)
    write_batch(
        warehouse.inbox,
        "2025-04-01",
        claims=draw("""
            claim_id | service_date | status
            A        | 2024-05-01   | pending
        """),
    )
    warehouse.incremental(1)
    assert warehouse.rows(
        "select batch_id, f.status, rows_read, rows_loaded, rows_expired from ledger.load_file f "
        "join ledger.load l using (load_id) order by 1"
    ) == [
        ("2025-03-01", "loaded", 2, 1, 1),
        ("2025-04-01", "loaded", 1, 1, 0),
        ("2025-05-01", "loaded", 2, 1, 1),
    ]
    assert failed_critical(warehouse.connection) == set()
    rebuild_gives_the_same(warehouse)


def a_day(chance: random.Random) -> date:
    """A day around the horizon, on either side of it as often."""
    return date(2024, 1, 1) + timedelta(days=chance.randrange(-20, 20))


def drawn_feeds(chance: random.Random) -> dict[str, list[dict[str, Any]]]:
    """Rows of few keys: they come again, move over the horizon and take each other's place."""
    people = [f"M{n}" for n in range(4)]
    claims = {
        f"C{n}": {
            "member_id": chance.choice(people),
            "plan_id": "P",
            "service_date": a_day(chance),
            "paid_amount": f"{chance.randrange(-5, 20)}.{chance.randrange(100):02}",
            "is_deleted": "true" if chance.random() < 0.1 else "",
        }
        for n in chance.sample(range(12), 6)
    }
    enrollments = {}
    for n in chance.sample(range(6), 3):
        start = a_day(chance) - timedelta(days=5)
        enrollments[f"E{n}"] = {
            "member_id": chance.choice(people[:2]),
            "plan_id": "P",
            "start_date": date(2023, 12, chance.choice([10, 20])) if n < 4 else start,
            "end_date": chance.choice(["", start + timedelta(days=chance.randrange(-9, 30))])
            if n >= 4
            else a_day(chance).replace(month=1, year=2024)
            if chance.random() < 0.5
            else date(2023, 12, 28),
            "is_deleted": "true" if chance.random() < 0.1 else "",
        }
    feeds: dict[str, list[dict[str, Any]]] = {
        "claims": [{"claim_id": key, **row} for key, row in claims.items()],
        "enrollments": [{"enrollment_id": key, **row} for key, row in enrollments.items()],
    }
    if chance.random() < 0.6:
        named = chance.sample(people, 2)
        feeds["members"] = [
            {"member_id": m, "last_name": chance.choice("abc"), "state": "TX"} for m in named
        ]
    return feeds


def write_drawn(warehouse: Warehouse, chance: random.Random, batch_id: str) -> None:
    feeds = drawn_feeds(chance)
    files = {f"{feed}.csv": {"kind": "snapshot"} for feed in feeds if chance.random() < 0.15}
    manifest = {"files": {name: kind for name, kind in files.items() if "members" not in name}}
    write_batch(warehouse.inbox, batch_id, manifest, **feeds)


@pytest.mark.parametrize(
    "seed", [1, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 23))]
)
def test_drawn_batches_give_one_warehouse_live_or_rebuilt(warehouse: Warehouse, seed: int) -> None:
    chance = random.Random(seed)
    days = [f"2024-0{month}-{day}" for month in (2, 3, 4) for day in (10, 20)] + ["2025-02-01"]
    chance.shuffle(days)
    for day in days[:5]:
        write_drawn(warehouse, chance, day)
        warehouse.incremental(1)
    if max(days[:5]) < "2025":
        write_drawn(warehouse, chance, "2025-03-01")
        warehouse.incremental(1)
    retain(warehouse)
    assert failed_critical(warehouse.connection) == set()
    for day in days[5:]:
        write_drawn(warehouse, chance, day)
        warehouse.incremental(1)
    assert failed_critical(warehouse.connection) == set()
    rebuild_gives_the_same(warehouse)
    assert failed_critical(warehouse.connection) == set()
    assert differing_cubes(warehouse.connection) == []
