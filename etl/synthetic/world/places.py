"""ZIP codes with their county and state, and what reports make of them.

The published table has no city and no rating area, so three things are made up by rule: the
city bears the county's name; counties of a state are dealt in order of name to six rating
areas; a county with 25 ZIP codes or more is metropolitan, with 8 or more micropolitan.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np

from etl.synthetic.core.reference import STATES, mixes, read
from etl.synthetic.core.rng import Ints, Weighted, below

RATING_AREAS = 6
AREA_KINDS = ("metropolitan", "micropolitan", "rural")
REGIONS = tuple(f"{state} Rating Area {n + 1}" for state in STATES for n in range(RATING_AREAS))
_COUNTY_WORDS = re.compile(r" (County|city)$")


@dataclass(frozen=True, slots=True)
class Places:
    """Arrays by ZIP code, ordered by state; ``region`` and ``kind`` point into the lists above.

    ``first`` and ``count`` delimit the ZIP codes of each of ``STATES``.
    """

    zip_code: tuple[str, ...]
    city: tuple[str, ...]
    state: Ints
    region: Ints
    kind: Ints
    first: Ints
    count: Ints

    def within(self, state: Ints, draw: Ints) -> Ints:
        """A ZIP code of each state for each draw."""
        return self.first[state] + below(draw, self.count[state])


@cache
def places() -> Places:
    """Every ZIP code of ``STATES``; one that crosses a county line counts in its first county."""
    by_zip: dict[str, tuple[str, str]] = {}
    for row in read("zip_county_fips_2017.csv"):
        by_zip.setdefault(row["ZIP"], (row["STATE"], row["COUNTYNAME"]))
    rows = sorted((STATES.index(state), code, name) for code, (state, name) in by_zip.items())
    size = Counter((state, name) for state, _, name in rows)
    area = {}
    for state in range(len(STATES)):
        for place, county in enumerate(sorted(c for c in size if c[0] == state)):
            area[county] = state * RATING_AREAS + place % RATING_AREAS
    counties = [(state, name) for state, _, name in rows]
    kind = [0 if size[c] >= 25 else 1 if size[c] >= 8 else 2 for c in counties]
    states = np.array([state for state, _, _ in rows])
    count = np.bincount(states, minlength=len(STATES))
    return Places(
        tuple(code for _, code, _ in rows),
        tuple(_COUNTY_WORDS.sub("", name) for _, _, name in rows),
        states,
        np.array([area[c] for c in counties]),
        np.array(kind),
        np.cumsum(count) - count,
        count,
    )


@cache
def state_mix() -> Weighted:
    """Draws the states of households, in proportion to the adults of the counts.

    Households have the same number of adults everywhere and differ in children.
    """
    return Weighted([mix.consumers - mix.ages[0] for mix in mixes()])
