"""Lines and diagnoses of claims: each claim's set, and what a claim without one has instead."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from etl.pipeline import commands
from etl.pipeline.load import STAGES
from tests.support.archives import read
from tests.support.as_known import as_known, present
from tests.support.corrections import export, replay, rewrite
from tests.support.retention import HORIZON, retain, traces
from tests.support.tables import draw, drawn
from tests.support.warehouse import CopyOf, Warehouse, found_by

FIRST = """
    claim_id | member_id | service_date | diagnosis_code | claim_amount | paid_amount
    C1       | A         | 2025-01-05   | E119           | 100.00       | 90.00
    C2       | A         | 2025-01-06   | I10            | 40.00        | 30.00
    C3       | B         | 2025-02-07   | Z00            | 60.00        | 50.00
"""
LINES = "select claim_id, line_number, service_date, paid_amount, is_from_claim, member_id \
    from warehouse.fact_claim_line join warehouse.dim_member using (member_sk) order by 1, 2"


def load_first(warehouse: Warehouse) -> None:
    warehouse.send(
        "2025-02-10",
        claims=FIRST,
        claim_lines="""
            claim_id | line_number | service_date | line_paid
            C2       | 1           | 2025-01-06   | 10.00
            C2       | 3           | 2025-01-06   | 20.00
            C9       | 1           | 2025-03-01   | 7.00
        """,
    )
    warehouse.incremental()


@pytest.fixture
def first(copy_of: CopyOf) -> Warehouse:
    return copy_of(load_first)


def test_a_claim_has_its_set_or_one_row_made_of_it(first: Warehouse) -> None:
    assert drawn(first.connection, LINES) == [
        line("C1", "1", "2025-01-05", "90.00", "true", "A"),
        line("C2", "1", "2025-01-06", "10.00", "false", "A"),
        line("C2", "3", "2025-01-06", "20.00", "false", "A"),
        line("C3", "1", "2025-02-07", "50.00", "true", "B"),
        line("C9", "1", "2025-03-01", "7.00", "false", ""),
    ]
    assert drawn(
        first.connection,
        "select claim_id, position, diagnosis_code, is_principal, is_from_claim "
        "from warehouse.bridge_claim_diagnosis order by 1",
    ) == [
        {
            "claim_id": claim,
            "position": "1",
            "diagnosis_code": code,
            "is_principal": "true",
            "is_from_claim": "true",
        }
        for claim, code in (("C1", "E119"), ("C2", "I10"), ("C3", "Z00"))
    ]


@pytest.mark.parametrize("status", ["reversed", "approved"])
def test_lines_of_a_claim_reversed_under_its_own_id_count_nothing(
    first: Warehouse, status: str
) -> None:
    assert found_by(first.connection, "fact_claim_line.paid_as_claim").measured == 0
    first.send(
        "2025-02-20",
        claims=f"""
            claim_id|member_id|service_date| status  |claim_amount|allowed_amount|paid_amount
            C2      |A        |2025-01-06  |{status} |-40.00      |-40.00        |-30.00
            C3      |B        |2025-02-07  |{status} |60.00       |50.00         |25.00
        """,
        claim_lines="""
            claim_id | line_number | line_billed | line_paid | units
            C3       | 1           | 60.00       | 50.00     | 2
        """,
    )
    first.incremental()
    counted = """
        select claim_id, sum(billed_usd) as billed, sum(paid_usd) as paid, sum(units) as units
        from mart.claim_line where claim_id <> 'C9' group by claim_id order by 1"""
    assert drawn(first.connection, counted) == draw("""
        claim_id | billed | paid  | units
        C1       | 100.00 | 90.00 |
        C2       | 0.00   | 0.00  | 0
        C3       | 60.00  | 50.00 | 2.000000
    """)
    # What was done stays in the fact; only a claim of which something is left is named.
    assert drawn(first.connection, LINES)[1]["paid_amount"] == "10.00"
    assert found_by(first.connection, "fact_claim_line.paid_as_claim").keys == ({"claim_id": "C3"},)


def test_a_set_replaces_the_one_before_and_waits_for_its_claim(first: Warehouse) -> None:
    first.send(
        "2025-02-11",
        claims="""
            claim_id | member_id | service_date | paid_amount
            C9       | B         | 2025-03-02   | 9.00
            C2       | B         | 2025-02-06   | 30.00
        """,
        claim_lines="""
            claim_id | line_number | service_date | line_paid
            C2       | 2           | 2025-01-06   | 30.00
            C3       | 1           | 2025-02-07   | 50.00
        """,
    )
    first.incremental()
    assert drawn(first.connection, LINES) == [
        line("C1", "1", "2025-01-05", "90.00", "true", "A"),
        line("C2", "2", "2025-02-06", "30.00", "false", "B"),
        line("C3", "1", "2025-02-07", "50.00", "false", "B"),
        line("C9", "1", "2025-03-02", "7.00", "false", "B"),
    ]
    before = first.rows(LINES.replace("warehouse.", "as_known.").replace("member_id", "member_sk"))
    assert len(before) == 4
    (load,) = first.column("select min(load_id) from ledger.load")
    known = "select claim_id, line_number, paid_amount::text, is_from_claim \
        from warehouse.fact_claim_line_as_known_at({}) order by 1, 2"
    assert first.rows(known.format(load)) == [
        ("C1", 1, "90.00", True),
        ("C2", 1, "10.00", False),
        ("C2", 3, "20.00", False),
        ("C3", 1, "50.00", True),
        ("C9", 1, "7.00", False),
    ]


def test_tables_that_a_migration_made_are_filled_by_the_next_load(first: Warehouse) -> None:
    first.send("2025-02-11", claim_lines="claim_id | line_number | line_paid\nC2 | 4 | 4.00")
    first.incremental(1)
    first.connection.execute("truncate warehouse.fact_claim_line, warehouse.bridge_claim_diagnosis")
    first.send("2025-02-12", claim_lines="claim_id | line_number | line_paid\nC3 | 2 | 5.00")
    first.incremental(1)
    assert drawn(first.connection, LINES) == [
        line("C1", "1", "2025-01-05", "90.00", "true", "A"),
        line("C2", "4", "2025-01-06", "4.00", "false", "A"),
        line("C3", "2", "2025-02-07", "5.00", "false", "B"),
        line("C9", "1", "2025-03-01", "7.00", "false", ""),
    ]


def test_corrected_lines_join_the_set_of_their_batch(first: Warehouse) -> None:
    sets = """
        claim_id | line_number | service_date | line_paid
        C1       | 1           | 2025-01-05   | 40.00
        C1       | 2           | 2025-01-05   | {second}
        C2       | 1           | 2025-01-06   | {only}
    """
    claims = FIRST.replace("50.00", "{paid}")
    first.send("2025-02-11", claims=claims.format(paid="55,00"), claim_lines=sets.format(**BAD))
    first.send("2025-02-12", claim_lines="claim_id | line_number | line_paid\nC2 | 4 | 4.00")
    first.incremental(1)
    (load,) = first.column("select max(load_id) from ledger.load")
    states = {load: present(first.connection)}
    for path in export(first, "2025-02-11"):
        rewrite(path, lambda row: {k: RIGHT.get(v, v) for k, v in row.items()})
        assert len(replay(first, path)) == 1
        (load,) = first.column("select max(load_id) from ledger.load")
        states[load] = present(first.connection)
    assert drawn(first.connection, LINES) == [
        line("C1", "1", "2025-01-05", "40.00", "false", "A"),
        line("C1", "2", "2025-01-05", "50.00", "false", "A"),
        # A later batch has another set of it.
        line("C2", "4", "2025-01-06", "4.00", "false", "A"),
        line("C3", "1", "2025-02-07", "55.00", "true", "B"),
        line("C9", "1", "2025-03-01", "7.00", "false", ""),
    ]
    for load, state in states.items():
        assert as_known(first.connection, load) == state, load
    after = first.contents(keys=False)
    first.rebuild(1)
    assert first.contents(keys=False) == after


BAD = {"second": "50,00", "only": "30,00"}
RIGHT = {"50,00": "50.00", "30,00": "30.00", "55,00": "55.00"}
OLD = "claim_id | service_date | diagnosis_code\nOLD1 | 2023-01-15 | \nOLD2 | 2023-02-15 | E119"
OLD_LINES = """
    claim_id | line_number | service_date | line_paid
    OLD1     | 1           | 2023-01-15   | 10.00
    OLD1     | 2           | 2024-03-15   | 10.00
    OLD3     | 1           | 2023-03-15   | 10.00
