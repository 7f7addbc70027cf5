"""The households: who lives together at one address, with one income and one broker.

A household is one or two adults of one age band and up to three children. Its parts are drawn so
that the members come out in each state's published mix: how many children an adult brings is
solved from the share of children, and whether silver is bought depends on income as the counts
of cost-sharing variants by income do.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.reference import (
    AGE_BANDS,
    CATASTROPHIC,
    EXPANDED_BRONZE,
    FPL_BANDS,
    SILVER,
    Mix,
    mixes,
)
from etl.synthetic.core.rng import Dice, Ints, WeightedBy, below, chance
from etl.synthetic.world import names
from etl.synthetic.world.places import places, state_mix

ADULT, SPOUSE, CHILD = range(3)
_COUPLES = 350  # per mille of households
SINGLES = (1000 - _COUPLES) / (1000 + _COUPLES)  # adults without another, as a share of adults
_CHILDREN = (450, 350, 200)  # one, two, three: per mille of households with children
# How likely children are by the adults' age band (18-25 and on), relative to one another.
_PARENTS = (25, 100, 160, 100, 15, 0)
_YOUNGEST_PARENT = 17
# Catastrophic plans are for those under 30 (45 CFR 156.155(a)(5)): so they last two years at most.
_LAST_CATASTROPHIC_AGE = 27


@dataclass(frozen=True, slots=True)
class Households:
    """One array entry a household; names, ZIP and so on are positions in their lists.

    ``fpl``: income in thousandths of the poverty level; ``size``: people counted for it, who are
    not all members; ``adults`` and ``children``: the members; ``age``: of the first adult.
    """

    state: Ints
    band: Ints
    age: Ints
    adults: Ints
    children: Ints
    size: Ints
    fpl: Ints
    metal: Ints
    native: NDArray[np.bool_]
    last_name: Ints
    place: Ints
    street: Ints
    house: Ints
    agency: Ints
    broker: Ints

    def __len__(self) -> int:
        return len(self.state)

    @property
    def members(self) -> Ints:
        """How many members each has."""
        return self.adults + self.children

    def followed_by(self, more: Households) -> Households:
        """These and then the others."""
        pairs = ((getattr(self, f.name), getattr(more, f.name)) for f in fields(self))
        return Households(*(np.concatenate(pair) for pair in pairs))

    def first(self, count: int) -> Households:
        """The first ``count``."""
        return Households(*(getattr(self, f.name)[:count] for f in fields(self)))


def draw(seed: int, sequence: str, count: int) -> Households:
    """``count`` households of a named sequence; the first do not depend on ``count``."""
    dice = Dice(seed, "households", sequence)
    state = state_mix()(dice("state", count))
    bands, parents, incomes, metals = _by_state()
    band = 1 + bands(dice("age band", count), state)
    low, high = np.array(AGE_BANDS).T
    age = low[band] + below(dice("age", count), (high - low + 1)[band])
    adults = 1 + chance(dice("couple", count), _COUPLES).astype(np.int64)
    with_children = chance(dice("children", count), parents[state, band - 1])
    edges = np.cumsum(_CHILDREN)
    many = 1 + np.searchsorted(edges, below(dice("how many", count), 1000), side="right")
    children = np.where(with_children & (age > _YOUNGEST_PARENT), many, 0)
    income_band = incomes(dice("income band", count), state)
    fpl = income(income_band, dice("income", count))
    metal = metals(dice("metal", count), state * len(FPL_BANDS) + income_band)
    native = np.array([100_000 * m.native // m.consumers for m in mixes()])
    young = (age <= _LAST_CATASTROPHIC_AGE) & (adults + children == 1)
    eligible = chance(dice("catastrophic", count), _catastrophic()[state]) & young
    return Households(
        state=state,
        band=band,
        age=age,
        adults=adults,
        children=children,
        # Some who count for the poverty level have other coverage.
        size=adults + children + chance(dice("others", count), 250),
        fpl=fpl,
        metal=np.where(eligible, CATASTROPHIC, metal),
        native=below(dice("native", count), 100_000) < native[state],
        last_name=below(dice("last name", count), names.LAST_NAMES),
        place=places().within(state, dice("place", count)),
        street=below(dice("street", count), names.STREETS),
        house=1 + below(dice("house", count), 9_999),
        agency=below(dice("agency", count), names.AGENCIES),
        broker=below(dice("broker", count), names.BROKERS) * chance(dice("sold", count), 780),
    )


def income(band: Ints, point: Ints) -> Ints:
    """Incomes within bands of ``FPL_BANDS``, in thousandths of the poverty level."""
    low, high = np.array(FPL_BANDS).T
    return low[band] + below(point, (high - low + 1)[band])


def income_band(fpl: NDArray[np.integer]) -> Ints:
    """The band of each income."""
    return np.searchsorted([high for _, high in FPL_BANDS], fpl, side="left")


def metals() -> WeightedBy:
    """Metals but catastrophic, by state times ``len(FPL_BANDS)`` plus income band."""
    return _by_state()[3]


@cache
def _by_state() -> tuple[WeightedBy, Ints, WeightedBy, WeightedBy]:
    """Adults' age bands, chance of children per mille, income bands, metals by income."""
    return (
        WeightedBy([m.ages[1:] for m in mixes()]),
        np.array([_parents(m) for m in mixes()]),
        WeightedBy([m.incomes for m in mixes()]),
        WeightedBy([_metals(m, band) for m in mixes() for band in range(len(FPL_BANDS))]),
    )


def _parents(mix: Mix) -> list[int]:
    """Chance of children by the adults' age band, such that the members' ages come out right."""
    adults, children = sum(mix.ages[1:]), mix.ages[0]
    per_household = (1000 + _COUPLES) * children / adults  # per mille
    when_any = sum((n + 1) * share for n, share in enumerate(_CHILDREN)) / 1000
    weight = sum(a * w for a, w in zip(mix.ages[1:], _PARENTS, strict=True)) / adults
    return [round(per_household / when_any * w / weight) for w in _PARENTS]


def _metals(mix: Mix, band: int) -> list[int]:
    """Weights of the metals for an income band; bronze includes expanded bronze.

    Silver as often as variants with reduced cost sharing were sold to that band; in the other
    bands as often as leaves the published number of silver plans.
    """
    reduced = dict(zip((1, 2, 3), mix.reduced, strict=True))  # bands 100-150, 150-200, 200-250
    if band in reduced:
        silver = 1000 * reduced[band] // max(1, mix.incomes[band])
    else:
        others = mix.consumers - sum(mix.incomes[b] for b in reduced)
        silver = 1000 * (mix.metals[SILVER] - sum(mix.reduced)) // others
    silver = min(max(silver, 0), 1000)
    rest = list(mix.metals)
    rest[SILVER] = rest[CATASTROPHIC] = rest[EXPANDED_BRONZE] = 0
    total = sum(rest)
    weights = [(1000 - silver) * 1000 * n // total for n in rest]
    weights[SILVER] = silver * 1000
    return weights


@cache
def _catastrophic() -> Ints:
    """Chance per mille that a single adult young enough buys catastrophic, by state."""
    found = []
    for mix in mixes():
        # Those of 18 to 27 in households of one, as a share of all members.
        young = mix.ages[1] + mix.ages[2] * (_LAST_CATASTROPHIC_AGE - 25) // 9
        alone = young * (1000 - _COUPLES) // (1000 + _COUPLES)
        found.append(round(1000 * mix.metals[CATASTROPHIC] / alone))
    return np.array(found)
