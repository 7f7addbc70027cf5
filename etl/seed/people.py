"""The members: who they are. What plan they hold is in ``coverage``.

``draw`` gives the members as they entered. The increments change a copy (see ``changes``);
claims are drawn from the members as they entered, so that a later change leaves every earlier
claim as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from etl.seed import names
from etl.seed.clinical import conditions
from etl.seed.places import places, state_mix
from etl.seed.reference import AGE_BANDS, CATASTROPHIC, FPL_BANDS, SILVER, mixes
from etl.seed.rng import Dice, Ints, Lognormal, Weighted, below, chance

SEGMENTS = ("healthy", "at risk", "maternity", "chronic", "complex chronic", "catastrophic")
FIRST_CHRONIC = 3  # this segment and the later ones count under a condition
_SEGMENT_WEIGHTS = (54, 18, 2, 21, 4, 1)
GENDERS = ("F", "M", "X", "U")
FEMALE = 0
_HOUSEHOLDS = (45, 28, 13, 9, 5)

# Mean claims a month by level, 0.04 to about 10, each a tenth above the one before.
CLAIM_RATES = tuple(0.04 * 1.1**level for level in range(59))
_RATE_EDGES = np.array([round(1000 * rate) for rate in CLAIM_RATES])
_RATE = Lognormal(530, 0.8)
_SEVERITY = Lognormal(1_080, 0.4)
# Claims and their cost by segment, per mille of the healthy.
_SEGMENT_RATE = np.array((620, 1100, 2000, 1500, 2600, 3600))
_SEGMENT_SEVERITY = np.array((820, 960, 1250, 1150, 1550, 2900))


@dataclass(slots=True)
class People:
    """One array entry a member. Names, ZIP and so on are positions in their lists.

    ``born``: days since 1970; ``fpl``: income in thousandths of the poverty level;
    ``condition``: position in ``clinical.conditions()``; ``rate``: position in ``CLAIM_RATES``;
    ``severity``: cost of a claim, per mille of the average; ``adi``: hundredths;
    ``updated``: seconds since 1970, when the member last changed.
    """

    first_name: NDArray[np.int32]
    last_name: NDArray[np.int32]
    born: NDArray[np.int32]
    gender: NDArray[np.int32]
    mail_domain: NDArray[np.int32]
    mail_number: NDArray[np.int32]
    phone: NDArray[np.int32]
    house: NDArray[np.int32]
    street: NDArray[np.int32]
    place: NDArray[np.int32]
    fpl: NDArray[np.int32]
    household: NDArray[np.int32]
    native: NDArray[np.int32]
    metal: NDArray[np.int32]
    agency: NDArray[np.int32]
    broker: NDArray[np.int32]
    segment: NDArray[np.int32]
    condition: NDArray[np.int32]
    rate: NDArray[np.int32]
    severity: NDArray[np.int32]
    adi: NDArray[np.int32]
    calls: NDArray[np.int32]
    app_logins: NDArray[np.int32]
    web_logins: NDArray[np.int32]
    new_provider: NDArray[np.int32]
    updated: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.born)

    def copy(self) -> People:
        """The same people in arrays of their own."""
        return People(**{f.name: getattr(self, f.name).copy() for f in fields(self)})

    def take(self, rows: Ints | slice) -> People:
        """Some of the people."""
        return People(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@cache
def _by_state() -> tuple[tuple[Weighted, Weighted, Weighted], ...]:
    return tuple((Weighted(m.ages), Weighted(m.incomes), Weighted(m.metals)) for m in mixes())


def _mixed(state: Ints, which: int, draw: Ints) -> Ints:
    """Positions drawn by each state's own mix: 0 ages, 1 incomes, 2 metals."""
    picked = np.zeros(len(state), dtype=np.int64)
    for number, weighted in enumerate(_by_state()):
        rows = np.flatnonzero(state == number)
        picked[rows] = weighted[which](draw[rows])
    return picked


def _in_band(bands: tuple[tuple[int, int], ...], band: Ints, draw: Ints) -> Ints:
    low, high = np.array(bands).T
    return low[band] + below(draw, (high - low + 1)[band])


