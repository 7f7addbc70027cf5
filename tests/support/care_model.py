"""What the cubes of cost, stays and high cost have to contain: slow, and apart from their SQL.

Rows are those of the feeds; a claim counts in the latest of the batches that are loaded. Stays and
high-cost years are reckoned by the model with which synthetic feeds are compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from etl.reference import HighCostPool
from etl.synthetic.truth import care

Row = dict[str, Any]
# The parameters of the pool as they were published (45 CFR 153.320).
POOLS = [HighCostPool(year, Decimal(1_000_000), Decimal("0.6")) for year in range(2023, 2027)]


@dataclass(frozen=True)
class Batch:
    """A batch: the day it became true, and its rows."""

    day: date
    members: list[Row]
    claims: list[Row]
    enrollments: list[Row]

    @property
    def batch_id(self) -> str:
        return self.day.isoformat()


@dataclass(frozen=True)
class World:
    """What is known after some batches."""

    day: date
    claims: list[Row]
    enrollments: list[Row]
    states: dict[str, list[tuple[date, str]]]

    @classmethod
    def after(cls, batches: Iterable[Batch]) -> World:
        in_order = sorted(batches, key=lambda b: b.day)
        claims = {row["claim_id"]: row for b in in_order for row in b.claims}
        spans = {row["enrollment_id"]: row for b in in_order for row in b.enrollments}
        states = defaultdict(list)
        for b in in_order:
            for row in b.members:
                states[row["member_id"]].append((b.day, row["state"]))
        there = [row for row in claims.values() if not row.get("is_deleted")]
        return cls(in_order[-1].day, there, list(spans.values()), states)

    def state(self, member_id: str, day: date) -> str:
        """The state of a member on a day; the first known reaches back."""
        known = self.states.get(member_id)
        if not known:
            return "(unknown)"
        return next((said for since, said in reversed(known) if since <= day), known[0][1])

    def is_covered(self, member_id: str, day: date) -> bool:
        return any(
            e["member_id"] == member_id and e["start_date"] <= day <= e["end_date"]
            for e in self.enrollments
        )


def is_adjudicated(claim: Row) -> bool:
    return (claim["status"] or "approved").lower() in care.ADJUDICATED


def paid(claim: Row) -> Decimal:
    """What a claim was paid: denied ones nothing."""
    is_paid = (claim["status"] or "approved").lower() in care.PAYABLE
    return claim["paid_amount"] if is_paid else Decimal("0.00")


def cost_months(world: World, tiers: dict[str, str]) -> set[tuple[Any, ...]]:
    """Month, state, tier, type; claims, pending, billed, allowed and paid of the claims there."""
    found: dict[tuple[Any, ...], list[Any]] = defaultdict(lambda: [0, 0, *[Decimal("0.00")] * 3])
    for c in world.claims:
        day = c["service_date"]
        place = world.state(c["member_id"], day), tiers.get(c["plan_id"], "(unknown)")
        kind = c["claim_type"].capitalize() or "(unknown)"
        cell = found[day.replace(day=1), *place, kind]
        cell[1] += c["status"].lower() == "pending"
        if is_adjudicated(c):
            cell[0] += 1
            cell[2] += c["claim_amount"]
            cell[3] += c["allowed_amount"]
            cell[4] += paid(c)
    return {(*key, *sums) for key, sums in found.items()}


def high_cost_years(world: World) -> set[tuple[Any, ...]]:
    """Member, year, allowed, paid, band, excess and payment of the pool; state on the last day."""
    sums: dict[tuple[str, int], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    last_days: dict[tuple[str, int], date] = defaultdict(lambda: date.min)
    for c in world.claims:
        key = c["member_id"], c["service_date"].year
        last_days[key] = max(last_days[key], c["service_date"])
        if c["member_id"] and is_adjudicated(c):
            year = sums[key]
            year[0] += c["allowed_amount"]
            year[1] += paid(c)
    years = {
        key: care.high_cost_year(*key, allowed, total, POOLS)
        for key, (allowed, total) in sums.items()
    }
    return {
        (*year.values(), world.state(year["member_id"], last_days[key]))
        for key, year in years.items()
        if year is not None
    }


def stays(world: World, planned: Iterable[str]) -> set[tuple[Any, ...]]:
    """The stays, columns as in the cube from member_id on; last the state."""
    found = care.stays(world.claims, world.is_covered, world.day, set(planned))
    return {(*stay.values(), _state_of(world, stay)) for stay in found}


def _state_of(world: World, stay: Row) -> str:
    """The state of a stay's member on the day of service of the claim discharged last."""
    if stay["why_not_index"] == "member unknown":
        return "(unknown)"
    claims = [
        c
        for c in filter(care.is_of_stay, world.claims)
        if c["member_id"] == stay["member_id"]
        and stay["admit_date"] <= c["admit_date"] <= stay["discharge_date"]
    ]
    last = max(claims, key=lambda c: (c["discharge_date"], c["admit_date"], c["claim_id"]))
    return world.state(last["member_id"], last["service_date"])
