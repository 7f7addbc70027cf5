"""Facts against a slow, obvious model: hostile sequences of batches, loaded in any order.

One drawn sequence holds many claims and enrollments that have nothing to do with each other, so
that a few runs try many cases. The model knows lists and nothing of how the facts are loaded.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from etl.docs import report_queries
from etl.pipeline import commands
from etl.pipeline.load import STAGES
from etl.warehouse.tables import CUBES, LIVE
from tests.support.warehouse import Warehouse, differing_cubes, failed_critical

CLAIMS = 40
PEOPLE = 10  # whose enrollments collide
FIRST = datetime(2025, 6, 1)
TIERS = ["Silver", "SILVER", "Gold"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Batch:
    """A batch: its place among the others is (as_of, batch_id)."""

    as_of: datetime
    batch_id: str
    members: list[Row]
    claims: list[Row]
    enrollments: list[Row]
    plans: list[Row] = field(default_factory=list)
    providers: list[Row] = field(default_factory=list)
    snapshots: frozenset[str] = frozenset()

    @property
    def rank(self) -> tuple[datetime, bytes]:
        return (self.as_of, self.batch_id.encode())


# The model


def last_lines(rows: list[Row], key: str) -> list[Row]:
    """What is staged of a file: of the rows of one identifier the last, in the file's order."""
    return [row for n, row in enumerate(rows) if all(r[key] != row[key] for r in rows[n + 1 :])]


def claim_state(row: Row) -> tuple[Any, ...]:
    """What makes two states of a claim different, as the warehouse stores it."""
    return (
        row["service_date"],
        *(row[key] or "" for key in ("member_id", "provider_id", "plan_id")),
        row["status"],
        row["paid_amount"],
        row["diagnosis_code"],
        row["utilization"].quantize(Decimal("0.000001")),
    )


def reverses(row: Row) -> bool:
    """Whether a row reverses what its claim was before."""
    return row["paid_amount"] < 0 and row["status"] != "adjusted"


Chain = list[tuple[int, tuple[Any, ...] | None]]


def chains(batches: list[Batch], order: list[int]) -> dict[str, Chain]:
    """Every claim's states in the order of the batches, each with the load that brought it.

    None where the claim is gone: by a marker, or for a snapshot that lacks it. Nothing is left of
    a claim that goes below zero after an earlier state: it is reversed.
    """
    found: dict[str, Chain] = {}
    seen: set[str] = set()
    for batch in sorted(batches, key=lambda b: b.rank):
        load_id = order.index(batches.index(batch)) + 1
        rows = last_lines(batch.claims, "claim_id")
        for row in rows:
            chain = found.setdefault(row["claim_id"], [])
            is_reversal = reverses(row)
            # An earlier row of the same file is reversed as well.
            if is_reversal and any(
                r["claim_id"] == row["claim_id"] and not reverses(r) and not r.get("is_deleted")
                for r in batch.claims
            ):
                seen.add(row["claim_id"])
            if is_reversal and row["claim_id"] in seen:
                row = row | {"paid_amount": Decimal("0.00")}
            elif not is_reversal and not row.get("is_deleted"):
                seen.add(row["claim_id"])
            state = None if row.get("is_deleted") else claim_state(row)
            if chain[-1][1] != state if chain else state is not None:
                chain.append((load_id, state))
        if "claims" in batch.snapshots:
            for claim in found.keys() - {row["claim_id"] for row in rows}:
                if found[claim] and found[claim][-1][1] is not None:
                    found[claim].append((load_id, None))
    return found


