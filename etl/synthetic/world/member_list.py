"""The members as they came: household, place in it, day of sale, first day of coverage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.reference import mixes
from etl.synthetic.core.rng import Dice, Ints, WeightedBy, below, chance
from etl.synthetic.core.span import Span, first_of_next_month, number
from etl.synthetic.world import households
from etl.synthetic.world.households import ADULT, CHILD, SPOUSE, Households

# What a year does to those covered, as shares: joined in a month other than January, and still
# covered by the next January 1 (see coverage). They set how many join in January for the new to
# be the published share of those covered then.
_JOIN_A_MONTH, _STAY, _COME_BACK = 0.011, 0.745, 0.035
_NEWBORN = 80  # per mille of the households that join after the first batch
_VETERAN = -1  # in the place of a month: covered since before the first plan year
_LONGEST_SINCE = 8 * 12  # months for which a member of the first January may have been covered


@dataclass(frozen=True, slots=True)
class MemberList:
    """Everyone known by the last day asked for, in order of their number.

    ``household``: position in ``households``; ``role``: adult, spouse or child; ``entered``: day
    of sale, ``start``: first day of coverage, days since 1970. ``newborn``: joined at birth,
    into a household of the first batch. ``since``: months covered before the first plan year.
    """

    households: Households
    household: Ints
    role: Ints
    entered: Ints
    start: Ints
    newborn: NDArray[np.bool_]
    since: Ints
    base: int

    def __len__(self) -> int:
        return len(self.household)

    def known(self, day: int) -> int:
        """How many the batch of that day knows; the first batch knows ``base``."""
        return self.base + int(np.searchsorted(self.entered[self.base :], day, side="right"))


def enroll(span: Span, last: date) -> MemberList:
    """The member_list by the batch of ``last``; a later day adds members and changes none."""
    first = households.draw(span.seed, "first", span.members)
    ends = np.cumsum(first.members)
    first = first.first(int(np.searchsorted(ends, span.members)) + 1)
    month = _first_months(span, first)
    later, sold = _later(span, last)
    homes = first.followed_by(later)

    many = homes.members
    # The last household of the first batch may lose members: the batch has exactly as many.
    many[len(first) - 1] -= int(many[: len(first)].sum()) - span.members
    household = np.repeat(np.arange(len(homes)), many)
    place = np.arange(len(household)) - (np.cumsum(many) - many)[household]
    role = np.where(place >= homes.adults[household], CHILD, np.where(place, SPOUSE, ADULT))

    base = span.members
    dice = Dice(span.seed, "roster")

    def draw(attribute: str) -> Ints:
        return dice(attribute, len(homes))[household]

    months = [number(date(y, m, 1)) for y in _plan_years(span) for m in range(1, 13)]
    began = np.array(months)[np.maximum(month, 0)][household[:base]]
    veteran = np.concatenate([month == _VETERAN, np.zeros(len(later), dtype=bool)])[household]
    days = _batch_days(span, last)
    batch = sold[household[base:] - len(first)]
    joined = np.array([number(d) for d in days], dtype=np.int64)[batch]
    # The first of the month after the sale (45 CFR 155.410(f), 155.420(b)(3)).
    following = np.array([number(first_of_next_month(d)) for d in days], dtype=np.int64)[batch]
    # A newborn is at most ten days old, and born in the plan year in which it joins.
    room = np.array([min(10, d.timetuple().tm_yday - 1) for d in days], dtype=np.int64)[batch]
    alone = many[household] == 1
    newborn = chance(draw("newborn"), _NEWBORN) & alone
    newborn &= np.concatenate([np.zeros(base, dtype=bool), room > 0])
    # Coverage of a newborn begins on the day of birth (45 CFR 155.420(b)(2)(i)).
    born = joined - 1 - below(draw("lead")[base:], np.maximum(room, 1))
    return MemberList(
        households=homes,
        household=np.where(newborn, below(draw("parents"), len(first)), household),
        role=np.where(newborn, CHILD, role),
        entered=np.concatenate([began - 1 - below(draw("lead")[:base], 30), joined]),
        start=np.concatenate([began, np.where(newborn[base:], born, following)]),
        newborn=newborn,
        since=np.where(veteran, 1 + below(draw("since"), _LONGEST_SINCE), 0),
        base=base,
    )


def _plan_years(span: Span) -> range:
    return range(span.first_year, span.last_year + 1)


def _batch_days(span: Span, last: date) -> list[date]:
    return [span.batch_day(n) for n in range(1, span.sequence(last) + 1)]


def _first_months(span: Span, homes: Households) -> Ints:
    """The month in which each household was first covered, from the first plan year on.

    ``_VETERAN``: covered since before, so from the first January on.
    """
    lists = []
    for mix in mixes():
        new = mix.new / mix.consumers
        covered = 1.0
        weights = [covered * (1 - new)]
        for year in _plan_years(span):
            first = year == span.first_year
            joining = covered * new if first else covered * (new / (1 - new) - _COME_BACK)
            weights += [max(joining, 0.0), *[_JOIN_A_MONTH] * 11]
            covered = (1.0 if first else covered + joining) + 11 * _JOIN_A_MONTH
            covered *= _STAY
        lists.append([round(1_000_000 * w) for w in weights])
    point = Dice(span.seed, "roster")("first month", len(homes))
    return WeightedBy(lists)(point, homes.state) - 1


def _later(span: Span, last: date) -> tuple[Households, Ints]:
    """The households that joined after the first batch, and the batch that first knows each.

    Batches are counted from 0. A day takes whole households until its number is reached.
    """
    wanted = np.cumsum([span.sold_on(d) for d in _batch_days(span, last)], dtype=np.int64)
    if not len(wanted):
        return households.draw(span.seed, "later", 0), wanted
    homes = households.draw(span.seed, "later", int(wanted[-1]))
    ends = np.cumsum(homes.members)
    count = int(np.searchsorted(ends, wanted[-1])) + 1
    homes = homes.first(count)
    return homes, np.searchsorted(wanted, ends[:count] - homes.members, side="right")
