"""Staging of claims in partitions: which a load fills, and which a late batch reads."""

from __future__ import annotations

import random
from typing import Any

import pytest

from etl.contracts.feeds import FEEDS
from etl.db.connection import set_search_path
from etl.pipeline import commands
from etl.stages.stage import load_ranges
from etl.warehouse import staging
from etl.warehouse.tables import LIVE
from tests.support import details_model as model
from tests.support.plans import Node, looked_at, nodes, watch
from tests.support.warehouse import Warehouse, failed_critical

BOUNDS = """
    select c.relname, pg_get_expr(c.relpartbound, c.oid)
    from pg_inherits as i
    inner join pg_class as c on i.inhrelid = c.oid
    where i.inhparent = 'staging.claims_raw'::regclass
    order by 1
"""
PARTITIONS = """
    select i.inhrelid::regclass::text
    from pg_inherits as i
    inner join pg_class as c on i.inhparent = c.oid
    where c.relnamespace = 'staging'::regnamespace and c.relkind = 'p'
"""


def claims(*numbers: int, paid: int = 1, day: str = "2025-01-05") -> list[dict[str, Any]]:
    return [
        {"claim_id": f"C{n:06}", "member_id": "A", "service_date": day, "paid_amount": f"{paid}.00"}
        for n in numbers
    ]


def lines(*numbers: int, paid: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "claim_id": f"C{n:06}",
            "line_number": 1,
            "service_date": "2025-01-05",
            "line_paid": f"{paid}.00",
        }
        for n in numbers
    ]


def of_loads(warehouse: Warehouse) -> dict[str, list[int]]:
    """The loads of which each partition has rows."""
    rows = warehouse.rows(
        "select tableoid::regclass::text, array_agg(distinct load_id order by load_id) "
        "from staging.claims_raw group by 1 order by 1"
    )
    return dict(rows)


def test_a_partition_takes_as_many_loads_as_files_of_its_size_fill_it() -> None:
    assert [staging.loads_of(size) for size in (0, 1, 8 << 20, 64 << 20, 200 << 20, 1 << 40)] == [
        *(32, 32, 32, 4, 1, 1)
    ]


def test_large_files_have_partitions_of_their_own_and_small_ones_share(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MOST_LOADS", 3)
    for number in range(1, 6):
        monkeypatch.setattr(staging, "PARTITION_BYTES", 1 if number == 1 else 1 << 20)
        warehouse.send(f"2025-01-{number:02}", claims=claims(number))
        warehouse.run(commands.run_stages, ("stage",))
    assert of_loads(warehouse) == {
        "internal.claims_raw_000001": [1],
        "internal.claims_raw_000002": [2, 3, 4],
        "internal.claims_raw_000005": [5],
    }
    assert warehouse.rows(BOUNDS) == [
        ("claims_raw_000001", "FOR VALUES FROM ('1') TO ('2')"),
        ("claims_raw_000002", "FOR VALUES FROM ('2') TO ('5')"),
        ("claims_raw_000005", "FOR VALUES FROM ('5') TO ('8')"),
    ]


def test_a_load_that_is_staged_after_later_ones_has_a_partition_that_ends_before_theirs(
    warehouse: Warehouse,
) -> None:
    connection = warehouse.connection
    with connection.transaction():
        set_search_path(connection, LIVE.schemas.path)
        for load_id in (50, 5, 45, 82):
            size = {"size_bytes": 0, "is_rebuild": False}
            with load_ranges.opened(connection, FEEDS["claims"], load_id, **size) as into:
                assert into.table == f"claims_raw_{load_id:06}"
        with load_ranges.opened(connection, FEEDS["claims"], 36, **size) as into:
            assert into.table == "claims_raw"
    assert [bounds for _, bounds in warehouse.rows(BOUNDS)] == [
        "FOR VALUES FROM ('5') TO ('37')",
        "FOR VALUES FROM ('45') TO ('50')",
        "FOR VALUES FROM ('50') TO ('82')",
        "FOR VALUES FROM ('82') TO ('114')",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_rows_are_the_same_in_one_partition_and_in_one_for_each_load(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    drawn = random.Random(seed)
    batches = model.drawn_batches(drawn)
    drawn.shuffle(batches)
    found = []
    for most_loads in (1_000, 1):
        monkeypatch.setattr(staging, "MOST_LOADS", most_loads)
        warehouse.clear()
        for partition in warehouse.column(PARTITIONS):
            warehouse.connection.execute(f"drop table {partition}")
        for batch in batches:
            warehouse.send(batch.batch_id, **batch.feeds)
            warehouse.incremental()
        assert failed_critical(warehouse.connection) == set()
        found.append(warehouse.contents())
        warehouse.rebuild()
        found.append(warehouse.contents())
    assert found[0] == found[2]
    assert found[1] == found[3]


def read_parts(plan: Node) -> set[str]:
    """The partitions of staging that a plan as it ran has read rows of, or whole."""
    return {
        node["Relation Name"]
        for node in nodes(plan)
        if staging.is_partition(node.get("Relation Name", ""))
        and node["Actual Loops"]
        and (node["Node Type"] == "Seq Scan" or looked_at(node))
    }


def test_a_late_batch_reads_the_partitions_that_have_its_claims(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MOST_LOADS", 1)
    for number in (1, 3, 4, 5):
        of_load = range(number * 10_000, number * 10_000 + 500)
        feeds = {"claims": claims(*of_load), "claim_lines": lines(*of_load)}
        warehouse.send(f"2025-01-{number:02}", **feeds)
        warehouse.run(commands.run_stages, ("stage", "dims", "facts"))
    late = {"claims": claims(30001, 30002, 90000, paid=0), "claim_lines": lines(30001, paid=0)}
    warehouse.send("2025-01-02", **late)
    plans: list[tuple[str, Node]] = []
    with warehouse.pipeline() as pipeline:
        watch(pipeline.work, lambda query, plan: plans.append((query, plan)))
        commands.run_stages(pipeline, ("stage", "dims", "facts"))
    read = {table for _, plan in plans for table in read_parts(plan)}
    own = {"claims_raw_000005", "claim_lines_raw_000005"}
    assert read == {*own, "claims_raw_000002", "claim_lines_raw_000002"}
    states = "select claim_id, load_id, paid_amount::int from internal.fact_claim_state order by 1"
    assert warehouse.rows(states) == [("C030001", 5, 0), ("C030002", 5, 0)]