def valid_enrollments(batches: list[Batch]) -> list[tuple[Any, ...]]:
    """The latest enrollments of each identifier and of each grain.

    A deletion marker, an end before the start and a snapshot that lacks it withdraw one.
    """
    in_order = sorted(batches, key=lambda b: b.rank)
    sent = [
        row | {"place": place}
        for place, batch in enumerate(in_order)
        for row in last_lines(batch.enrollments, "enrollment_id")
    ]
    last_snapshot = max(
        (n for n, b in enumerate(in_order) if "enrollments" in b.snapshots), default=0
    )

    def is_withdrawn(row: Row) -> bool:
        end = row["end_date"]
        return bool(row.get("is_deleted")) or (end is not None and end < row["start_date"])

    def grain(row: Row) -> tuple[Any, ...]:
        return (row["member_id"], row["plan_id"], row["start_date"])

    found = []
    for n, row in enumerate(sent):
        later = sent[n + 1 :]
        if any(r["enrollment_id"] == row["enrollment_id"] for r in later):
            continue
        if is_withdrawn(row) or row["place"] < last_snapshot:
            continue
        still_valid = [r for r in later if not is_withdrawn(r)]
        if row["member_id"] and row["plan_id"] and any(grain(r) == grain(row) for r in still_valid):
            continue
        end = row["end_date"] or date(row["start_date"].year, 12, 31)
        found.append((row["enrollment_id"], *grain(row), end, row["premium_paid"]))
    return sorted(found)


# What is drawn


def draw_claims(rng: random.Random, number: int) -> list[Row]:
    """One batch's claims: each of few states that come again and again, or left out."""
    rows = []
    for claim in range(CLAIMS):
        for _ in range(rng.choice([0, 1, 1, 1, 2])):  # twice: one of them is rejected
            row = {
                "claim_id": f"C{claim}",
                "service_date": date(2025, 1, 31),
                "member_id": "M0",
                "provider_id": "D0",
                "plan_id": "P0",
                "status": "pending",
                "paid_amount": Decimal("0.00"),
                "diagnosis_code": "A00",
                "utilization": Decimal("1.00000001"),
            }
            # How the states of a claim differ; there are few of them, so that they come back.
            change = (
                {"status": "approved", "paid_amount": Decimal("80.50")},
                {"service_date": date(2025, 1, 30)},
                {"service_date": date(2025, 2, 1)},
                {"service_date": date(2024, 12, 31) - timedelta(days=32 * rng.randint(0, 1))},
                {"member_id": rng.choice(["M1", ""])},
                {"provider_id": rng.choice(["D1", ""])},
                {"plan_id": rng.choice(["P1", ""])},
                {"diagnosis_code": rng.choice(["B00", None])},
                {"utilization": Decimal("1.00000004")},  # no change once it is stored
                {"utilization": Decimal("2")},
                {"status": "approved", "paid_amount": Decimal("60000.00")},
                {"service_date": date(2024, 2, 1), "paid_amount": Decimal("-70000.00")}
                | {"status": rng.choice(["reversed", "Denied", "adjusted"])},
            )[claim % 12]
            row = row | change if rng.random() < 0.5 else row
            rows.append(row | {"is_deleted": "true"} if rng.random() < 0.1 else row)
    rng.shuffle(rows)
    # No two files are alike: the same bytes are not loaded again.
    return [*rows, row | {"claim_id": f"only in {number}"}]


def draw_enrollments(rng: random.Random, number: int) -> list[Row]:
    """One batch's enrollments: few identifiers and few grains a person, so that they collide."""
    rows = []
    for person in range(PEOPLE):
        for name in rng.choices("abcd", k=rng.randint(0, 4)):
            rows.append(
                {
                    "enrollment_id": f"E{person}{name}",
                    "member_id": rng.choice([f"M{person}", f"M{person}", f"N{person}", ""]),
                    "plan_id": rng.choice(["P0", "P0", "P0", ""]),
                    "start_date": rng.choice([date(2025, 1, 1), date(2025, 2, 1)]),
                    # An end before the start: canceled from the start.
                    "end_date": rng.choice([None, date(2025, 3, 31)] * 3 + [date(2024, 12, 31)]),
                    "premium_paid": rng.choice([Decimal("10.00"), Decimal("20.00")]),
                    "is_deleted": rng.choice([None] * 9 + ["true"]),
                }
            )
    rng.shuffle(rows)
    only = {"member_id": "", "start_date": date(2025, 1, 1), "end_date": None}
    only |= {"plan_id": "", "premium_paid": Decimal("10.00")}
    return [*rows, {"enrollment_id": f"only in {number}", **only}]


