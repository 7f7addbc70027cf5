"""The plans on offer: real HealthCare.gov plans of eight states, by plan year.

2023 and 2025 are the published values; other years follow a rule:

- before 2023: as in 2023;
- 2024: deductible and out-of-pocket maximum halfway, to the nearest $50; name, metal, network
  and coinsurance are those of 2023 or of 2025, by an even split over the plans;
- after 2025: as in 2025, the two amounts raised 4 % a year to the nearest $50.

The out-of-pocket maximum never passes the year's limit (45 CFR 156.130(a)). Premium and copay
are not in the published table and are invented: a base by metal, a factor by plan, 4 % a year,
and premiums in proportion to each state's average of the 2025 open enrollment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import xxhash
from numpy.typing import NDArray

from etl.contracts.feeds import FEEDS
from etl.synthetic.core import encode
from etl.synthetic.core.reference import (
    CATASTROPHIC,
    METALS,
    SILVER,
    STATES,
    actuarial_values,
    age_factors,
    mixes,
    read,
)

PLANS_PER_STATE = 40
# Monthly premium of a 21-year-old in 2025 where the average is _USUAL_PREMIUM, and copay of a
# primary-care visit, dollars, by METALS.
_BASE_PREMIUM = (215, 290, 305, 395, 425, 520)
_USUAL_PREMIUM = 600
_BASE_COPAY = (0, 60, 50, 35, 25, 15)
# Limits on cost sharing for self-only coverage, dollars (annual CMS payment notices).
_LIMITS = {2023: 9_100, 2024: 9_450, 2025: 9_200, 2026: 10_600}


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans of one plan year; the same plan has the same position in every year.

    Money is in cents; ``coinsurance`` in hundredths; ``state`` and ``metal`` are positions in
    ``STATES`` and ``METALS``. ``benchmark``: the second-lowest silver premium of each state
    (26 CFR 1.36B-3(f)), for age 21.
    """

    year: int
    plan_id: tuple[str, ...]
    name: tuple[str, ...]
    network: tuple[str, ...]
    state: NDArray[np.int64]
    metal: NDArray[np.int64]
    premium: NDArray[np.int64]
    deductible: NDArray[np.int64]
    oop_max: NDArray[np.int64]
    coinsurance: NDArray[np.int64]
    copay: NDArray[np.int64]
    benchmark: NDArray[np.int64]


