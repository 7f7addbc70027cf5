"""The run's arguments and calendar: what day it is, and who has been sold coverage by then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from etl.seed.rng import Dice, Ints, Weighted, below, chance

EPOCH = date(1970, 1, 1)
# Of a base member's possible first months: the first January, a later January, any other.
_FIRST_JANUARY, _LATER_JANUARY, _OTHER_MONTH = 620, 200, 8


def number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def day_of(days: int) -> date:
    """The date that is this many days after 1970-01-01."""
    return EPOCH + timedelta(days=days)


def first_of_next_month(day: date) -> date:
    """The first day of the month after."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True, slots=True)
class Entries:
    """How members came in: day of sale, first day of coverage, whether newly born."""

    entered: Ints
    start: Ints
    newborn: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Span:
    """The arguments from which everything follows.

    The first batch is as of December 1 of the last plan year: late enough that open enrolment
    is under way and the next year's catalogue published (45 CFR 155.410(e)), early enough that
    all claims of the full months before it are known.
    """

    seed: int
    members: int
    years: int
    first_year: int

    @property
    def last_year(self) -> int:
        """The plan year in which the first batch falls."""
        return self.first_year + self.years - 1

    @property
    def first_batch(self) -> date:
        """The day of the first batch; its facts are those before midnight (UTC) of that day."""
        return date(self.last_year, 12, 1)

    def batch_day(self, sequence: int) -> date:
        """The day of increment ``sequence`` (1, 2, …); 0 is the first batch."""
        return self.first_batch + timedelta(days=sequence)

    def sold_on(self, day: date) -> int:
        """New members in the batch of that day: about a sixth of the members a year.

        Three times as many in open enrolment, which ends on January 15 (45 CFR 155.410(e)).
        """
        busy = day.month == 12 or (day.month == 1 and day.day <= 15)
        return max(1, self.members // 3_000) * (3 if busy else 1)

    def population(self, day: date) -> int:
        """Members known once the batch of that day is out; the first batch knows ``members``."""
        days = (day - self.first_batch).days
        return self.members + sum(self.sold_on(self.batch_day(n)) for n in range(1, days + 1))

    def entries(self, day: date) -> Entries:
        """How everyone known by the batch of that day came in, in order of their number."""
        first = self._first_members()
        sold = [self.batch_day(n) for n in range(1, (day - self.first_batch).days + 1)]
        counts = [self.sold_on(d) for d in sold]
        entered = np.repeat([number(d) for d in sold], counts).astype(np.int64)
        # The first of the month after the sale (45 CFR 155.410(f), 155.420(b)(3)).
        following = np.repeat([number(first_of_next_month(d)) for d in sold], counts)
        # A newborn is at most ten days old, and born in the plan year in which it is sold.
        room = np.repeat([min(10, d.timetuple().tm_yday - 1) for d in sold], counts)
        room = room.astype(np.int64)
        dice = Dice(self.seed, "entries")
        newborn = chance(dice("newborn", len(entered)), 150) & (room > 0)
        # Coverage of a newborn begins on the day of birth (45 CFR 155.420(b)(2)(i)).
        birth = entered - 1 - below(dice("birth", len(entered)), np.maximum(room, 1))
        return Entries(
            np.concatenate([first.entered, entered]),
            np.concatenate([first.start, np.where(newborn, birth, following)]).astype(np.int64),
            np.concatenate([first.newborn, newborn]),
        )

    def _first_members(self) -> Entries:
        months = [
            date(year, month, 1)
            for year in range(self.first_year, self.last_year + 1)
            for month in range(1, 13)
        ]
        weights = [
            _OTHER_MONTH if m.month > 1 else _LATER_JANUARY if m != months[0] else _FIRST_JANUARY
            for m in months
        ]
        dice = Dice(self.seed, "entries")
        month = Weighted(weights)(dice("first month", self.members))
        start = np.array([number(m) for m in months])[month]
        entered = start - 1 - below(dice("first sale", self.members), 30)
        return Entries(entered, start, np.zeros(self.members, dtype=bool))