@st.composite
def sequences(draw: st.DrawFn) -> tuple[list[Batch], list[int]]:
    """Batches, some of one time, and an order in which to load them."""
    n = draw(st.integers(2, 5))
    times = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    # The order of bytes, in which capitals come first.
    ids = draw(st.permutations(["a", "B", "b-1", "b", "Ä"]))[:n]
    rng = random.Random(draw(st.integers(0, 1 << 30)))
    batches = [
        Batch(
            FIRST + timedelta(days=day),
            batch_id,
            # Versions that begin before and after the facts, so that facts are keyed again.
            [
                {
                    "member_id": f"M{person}",
                    "last_name": rng.choice("xy"),
                    "source_updated_at": rng.choice(["2025-01-15", "2025-01-31", ""]),
                }
                for person in rng.sample(range(PEOPLE), 4)
            ],
            draw_claims(rng, number),
            draw_enrollments(rng, number),
            # Categories of the cubes, for existing versions and for keys that facts named first.
            [
                {"plan_id": plan, "effective_year": year, "metal_tier": rng.choice(TIERS)}
                for plan in ("P0", "P1")
                for year in (2024, 2025)
                if rng.random() < 0.3
            ],
            [
                {"provider_id": provider, "specialty": rng.choice(["Cardiology", "Oncology"])}
                for provider in ("D0", "D1")
                if rng.random() < 0.3
            ],
            frozenset(feed for feed in ("claims", "enrollments") if rng.random() < 0.25),
        )
        for number, (day, batch_id) in enumerate(zip(times, ids, strict=True))
    ]
    in_order = sorted(range(n), key=lambda i: batches[i].rank)
    return batches, draw(st.one_of(st.just(in_order), st.permutations(range(n))))


# The warehouse


def clear(warehouse: Warehouse) -> None:
    """Empty, with no partition of the claims left."""
    warehouse.clear()
    # The loads that cubes are made through are numbered from 1 again.
    for cube in reversed(CUBES.values()):
        kind = "table" if cube.is_followed else "materialized view"
        warehouse.connection.execute(f"drop {kind} if exists cubes.{cube.name} cascade")
    for partition in warehouse.column(
        "select inhrelid::regclass::text from pg_inherits "
        "where inhparent = 'warehouse.fact_claim'::regclass"
    ):
        warehouse.connection.execute(f"drop table {partition}")


def load(warehouse: Warehouse, batch: Batch, *, with_cubes: bool = False) -> None:
    feeds = {"members": batch.members, "claims": batch.claims, "enrollments": batch.enrollments}
    feeds |= {name: rows for name in ("plans", "providers") if (rows := getattr(batch, name))}
    manifest = {"batch_id": batch.batch_id, "as_of": f"{batch.as_of.isoformat()}Z"}
    warehouse.send(batch.batch_id, manifest, snapshots=batch.snapshots, **feeds)
    with warehouse.pipeline(reject_share=1.0) as pipeline:
        # This test is not about how much a snapshot may end.
        pipeline.choices.confirmed = frozenset(path.name for path in warehouse.inbox.iterdir())
        commands.run_stages(pipeline, STAGES)
        if with_cubes:
            commands.run_cubes(pipeline)


@settings(
    max_examples=9,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)
