"""How ill the members are: chronic conditions that persist, pregnancies, how often they need care.

All of it is settled at birth, so to speak: a condition has an onset, a pregnancy its due day, and
claims and the members feed look at who bears what on a day.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.rng import Dice, Ints, Lognormal, below, chance
from etl.synthetic.core.span import Span
from etl.synthetic.world.diagnoses import conditions

SEGMENTS = ("healthy", "at risk", "maternity", "chronic", "complex chronic", "catastrophic")
HEALTHY, AT_RISK, MATERNITY, CHRONIC, COMPLEX, CATASTROPHIC = range(6)
NONE = -1
_KNOWN_PREGNANT, _AFTER_BIRTH = 210, 42  # days before and after the due day in the segment

# Bear a chronic condition by the end of the run, per mille, by age: under 18, 26, 35, 45, 55, 65.
_PREVALENCE_AGES = (18, 26, 35, 45, 55, 65)
_PREVALENCE = np.array((70, 120, 160, 210, 300, 400, 520))
_SECOND = 260  # per mille of those with one condition
_RECENT, _RECENT_YEARS = 300, 4  # per mille whose condition began after the run's first day
_AT_RISK = 220
# One woman of 18 to 44 in 22 gives birth in a year.
_BIRTH_CYCLE_DAYS = 22 * 365
# A condition's relative cost (see diagnoses.conditions) from which it counts as more than chronic.
_COMPLEX_FROM, _CATASTROPHIC_FROM = 3_000, 12_000

# Mean claims a year by level, 0.5 to about 117, each a tenth above the one before.
CLAIM_RATES = tuple(0.5 * 1.1**level for level in range(58))
_RATE_EDGES = np.array([round(1000 * rate) for rate in CLAIM_RATES])
_RATE = Lognormal(5_300, 0.7)
_SEVERITY = Lognormal(1_000, 0.35)
# Who expects to need care buys more of it: claims by metal, per mille (in the order of METALS).
_SELECTION = np.array((600, 860, 860, 1010, 1250, 1500))
# Claims by segment, per mille of the average member without a condition.
_SEGMENT_RATE = np.array((800, 1250, 1250, 1900, 3000, 4000))


@dataclass(frozen=True, slots=True)
class Health:
    """One array entry a member. Days since 1970.

    ``condition``, ``second``: positions in ``diagnoses.conditions()``, the costlier first, or
    ``NONE``; ``onset``: day from which they are borne; ``due``: the last day of a pregnancy that
    falls into the run, if any, else ``NONE``; ``at_risk``; ``rate``: position in
    ``CLAIM_RATES`` with the condition, ``before``: chance per mille that a claim of this rate
    would also have come before the onset; ``severity``: cost of a claim, per mille of the
    average; ``habit``: a draw that stays with the member, for what people keep to.
    """

    condition: NDArray[np.int32]
    second: NDArray[np.int32]
    onset: NDArray[np.int32]
    due: NDArray[np.int32]
    at_risk: NDArray[np.bool_]
    rate: NDArray[np.int32]
    before: NDArray[np.int32]
    severity: NDArray[np.int32]
    habit: NDArray[np.int64]

    def take(self, rows: Ints | slice) -> Health:
        """Some of the members."""
        return Health(*(getattr(self, f.name)[rows] for f in fields(self)))

    def borne(self, day: Ints | int) -> Ints:
        """The condition that each is counted under on a day, or ``NONE``."""
        return np.where(self.onset <= day, self.condition, NONE)

    def segment(self, day: Ints | np.int64 | int) -> Ints:
        """Position in ``SEGMENTS`` of each on a day."""
        ill = _by_conditions(self.condition, self.second)
        pregnant = self.due != NONE
        pregnant &= (self.due - _KNOWN_PREGNANT <= day) & (day <= self.due + _AFTER_BIRTH)
        well = np.where(self.at_risk, AT_RISK, HEALTHY)
        well = np.where(pregnant, MATERNITY, well)
        return np.where((self.condition != NONE) & (self.onset <= day), ill, well)

    def turned(self, day: int) -> NDArray[np.bool_]:
        """Whose segment or condition differs between that day and the day before."""
        began = (self.condition != NONE) & (self.onset == day)
        return began | (self.segment(day) != self.segment(day - 1))


def _by_conditions(condition: NDArray, second: NDArray) -> Ints:
    cost = conditions().cost[condition]
    ill = np.where((second != NONE) | (cost >= _COMPLEX_FROM), COMPLEX, CHRONIC)
    return np.where(cost >= _CATASTROPHIC_FROM, CATASTROPHIC, ill)


def draw(
    span: Span,
    age: Ints,
    female: NDArray[np.bool_],
    newborn: NDArray[np.bool_],
    metal: Ints,
) -> Health:
    """The health of members of this age (as they joined), sex and metal bought."""
    size = len(age)
    dice = Dice(span.seed, "health")
    group = np.searchsorted(_PREVALENCE_AGES, age, side="right")
    ill = chance(dice("ill", size), _PREVALENCE[group]) & ~newborn
    kind = 2 * (age < 18) + female
    one = conditions().weighted(dice("condition", size), kind)
    two = conditions().weighted(dice("second condition", size), kind)
    cost = conditions().cost
    both = chance(dice("second", size), _SECOND) & (one != two)
    first = np.where(both & (cost[two] > cost[one]), two, one)
    other = np.where(first == one, two, one)
    recent = chance(dice("recent", size), _RECENT)
    since = span.first_day + below(dice("onset", size), _RECENT_YEARS * 365)
    condition = np.where(ill, first, NONE)
    second = np.where(ill & both, other, NONE)

    fertile = female & (age >= 18) & (age <= 44)
    # Spread over the cycle from before the run on: those who fall after it never come.
    due = span.first_day + below(dice("due", size), _BIRTH_CYCLE_DAYS)
    at_risk = chance(dice("at risk", size), _AT_RISK)

    # Age drives how often people need care: half the average at 20, one and a half times at 60.
    rate = _RATE(dice("rate", size)) * (300 + 20 * np.minimum(age, 64)) // 1000
    rate = np.where(age < 3, rate * 2, rate) * _SELECTION[metal] // 1000
    healthy = _SEGMENT_RATE[np.where(at_risk, AT_RISK, HEALTHY)]
    with_condition = _SEGMENT_RATE[_by_conditions(condition, second)]
    factor = np.where(ill, with_condition, healthy)
    level = np.searchsorted(_RATE_EDGES, rate * factor // 1000)
    arrays = {
        "condition": condition,
        "second": second,
        "onset": np.where(recent, since, 0),
        "due": np.where(fertile, due, NONE),
        "at_risk": at_risk,
        "rate": np.minimum(level, len(CLAIM_RATES) - 1),
        "before": 1000 * healthy // factor,
        "severity": _SEVERITY(dice("severity", size)),
        "habit": dice("habit", size),
    }
    kinds = {"at_risk": np.bool_, "habit": np.int64}
    return Health(**{n: v.astype(kinds.get(n, np.int32)) for n, v in arrays.items()})
