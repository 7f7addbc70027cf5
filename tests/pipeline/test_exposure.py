"""Coverage by month against a count day by day, over drawn batches in any order."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.exposure_model import Coverage
from tests.support.masked_rows import rows
from tests.support.tables import draw, drawn
from tests.support.warehouse import Warehouse, failed_critical

Row = dict[str, Any]
MEMBERS = [f"M{n}" for n in range(12)]
SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 26))]


def drawn_enrollments(draws: random.Random) -> list[Row]:
    """Spans that overlap, touch, leave a day out, begin together, renew at New Year or are open."""
    found: list[Row] = []
    for number in range(70):
        last = found[-1] if found and draws.random() < 0.5 else None
        start = date(2024, 1, 1) + timedelta(days=draws.randrange(600))
        if last and last["end_date"]:
            start = last["end_date"] + timedelta(days=draws.choice([-20, -1, 0, 1, 1, 2, 30]))
        if draws.random() < 0.2:
            start = date(start.year, 1, 1)
        end = start + timedelta(days=draws.choice([0, 1, 13, 30, 59, 200]))
        found.append(
            {
                "enrollment_id": f"E{draws.randrange(1000):03}-{number}",
                "member_id": last["member_id"] if last else draws.choice(MEMBERS),
                "plan_id": draws.choice(["P1", "P2", "P3"]),
                "start_date": start,
                "end_date": draws.choice([end, end, end, None]),
                "premium_paid": Decimal(draws.randrange(50_000)) / 100,
                "aptc_amount": draws.choice([None, "33.33", "100.00"]),
                "csr_variant": draws.choice([None, "01", "04"]),
            }
        )
    return found


def batches(draws: random.Random) -> list[tuple[str, dict[str, list[Row]]]]:
    enrollments = drawn_enrollments(draws)
    moved = [
        {
            "member_id": member,
            "state": state,
            "dob": born,
            "source_updated_at": f"{day}T00:00:00Z",
        }
        for member in MEMBERS[:10]  # the others are known by their coverage alone
        for state, born, day in (
            ("FL", draws.choice(["1960-02-29", "1990-07-15", ""]), "2024-01-01"),
            (draws.choice(["TX", "OH", ""]), "1990-07-15", f"2025-0{draws.randrange(1, 9)}-11"),
        )
    ]
    plans = [
        {"plan_id": plan, "effective_year": year, "metal_tier": draws.choice(["silver", "Gold"])}
        for plan in ("P1", "P2")
        for year in (2024, 2025)
    ]
    halves = enrollments[:40], enrollments[30:]  # some come again
    ended = [row | {"end_date": row["start_date"]} for row in draws.sample(enrollments, 5)]
    return [
        ("2025-09-01", {"plans": plans[:2], "enrollments": halves[0]}),
        ("2025-09-02", {"members": moved, "enrollments": halves[1]}),
        ("2025-09-03", {"plans": plans, "enrollments": ended}),
        # Two members are gone in the middle of the year, whatever coverage they have.
        (
            "2025-09-04",
            {
                "members": [
                    {
                        "member_id": member,
                        "is_deleted": True,
                        "source_updated_at": "2025-03-10T00:00:00Z",
                    }
                    for member in MEMBERS[:2]
                ]
            },
        ),
    ]


def compared(found: list[Row], wanted: list[Row]) -> None:
    names = list(wanted[0])
    found_values = sorted(tuple(str(row[name]) for name in names) for row in found)
    assert found_values == sorted(tuple(str(row.get(name, 0)) for name in names) for row in wanted)


@pytest.mark.parametrize("seed", SEEDS)
def test_coverage_by_month_is_what_a_count_of_days_gives(warehouse: Warehouse, seed: int) -> None:
    draws = random.Random(seed)
    sent = batches(draws)
    draws.shuffle(sent)
    for day, feeds in sent:
        warehouse.send(day, **feeds)
        warehouse.incremental()  # compares each cube with its definition too
    coverage = Coverage(warehouse)
    compared(rows(warehouse.connection, "cubes.member_month"), coverage.member_months())
    compared(rows(warehouse.connection, "cubes.enrollment_flow_month"), coverage.flows())
    assert warehouse.rows(
        "select month, sum(premium_usd), sum(member_months_any), sum(member_months_mid), "
        "sum(covered_days) from cubes.exposure_month group by month order by 1"
    ) == warehouse.rows(
        "select month, sum(premium_usd), sum(member_months_any), sum(member_months_mid), "
        "sum(covered_days) from cubes.member_month group by month order by 1"
    )
    assert failed_critical(warehouse.connection) == set()


def test_renewal_at_new_year_ends_and_begins_nothing(warehouse: Warehouse) -> None:
    warehouse.send(
        "2025-02-01",
        enrollments="""
            enrollment_id | member_id | plan_id | start_date | end_date
            E1            | renews    | P       | 2024-11-01 | 2024-12-31
            E2            | renews    | Q       | 2025-01-01 | 2025-01-31
            E3            | returns   | P       | 2024-11-01 | 2024-12-30
            E4            | returns   | P       | 2025-01-01 | 2025-01-31
        """,
    )
    warehouse.incremental()
    assert drawn(
        warehouse.connection,
        "select month, sum(at_start) as at_start, sum(new) as new, sum(returned) as returned, "
        "sum(ended) as ended, sum(at_end) as at_end from mart.enrollment_flow_month "
        "group by month order by month",
    ) == draw("""
        month      | at_start | new | returned | ended | at_end
        2024-11-01 | 0        | 2   | 0        | 0     | 2
        2024-12-01 | 2        | 0   | 0        | 1     | 1
        2025-01-01 | 1        | 0   | 1        | 2     | 0
    """)
