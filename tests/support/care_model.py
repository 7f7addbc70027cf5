"""What the cubes of cost, stays and high cost have to contain: slow, and apart from their SQL.

Rows are those of the feeds; a claim counts in the latest of the batches that are loaded. Stays are
merged pair by pair until nothing can be merged, and coverage is looked up day by day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

Row = dict[str, Any]
CENT = Decimal("0.01")
BANDS = (("$1M+", 1_000_000), ("$500k+", 500_000), ("$250k+", 250_000), ("$100k+", 100_000))
# The years of which the parameters of the pool are published.
POOL_YEARS = range(2023, 2027)


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
    return (claim["status"] or "approved").lower() in ("approved", "denied", "adjusted", "reversed")


def paid(claim: Row) -> Decimal:
    """What a claim was paid: denied ones nothing."""
    is_paid = is_adjudicated(claim) and claim["status"].lower() != "denied"
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
    """Member, year, allowed, paid, band, excess and payment of the pool."""
    sums: dict[tuple[str, int], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for c in world.claims:
        if c["member_id"] and is_adjudicated(c):
            year = sums[c["member_id"], c["service_date"].year]
            year[0] += c["allowed_amount"]
            year[1] += paid(c)
    found = set()
    for (member, year), (allowed, total) in sums.items():
        for band, low in BANDS:
            if total >= low:
                excess = max(total - 1_000_000, Decimal("0.00")) if year in POOL_YEARS else None
                payment = None
                if excess is not None:
                    payment = (excess * 6 / 10).quantize(CENT, ROUND_HALF_UP)
                found.add((member, year, allowed, total, band, excess, payment))
                break
    return found


def is_of_stay(claim: Row) -> bool:
    """Whether a claim is one that stays are made of."""
    return (
        claim["claim_type"].lower() == "inpatient"
        and claim["admit_date"] is not None
        and claim["discharge_date"] is not None
        and claim["admit_date"] <= claim["discharge_date"]
        and (claim["status"] or "approved").lower() in ("approved", "adjusted")
    )


def _touch(one: list[Row], other: list[Row]) -> bool:
    """Whether claims of two groups share a day."""
    return any(
        a["admit_date"] <= b["discharge_date"] and b["admit_date"] <= a["discharge_date"]
        for a in one
        for b in other
    )


def _merged(claims: list[Row]) -> list[list[Row]]:
    groups = [[claim] for claim in claims]
    while True:
        pair = next(
            ((a, b) for a in groups for b in groups if a is not b and _touch(a, b)),
            None,
        )
        if pair is None:
            return groups
        groups.remove(pair[1])
        pair[0].extend(pair[1])


def stays(world: World, planned: Iterable[str]) -> set[tuple[Any, ...]]:
    """The stays, columns as in the cube from member_id on."""
    groups = [[c] for c in world.claims if is_of_stay(c) and not c["member_id"]]
    for member in {c["member_id"] for c in world.claims} - {""}:
        groups += _merged([c for c in world.claims if c["member_id"] == member and is_of_stay(c)])
    made = [_stay(group, world, set(planned)) for group in groups]
    return {_with_readmission(stay, made) for stay in made}


def _stay(group: list[Row], world: World, planned: set[str]) -> Row:
    last = max(group, key=lambda c: (c["discharge_date"], c["admit_date"], c["claim_id"]))
    member, discharge = group[0]["member_id"], last["discharge_date"]
    is_planned = last["ms_drg"] in planned
    days = [discharge + timedelta(days=n) for n in range(31)]
    if not member:
        why = "member unknown"
    elif is_planned:
        why = "planned"
    elif days[-1] >= world.day:
        why = "days not complete"
    elif not all(world.is_covered(member, day) for day in days):
        why = "not covered"
    else:
        why = None
    return {
        "member_id": member or "(unknown)",
        "stay_id": min(c["claim_id"] for c in group),
        "admit_date": min(c["admit_date"] for c in group),
        "discharge_date": discharge,
        "claims": len(group),
        "is_transfer": len({c["provider_id"] for c in group} - {""}) > 1,
        "ms_drg": last["ms_drg"] or None,
        "diagnosis_code": last["diagnosis_code"],
        "allowed_usd": sum(c["allowed_amount"] for c in group),
        "paid_usd": sum(c["paid_amount"] for c in group),
        "is_planned": is_planned,
        "why_not_index": why,
    }


def _with_readmission(stay: Row, made: list[Row]) -> tuple[Any, ...]:
    later = [
        s
        for s in made
        if s["member_id"] == stay["member_id"] and s["admit_date"] > stay["discharge_date"]
    ]
    after = min(later, key=lambda s: s["admit_date"], default=None)
    days = (after["admit_date"] - stay["discharge_date"]).days if after else 99
    is_back = (
        after is not None and stay["why_not_index"] is None and not after["is_planned"]
    ) and days <= 30
    return (
        *stay.values(),
        after["stay_id"] if after and is_back else None,
        days if is_back else None,
    )