"""


@pytest.mark.slow
def test_lines_go_with_their_claim_when_its_time_is_over(warehouse: Warehouse) -> None:
    warehouse.send(
        "2025-01-01",
        claims=f"{OLD}\nNEW1 | 2025-01-01 | Z00",
        claim_lines=f"""{OLD_LINES}
            NEW1     | 1           | 2023-01-15   | 10.00
            NEW2     | 1           | 2025-01-15   | 10.00
        """,
        claim_diagnoses="""
            claim_id | position | service_date | diagnosis_code
            OLD1     | 1        | 2023-01-15   | E119
            NEW1     | 2        | 2025-01-01   | E119
        """,
    )
    warehouse.incremental(1)
    retain(warehouse)
    gone = ["OLD1", "OLD2", "OLD3"]
    assert traces(warehouse, gone) == []
    left = [("NEW1", 1, "10.00", False), ("NEW2", 1, "10.00", False)]
    lines = "select claim_id, line_number, paid_amount::text, is_from_claim \
        from warehouse.fact_claim_line order by 1"
    assert warehouse.rows(lines) == left
    folder = warehouse.data / "archive" / f"before-{HORIZON}"
    archived = read(folder)
    assert {name: len(rows) for name, rows in archived.items()} == {
        "claims-2023.parquet": 2,
        "claim_lines-2023.parquet": 3,
        "claim_diagnoses-2023.parquet": 1,
    }
    # What comes again counts as expired at once, and a rebuild leaves the same out.
    warehouse.send("2025-01-02", claim_lines=OLD_LINES.replace("2024", "2023"))
    warehouse.incremental(1)
    assert traces(warehouse, gone) == []
    after = warehouse.contents(keys=False)
    warehouse.rebuild(1)
    assert warehouse.rows(lines) == left
    assert warehouse.contents(keys=False) == after
    assert traces(warehouse, gone) == []


def line(*values: str) -> dict[str, str]:
    names = ("claim_id", "line_number", "service_date", "paid_amount", "is_from_claim", "member_id")
    return {name: value for name, value in zip(names, values, strict=True) if value}


# Any order of batches

Batch = dict[str, Any]
FEEDS = {
    "claim_lines": ("fact_claim_line", "line_number", "line_paid", "paid_amount"),
    "claim_diagnoses": (
        "bridge_claim_diagnosis",
        "position",
        "diagnosis_code",
        "diagnosis_code",
    ),
}


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=pytest.mark.slow) for seed in range(10)])
def test_any_order_of_batches_gives_the_rows_of_the_latest_sets(
    warehouse: Warehouse, seed: int
) -> None:
    dice = random.Random(seed)
    batches = [batch(dice, day) for day in range(5)]
    for number in dice.sample(range(5), 5):
        warehouse.send(**batches[number])
        warehouse.incremental(reject_share=1)
        if dice.random() < 0.5:
            with warehouse.pipeline(reject_share=1) as pipeline:
                commands.run_stages(pipeline, STAGES)
    incremental = warehouse.contents(keys=False)
    for feed, (table, *_) in FEEDS.items():
        assert found(warehouse, feed) == expected(warehouse, batches, feed), table
    warehouse.rebuild(reject_share=1)
    assert warehouse.contents(keys=False) == incremental


def batch(dice: random.Random, day: int) -> Batch:
    """A batch with some claims and sets of some, not always of the same."""
    claims = [f"C{n}" for n in range(6)]
    sent: Batch = {"batch_id": f"2025-06-{10 + day}"}
    if dice.random() < 0.8:
        rows = [claim_row(dice, claim) for claim in dice.sample(claims, 4)]
        sent["claims"] = rows
    for feed, (_, number, value, _) in FEEDS.items():
        if dice.random() < 0.8:
            sent[feed] = [
                {
                    "claim_id": claim,
                    number: n,
                    "service_date": some_day(dice),
                    value: f"{dice.randint(1, 3)}.00" if feed == "claim_lines" else f"E1{n}",
                }
                for claim in dice.sample(claims, 3)
                for n in dice.sample(range(1, 5), dice.randint(1, 3))
            ]
    sent.setdefault("claims", [claim_row(dice, "C0")])
    sent["snapshots"] = [name for name in sent if name != "batch_id" and dice.random() < 0.15]
    return sent


def claim_row(dice: random.Random, claim: str) -> dict[str, Any]:
    return {
        "claim_id": claim,
        "member_id": dice.choice("AB"),
        "service_date": some_day(dice),
        "paid_amount": f"{dice.randint(1, 9)}.00",
        "diagnosis_code": dice.choice(["Z00", "Z01"]),
        "is_deleted": "true" if dice.random() < 0.2 else None,
    }


def some_day(dice: random.Random) -> str:
    return str(date(2025, 5, 30) + timedelta(days=dice.randint(0, 3)))


def expected(warehouse: Warehouse, batches: list[Batch], feed: str) -> list[tuple[Any, ...]]:
    """The latest set of each claim by batch, or what the claim itself says."""
    _, number, staged, column = FEEDS[feed]
    sets: dict[str, list[dict[str, Any]]] = {}
    for sent in batches:
        if feed in sent["snapshots"]:
            sets = {}
        named = {row["claim_id"] for row in sent.get(feed, ())}
        sets |= {c: [row for row in sent[feed] if row["claim_id"] == c] for c in named}
    claims = {
        claim: rest
        for claim, *rest in warehouse.rows(
            f"select claim_id, service_date, member_sk, {column} from warehouse.fact_claim"
        )
    }
    rows: list[tuple[Any, ...]] = []
    for claim in claims.keys() | sets.keys():
        of_claim = claims.get(claim)
        for row in sets.get(claim, ()):
            day = of_claim[0] if of_claim else date.fromisoformat(row["service_date"])
            value = Decimal(row[staged]) if feed == "claim_lines" else row[staged]
            member = of_claim[1] if of_claim else -1
            rows.append((claim, row[number], day, member, value, False))
        if of_claim and claim not in sets:
            rows.append((claim, 1, *of_claim, True))
    return sorted(rows)


def found(warehouse: Warehouse, feed: str) -> list[tuple[Any, ...]]:
    table, number, _, column = FEEDS[feed]
    return warehouse.rows(
        f"select claim_id, {number}, service_date, member_sk, {column}, is_from_claim "
        f"from warehouse.{table} order by 1, 2"
    )