@cache
def _published() -> tuple[tuple[dict[str, str], dict[str, str]], ...]:
    """The chosen plans as (row of 2023, row of 2025): of each state an even spread by plan_id."""
    years: dict[str, dict[str, dict[str, str]]] = {"2023": {}, "2025": {}}
    for row in read("plans_puf_2023_2025_common.csv"):
        if row["state"] in STATES:
            years[row["effective_year"]][row["plan_id"]] = row
    chosen = []
    for state in STATES:
        ids = sorted(i for i, row in years["2025"].items() if row["state"] == state)
        count = min(PLANS_PER_STATE, len(ids))
        spread = {ids[k * len(ids) // count] for k in range(count)}
        # Even a rare metal keeps one plan, or the state could not sell it.
        for metal in METALS:
            spread.add(next((i for i in ids if years["2025"][i]["metal_level"] == metal), ids[0]))
        chosen += [(years["2023"][i], years["2025"][i]) for i in sorted(spread)]
    return tuple(chosen)


def _hash(plan_id: str, purpose: str, limit: int) -> int:
    return xxhash.xxh32_intdigest(f"{purpose} {plan_id}".encode()) % limit


def _limit(year: int) -> int:
    known = min(max(year, min(_LIMITS)), max(_LIMITS))
    return _raised(_LIMITS[known], year - known)


def _raised(dollars: int, years: int) -> int:
    for _ in range(years):
        dollars = (dollars * 104 + 2_500) // 5_000 * 50
    return dollars


def _benefits(before: dict[str, str], after: dict[str, str], year: int) -> dict[str, str | int]:
    """What a plan is in a year: the words of one published row, and amounts in dollars."""
    late = _hash(after["plan_id"], "2024", 2) == 1 if year == 2024 else year > 2024
    words = after if late else before
    amounts = {}
    for name in ("deductible", "oop_max"):
        old, new = int(before[name]), int(after[name])
        if year == 2024:
            amounts[name] = ((old + new) // 2 + 25) // 50 * 50
        else:
            amounts[name] = old if year < 2024 else _raised(new, year - 2025)
    oop_max = min(amounts["oop_max"], _limit(year))
    return {**words, "oop_max": oop_max, "deductible": min(amounts["deductible"], oop_max)}


def _premium_cents(plan_id: str, metal: int, year: int) -> int:
    average = mixes()[STATES.index(plan_id[5:7])].premium
    plan_factor = 90 + _hash(plan_id, "plan", 26)
    return in_year(_BASE_PREMIUM[metal] * average * plan_factor // _USUAL_PREMIUM, year)


def in_year(amount: int, year: int) -> int:
    """What costs this much in 2025 costs in another year, at 4 % a year."""
    for _ in range(abs(year - 2025)):
        amount = amount * 104 // 100 if year > 2025 else amount * 100 // 104
    return amount


@cache
def plans(year: int) -> Plans:
    """The catalogue of a plan year."""
    rows = [_benefits(before, after, year) for before, after in _published()]
    ids = tuple(str(r["plan_id"]) for r in rows)
    state = np.array([STATES.index(str(r["state"])) for r in rows])
    metal = np.array([METALS.index(str(r["metal_level"])) for r in rows])
    premium = np.array(
        [_premium_cents(i, m, year) for i, m in zip(ids, metal.tolist(), strict=True)]
    )
    benchmark = [np.sort(premium[(state == s) & (metal == SILVER)])[1] for s in range(len(STATES))]
    copay = [
        100 * _BASE_COPAY[m] + 500 * _hash(i, "copay", 3) * (m != CATASTROPHIC)
        for i, m in zip(ids, metal.tolist(), strict=True)
    ]
    return Plans(
        year,
        ids,
        tuple(str(r["name"]) for r in rows),
        tuple(str(r["plan_type"]) for r in rows),
        state,
        metal,
        premium,
        np.array([100 * int(r["deductible"]) for r in rows]),
        np.array([100 * int(r["oop_max"]) for r in rows]),
        np.array([round(float(str(r["coinsurance_rate"]).rstrip("%"))) for r in rows]),
        np.array(copay),
        np.array(benchmark),
    )


def age_premium(
    base: NDArray[np.int64], state: NDArray[np.int64], age: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Monthly premium in cents at an age from that of a 21-year-old (45 CFR 147.102(e)).

    ``state``: the plans' states, positions in ``STATES``.
    """
    return (base * age_factors()[state, age] + 500) // 1000


@dataclass(frozen=True, slots=True)
class Sharing:
    """What members pay, by plan (row) and cost-sharing variant 0 to 6 (column).

    ``deductible``, ``oop_max`` and ``copay`` in cents; ``coinsurance`` in per mille.
    """

    deductible: NDArray[np.int64]
    oop_max: NDArray[np.int64]
    coinsurance: NDArray[np.int64]
    copay: NDArray[np.int64]


# The limit on cost sharing is lower by two thirds up to 200 % of the poverty level and by a fifth
# above (45 CFR 156.420(a), as set in the annual payment notices), by variant.
_LOWER_LIMITS = {4: (4, 5), 5: (1, 3), 6: (1, 3)}


@cache
def sharing(year: int) -> Sharing:
    """The benefit designs of a plan year.

    The published table has the standard variant alone. In variants 04 to 06 all that a member
    pays shrinks as the share that the plan leaves to its members does, from 30 % to 27, 13 and
    6 % (45 CFR 156.420), and their lower limit applies. Variant 02 has no cost sharing; 03 has
    none at Indian providers only, and is sold as the standard one.
    """
    catalogue, values = plans(year), actuarial_values()
    left = np.array([1000 - values["Silver"]] * 7)
    for variant in _LOWER_LIMITS:
        left[variant] = 1000 - values[f"-0{variant}"]
    left[2] = 0

    def reduced(amounts: NDArray[np.int64]) -> NDArray[np.int64]:
        return amounts[:, None] * left // (1000 - values["Silver"])

    oop_max = reduced(catalogue.oop_max)
    for variant, (part, whole) in _LOWER_LIMITS.items():
        # To the next lower $50 (45 CFR 156.130(d)).
        lower = _limit(year) * part // whole // 50 * 50
        oop_max[:, variant] = np.minimum(oop_max[:, variant], 100 * lower)
    return Sharing(
        np.minimum(reduced(catalogue.deductible), oop_max),
        oop_max,
        reduced(10 * catalogue.coinsurance),
        reduced(catalogue.copay),
    )


def blocks(years: range) -> Iterator[encode.Block]:
    """The plans feed of these plan years: a block a year."""
    feed = FEEDS["plans"]
    for year in years:
        c = plans(year)
        columns = {
            "plan_id": encode.texts(c.plan_id),
            "name": encode.texts(c.name),
            "metal_tier": encode.texts(METALS)[c.metal],
            "monthly_premium": encode.money(c.premium),
            "deductible": encode.money(c.deductible),
            "oop_max": encode.money(c.oop_max),
            "coinsurance_rate": encode.hundredths(c.coinsurance),
            "pcp_copay": encode.money(c.copay),
            "effective_year": encode.whole(np.full(len(c.plan_id), year), 1),
        }
        yield encode.block(feed, columns)
