"""Stays, readmissions and high-cost years that claims must lead to: slow, and apart from the SQL.

The rules are those of ``sql/cubes/inpatient_stay.sql`` and ``high_cost_year.sql``. Stays are merged
pair by pair until nothing can be merged, and coverage is looked up day by day. Claims are rows as
in their feed, with dates, and amounts in dollars.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from etl.reference import HighCostPool

Row = dict[str, Any]
IsCovered = Callable[[str, date], bool]

CENT = Decimal("0.01")
ADJUDICATED = ("approved", "denied", "adjusted", "reversed")
PAYABLE = ("approved", "adjusted", "reversed")
BANDS = (("$1M+", 1_000_000), ("$500k+", 500_000), ("$250k+", 250_000), ("$100k+", 100_000))
LEAST_CENTS = 100 * min(low for _, low in BANDS)
_READMISSION_DAYS = 30


def is_of_stay(claim: Row) -> bool:
    """Whether a claim is one that stays are made of."""
    return (
        claim["claim_type"].lower() == "inpatient"
        and claim["admit_date"] is not None
        and claim["discharge_date"] is not None
        and claim["admit_date"] <= claim["discharge_date"]
        and (claim["status"] or "approved").lower() in ("approved", "adjusted")
    )


def stays(
    claims: Iterable[Row], is_covered: IsCovered, day: date, planned: Collection[str]
) -> list[Row]:
    """The stays of claims in their latest state, each with the readmission after it.

    ``day``: the one that the data speaks of. ``planned``: MS-DRGs of planned care.
    """
    by_member: dict[str, list[Row]] = defaultdict(list)
    for claim in filter(is_of_stay, claims):
        by_member[claim["member_id"]].append(claim)
    found = [_stay([claim], is_covered, day, planned) for claim in by_member.pop("", [])]
    for of_member in by_member.values():
        made = [_stay(group, is_covered, day, planned) for group in _merged(of_member)]
        for stay in made:
            stay |= _readmission(stay, made)
        found += made
    return found


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


def _stay(group: list[Row], is_covered: IsCovered, day: date, planned: Collection[str]) -> Row:
    last = max(group, key=lambda c: (c["discharge_date"], c["admit_date"], c["claim_id"]))
    member, discharge = group[0]["member_id"], last["discharge_date"]
    is_planned = last["ms_drg"] in planned
    days = [discharge + timedelta(days=n) for n in range(_READMISSION_DAYS + 1)]
    if not member:
        why = "member unknown"
    elif is_planned:
        why = "planned"
    elif days[-1] >= day:
        why = "days not complete"
    elif not all(is_covered(member, covered) for covered in days):
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
        "readmission_stay_id": None,
        "days_to_readmission": None,
    }


def _readmission(stay: Row, of_member: list[Row]) -> Row:
    """The readmission after a stay; nothing if there is none."""
    later = [s for s in of_member if s["admit_date"] > stay["discharge_date"]]
    after = min(later, key=lambda s: s["admit_date"], default=None)
    if after is None or after["is_planned"] or stay["why_not_index"] is not None:
        return {}
    days = (after["admit_date"] - stay["discharge_date"]).days
    if days > _READMISSION_DAYS:
        return {}
    return {"readmission_stay_id": after["stay_id"], "days_to_readmission": days}


def readmission_months(stays_: Iterable[Row]) -> list[Row]:
    """How many stays ended in each month, planned ones, index stays and readmissions."""
    months: dict[date, Row] = {}
    for stay in stays_:
        month = stay["discharge_date"].replace(day=1)
        names = ("stays", "planned_stays", "index_stays", "readmissions")
        row = months.setdefault(month, {"month": month, **dict.fromkeys(names, 0)})
        row["stays"] += 1
        row["planned_stays"] += stay["is_planned"]
        row["index_stays"] += stay["why_not_index"] is None
        row["readmissions"] += stay["readmission_stay_id"] is not None
    return list(months.values())


def high_cost_year(
    member_id: str, year: int, allowed: Decimal, paid: Decimal, pools: Iterable[HighCostPool]
) -> Row | None:
    """The row of a member's year with so many dollars; ``None`` where no band is reached."""
    band = next((band for band, low in BANDS if paid >= low), None)
    if band is None:
        return None
    excess = payment = None
    for pool in pools:
        if pool.benefit_year == year:
            excess = max(paid - pool.threshold_usd, Decimal("0.00"))
            payment = (excess * pool.coinsurance).quantize(CENT, ROUND_HALF_UP)
    return {
        "member_id": member_id,
        "benefit_year": year,
        "allowed_usd": allowed,
        "paid_usd": paid,
        "band": band,
        "pool_excess_usd": excess,
        "pool_payment_usd": payment,
    }
