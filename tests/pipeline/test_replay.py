"""Corrected and replayed rows give the same warehouse as rows that were right at first."""

from __future__ import annotations

from typing import Any

import pytest

from etl.contracts.reasons import Reason
from etl.errors import UsageError
from tests.support.as_known import as_known, present, without_clock
from tests.support.corrections import (
    BATCHES,
    claim,
    correct,
    everything,
    export,
    load,
    member,
    open_rows,
    put,
    replay,
    rewrite,
    same,
    send,
)
from tests.support.warehouse import Warehouse, failed_critical


@pytest.fixture
def right(other_warehouse: Warehouse) -> dict[str, Any]:
    """The contents of a warehouse whose rows were all right at first."""
    for number in range(len(BATCHES)):
        send(other_warehouse.inbox, number, 1)
        other_warehouse.incremental(1)
    assert open_rows(other_warehouse) == 0
    return everything(other_warehouse)


@pytest.mark.parametrize("order", [-1, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_replay_gives_the_warehouse_of_rows_that_were_right_at_first(
    warehouse: Warehouse, right: dict[str, Any], order: int
) -> None:
    connection = warehouse.connection
    for number in range(len(BATCHES)):
        send(warehouse.inbox, number, 0)
        warehouse.incremental(1)
    dirty = everything(warehouse)
    assert dirty != right
    before = {
        n: present(connection) for (n,) in warehouse.rows("select max(load_id) from ledger.load")
    }
    for number in range(len(BATCHES))[::order]:
        for path in export(warehouse, BATCHES[number][0])[::order]:
            correct(number, path)
            said = replay(warehouse, path)
            assert len(said) == 1, said
            assert "came in and are closed" in said[0]
            (load_id,) = warehouse.rows("select max(load_id) from ledger.load")[0]
            before[load_id] = present(connection)
            assert failed_critical(warehouse.connection) == set()
    assert open_rows(warehouse) == 0
    same(everything(warehouse), right)
    for load_id, state in before.items():
        assert as_known(connection, load_id) == state, load_id
    for _ in range(2):
        warehouse.rebuild()
        same(everything(warehouse), right)
        assert failed_critical(warehouse.connection) == set()
        assert open_rows(warehouse) == 0
        for load_id, state in before.items():
            assert without_clock(as_known(connection, load_id)) == without_clock(state), load_id


@pytest.mark.slow
def test_replayed_rows_of_one_key_rank_as_if_they_had_been_right(
    warehouse: Warehouse, other_warehouse: Warehouse
) -> None:
    sent = [
        claim(1, 1, paid_amount="1.00"),  # another claim 1 comes below: it waits as a conflict
        claim(1, 1, paid_amount="1.50"),
        claim(2, 2, paid_amount="2.00"),  # is valid until the row below is right
        claim(2, 3, paid_amount="two"),
        claim(3, 3),
        claim(3, 3, claim_amount="?"),  # right, it is the same row once more
        claim(4, 4, paid_amount="four"),  # right, it falls behind the row below
        claim(4, 4, paid_amount="4.40"),
        *(claim(4, 4, paid_amount="4.40") for _ in range(2)),
        claim(5, 5),
        claim(6, 6, service_date="never"),
    ]
    corrections = {
        2: {"claim_id": "C8"},
        5: {"paid_amount": "2.50"},
        7: {"claim_amount": "30.00"},
        8: {"paid_amount": "4.00"},
        13: {"service_date": "2025-03-03"},
    }
    right = [{**row, **corrections.get(line, {})} for line, row in enumerate(sent, start=2)]
    later = [claim(6, 6, paid_amount="6.66"), claim(2, 2, paid_amount="2.22")]

    def bring(to: Warehouse, rows: list[dict[str, Any]]) -> None:
        load(to, "2025-01-10", claims=rows, members=[member(n) for n in range(1, 7)])
        load(to, "2025-01-12", claims=later)

    bring(warehouse, sent)
    state = present(warehouse.connection)
    (path,) = export(warehouse, "2025-01-10")
    rewrite(path, lambda row: row | corrections[int(row["_line"])])
    assert replay(warehouse, path) == [
        "4 rows of claims.csv of batch 2025-01-10 came in and are closed.",
        "1 are bad again and stay open: make quarantine says why.",
    ]
    # A corrected row replaced another one, which is open in its place.
    assert warehouse.rows(
        "select line, reason, left(raw_line, 5) from quality.rejected_row "
        "where closed_at is null order by 1"
    ) == [(4, Reason.CONFLICT.text, "C2,M2"), (8, Reason.CONFLICT.text, "C4,M4")]
    bring(other_warehouse, right)
    wanted = everything(other_warehouse)
    for _ in range(2):
        assert failed_critical(warehouse.connection) == set()
        same(everything(warehouse), wanted)
        warehouse.rebuild()
    assert without_clock(as_known(warehouse.connection, 2)) == without_clock(state)


@pytest.mark.slow
def test_replay_corrects_files_of_same_bytes(
    warehouse: Warehouse, other_warehouse: Warehouse
) -> None:
    def bring(to: Warehouse, year: str, price: str) -> None:
        """The same files on the first, fifth, sixth and, between the last two, a late batch."""
        feeds = {
            "members": [member(1, year=year, source_updated_at="2026-01-01T00:00:00Z"), member(2)],
            "claims": [claim(1, 1, paid_amount=price), claim(2, 2)],
        }
        load(to, "2025-01-01", **feeds)
        load(to, "2025-01-03", members=[member(1, state="OH")], claims=[claim(1, 1, channel="c")])
        load(to, "2025-01-05", **feeds)
        load(to, "2025-01-07", **feeds)

    def late(to: Warehouse) -> None:
        load(to, "2025-01-06", members=[member(2, state="WI")], claims=[claim(2, 2, channel="d")])

    bring(warehouse, "-", "-")
    assert warehouse.value("select count(*) from ledger.load_file where status = 'skipped'") == 2
    for path in export(warehouse, "2025-01-01"):
        rewrite(path, put(year="2025") if path.stem == "members" else put(paid_amount="3.00"))
        replay(warehouse, path)
    assert open_rows(warehouse) == 0
    with pytest.raises(UsageError, match="Nothing of batch 2025-01-05 is open"):
        export(warehouse, "2025-01-05")
    late(warehouse)
    assert open_rows(warehouse) == 0

    bring(other_warehouse, "2025", "3.00")
    late(other_warehouse)
    wanted = everything(other_warehouse)
    for _ in range(2):
        assert failed_critical(warehouse.connection) == set()
        same(everything(warehouse), wanted)
        warehouse.rebuild()


def test_snapshot_row_replayed_as_before_keeps_its_first_load(warehouse: Warehouse) -> None:
    load(warehouse, "2025-01-10", claims=[claim(1, 1), claim(2, 2)])
    cut = [claim(1, 1), claim(2, 2, paid_amount="x")]
    load(warehouse, "2025-02-10", snapshots=["claims"], claims=cut)
    loads = "select claim_id, load_id from warehouse.fact_claim order by 1"
    assert warehouse.rows(loads) == [("C1", 1), ("C2", 1)]
    (path,) = export(warehouse, "2025-02-10", "claims")
    rewrite(path, lambda row: row | {"paid_amount": "2.10"})
    replay(warehouse, path)
    assert warehouse.rows(loads) == [("C1", 1), ("C2", 1)]
    assert failed_critical(warehouse.connection) == set()
    before = warehouse.rows("select * from warehouse.fact_claim_history order by 1")
    warehouse.rebuild()
    assert len(warehouse.rows("select * from warehouse.fact_claim_history")) == len(before)
    assert failed_critical(warehouse.connection) == set()