def income(band: Ints, draw: Ints) -> Ints:
    """Incomes within bands of ``FPL_BANDS``, in thousandths of the poverty level."""
    return _in_band(FPL_BANDS, band, draw)


def income_band(fpl: NDArray[np.integer]) -> Ints:
    """The band of each income."""
    return np.searchsorted([high for _, high in FPL_BANDS], fpl, side="left")


def draw(seed: int, entered: Ints, start: Ints, newborn: NDArray[np.bool_]) -> People:
    """The members sold on ``entered`` for coverage from ``start`` (days since 1970).

    Newborns are born on the day their coverage starts; all else is drawn as for anyone. The
    first rows are the same however many are drawn.
    """
    size = len(entered)
    dice = Dice(seed, "people")
    state = state_mix()(dice("state", size))
    age = _in_band(AGE_BANDS, _mixed(state, 0, dice("age band", size)), dice("age", size))
    # At least one year's width inside the age: never a day older than the band allows.
    birthday = entered - 365 * age - age // 4 - 1 - below(dice("birthday", size), 364)
    born = np.where(newborn, start, birthday)
    female_share = np.array([m.female_per_mille for m in mixes()])[state]
    female = chance(dice("female", size), female_share)
    unstated = Weighted((990, 6, 4))(dice("unstated", size))
    gender = np.where(unstated > 0, unstated + 1, np.where(female, 0, 1))
    first_name = below(dice("first name", size), names.FIRST_NAMES)
    segment = Weighted(_SEGMENT_WEIGHTS)(dice("segment", size))
    old_for_maternity = ~female | (age < 18) | (age > 45) | newborn
    segment = np.where((segment == 2) & old_for_maternity, 0, segment)
    # Age drives how often people are ill: half the average at 20, one and a half times at 60.
    rate = _RATE(dice("rate", size)) * (300 + 20 * np.minimum(age, 64)) // 1000
    rate = rate * _SEGMENT_RATE[segment] // 1000
    severity = _SEVERITY(dice("severity", size)) * _SEGMENT_SEVERITY[segment] // 1000
    native = chance(dice("native", size), 5)
    metal = _mixed(state, 2, dice("metal", size))
    logins = below(dice("app logins", size), 60) * chance(dice("uses app", size), 420)
    entered_at = entered * 86_400
    attributes = {
        "first_name": first_name + names.FIRST_NAMES * ~female,
        "last_name": below(dice("last name", size), names.LAST_NAMES),
        "born": born,
        "gender": gender,
        "mail_domain": below(dice("mail domain", size), 2),
        "mail_number": below(dice("mail number", size), 10_000),
        "phone": below(dice("phone", size), names.AREA_CODES * 100),
        "house": 1 + below(dice("house", size), 9_999),
        "street": below(dice("street", size), names.STREETS),
        "place": places().within(state, dice("place", size)),
        "fpl": income(_mixed(state, 1, dice("income band", size)), dice("income", size)),
        "household": 1 + Weighted(_HOUSEHOLDS)(dice("household", size)),
        "native": native,
        # Catastrophic plans are for those under 30 (45 CFR 156.155(a)(5)).
        "metal": np.where((metal == CATASTROPHIC) & (age > 27), SILVER, metal),
        "agency": below(dice("agency", size), names.AGENCIES),
        "broker": below(dice("broker", size), names.BROKERS) * chance(dice("sold", size), 780),
        "segment": segment,
        "condition": conditions().weighted(dice("condition", size)),
        "rate": np.clip(np.searchsorted(_RATE_EDGES, rate), 0, len(CLAIM_RATES) - 1),
        "severity": np.minimum(severity, 60_000),
        "adi": 100 + below(dice("deprivation", size), 9_901),
        "calls": below(below(dice("calls", size), 1 << 16) ** 2, 6),
        "app_logins": logins,
        "web_logins": below(dice("web logins", size), 40) * chance(dice("uses web", size), 510),
        "new_provider": chance(dice("new provider", size), 350),
        "updated": entered_at + below(dice("entry second", size), 86_400) - 86_400,
    }
    kinds = {f.name: np.int64 if f.name == "updated" else np.int32 for f in fields(People)}
    return People(**{name: values.astype(kinds[name]) for name, values in attributes.items()})