@given(sequences())
@pytest.mark.slow
def test_facts_of_batches_in_any_order_match_the_model(
    warehouse: Warehouse, drawn: tuple[list[Batch], list[int]]
) -> None:
    batches, order = drawn
    clear(warehouse)
    for place, number in enumerate(order):
        # The cubes follow one load, or several at once.
        load(warehouse, batches[number], with_cubes=place != 1)
        if place != 1:
            assert differing_cubes(warehouse.connection) == []
    expected = chains(batches, order)

    stored = warehouse.rows(
        "select claim_id, f.load_id, service_date, member_id, provider_id, plan_id, status, "
        "paid_amount, diagnosis_code, utilization from warehouse.fact_claim as f "
        "join warehouse.dim_member using (member_sk) join warehouse.dim_provider "
        "using (provider_sk) join warehouse.dim_plan using (plan_sk)"
    )
    assert sorted(stored, key=repr) == sorted(
        (
            (claim, chain[-1][0], *chain[-1][1])
            for claim, chain in expected.items()
            if chain and chain[-1][1] is not None
        ),
        key=repr,
    )

    wanted = [
        (claim, load_id, state[0], state[4], state[5], place == len(chain) - 1)
        for claim, chain in expected.items()
        for place, (load_id, state) in enumerate(chain)
        if state is not None
    ]
    assert sorted(wanted) == warehouse.rows(
        "select claim_id, load_id, service_date, status, paid_amount, is_latest "
        'from warehouse.fact_claim_history order by claim_id collate "C", load_id'
    )

    paid = warehouse.rows(
        "select coalesce(sum(paid_amount), 0) from warehouse.fact_claim "
        "where lower(coalesce(status, 'approved')) in ('approved', 'adjusted', 'reversed')"
    )
    report = report_queries.reports()["paid_as_known_after_each_load"]
    asked = f"set local search_path = {', '.join(LIVE.schemas.readers_path)}"
    with warehouse.connection.transaction():
        warehouse.connection.execute(asked)
        by_load = warehouse.rows(report.question or "")
    assert (by_load[-1][-1] if by_load else 0) == paid[0][0]

    misplaced = warehouse.rows(
        "select claim_id from warehouse.fact_claim where tableoid <> "
        "('internal.fact_claim_' || to_char(service_date, 'yyyy_mm'))::regclass"
    )
    assert misplaced == []

    assert valid_enrollments(batches) == warehouse.rows(
        "select enrollment_id, member_id, plan_id, start_date, end_date, premium_paid "
        "from warehouse.fact_enrollment join warehouse.dim_member using (member_sk) "
        'join warehouse.dim_plan using (plan_sk) order by enrollment_id collate "C"'
    )

    failed = failed_critical(warehouse.connection)
    # The cubes were not refreshed after the second load.
    assert [name for name in failed if len(order) > 2 or name.startswith("fact_")] == []


STATES = [
    {"status": "pending", "service_date": "2025-01-31", "paid_amount": "0.00", "paid_date": None},
    {"status": "approved", "service_date": "2025-01-31", "paid_amount": "100.00"},
    {"status": "adjusted", "service_date": "2025-02-01", "paid_amount": "80.00"},
    {"status": "reversed", "service_date": "2025-02-01", "paid_amount": "0.00"},
]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 3, 0, 1)])
def test_states_of_a_claim_in_any_order_give_the_same_history(
    warehouse: Warehouse, order: tuple[int, ...]
) -> None:
    clear(warehouse)
    for number in order:
        day = FIRST + timedelta(days=number)
        paid = {"paid_date": day.date(), "claim_amount": "120.00", "allowed_amount": "100.00"}
        claim = {"claim_id": "C", "member_id": "M", "plan_id": "P"} | paid | STATES[number]
        load(warehouse, Batch(day, f"{number}", [], [claim], []))
    history = warehouse.rows(
        "select as_of::date, status, service_date, paid_date, "
        "paid_amount - coalesce(lag(paid_amount) over (order by as_of), 0), is_latest "
        "from warehouse.fact_claim_history order by as_of"
    )
    january, february = date(2025, 1, 31), date(2025, 2, 1)
    days = [FIRST.date() + timedelta(days=n) for n in range(4)]
    assert history == [
        (days[0], "pending", january, None, Decimal("0.00"), False),
        (days[1], "approved", january, days[1], Decimal("100.00"), False),
        (days[2], "adjusted", february, days[2], Decimal("-20.00"), False),
        (days[3], "reversed", february, days[3], Decimal("-80.00"), True),
    ]
    stored = warehouse.rows(
        "select tableoid::regclass::text, status, paid_amount, date_key, load_id "
        "from warehouse.fact_claim"
    )
    assert stored == [
        (
            "internal.fact_claim_2025_02",
            "reversed",
            sum(change for *_, change, _ in history),
            20250201,
            order.index(3) + 1,
        )
    ]
