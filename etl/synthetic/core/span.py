"""The run's arguments and calendar: what day it is, and how many are sold coverage on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

EPOCH = date(1970, 1, 1)


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
class Span:
    """The arguments from which everything follows.

    The first batch is as of December 15 of the last plan year, in the middle of open enrollment
    (45 CFR 155.410(e)): the next year's catalogue is published, the claims of ten full months
    are known but for those that come late, and the plan year begins 17 batches later.
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
    def first_day(self) -> int:
        """January 1 of the first plan year, in days since 1970."""
        return number(date(self.first_year, 1, 1))

    @property
    def first_batch(self) -> date:
        """The day of the first batch; its facts are those before midnight (UTC) of that day."""
        return date(self.last_year, 12, 15)

    def batch_day(self, sequence: int) -> date:
        """The day of increment ``sequence`` (1, 2, …); 0 is the first batch."""
        return self.first_batch + timedelta(days=sequence)

    def sequence(self, day: date) -> int:
        """Which increment that day is."""
        return (day - self.first_batch).days

    def sold_on(self, day: date) -> int:
        """About how many join in the batch of that day: a fifth of the members a year.

        Three times as many in open enrollment, which ends on January 15 (45 CFR 155.410(e)).
        """
        busy = day.month == 12 or (day.month == 1 and day.day <= 15)
        return max(1, self.members // 2_500) * (3 if busy else 1)


def is_snapshot(day: date) -> bool:
    """Whether that day's members and providers are complete: on the first of each month."""
    return day.day == 1
