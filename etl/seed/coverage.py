"""Who holds which plan from when to when, at what premium and tax credit, by plan year.

A member has at most one span a plan year. All of a year's spans are settled once, including
terminations still to come; a batch shows an end only when notice of it has been given, so the
claims of any day can be drawn from the spans alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from etl.seed.catalogue import Plans, age_premium, plans
from etl.seed.people import People
from etl.seed.places import places
from etl.seed.reference import (
    BRONZE,
    CATASTROPHIC,
    EXPANDED_BRONZE,
    METALS,
    SILVER,
    STATES,
    contribution,
    poverty_guideline,
)
from etl.seed.rng import Dice, Ints, below, chance
from etl.seed.span import Entries, Span, number

NONE = -1
REASONS = (
    "renewal",
    "open_enrollment",
    "loss_of_coverage",
    "move",
    "marriage",
    "income_change",
    "birth_or_adoption",
)
_RENEWAL, _OPEN_ENROLLMENT, _FIRST_EVENT, _BIRTH = 0, 1, 2, 6
NOTICE_DAYS = 14  # an enrollee ends coverage with this notice (45 CFR 155.430(d)(2))


@dataclass(frozen=True, slots=True)
class Coverage:
    """One plan year, one array entry a member; ``plan`` is ``NONE`` without a span.

    ``start`` and ``end``: first and last day covered, days since 1970. ``issued``: day of the
    batch that first shows the span; ``noticed``: last day before the batch that shows its end,
    if it ends before the year does. ``premium``: a month, in cents, before the credit ``aptc``.
    """

    year: int
    plan: NDArray[np.int64]
    start: Ints
    end: Ints
    issued: Ints
    noticed: Ints
    csr: Ints
    reason: Ints
    premium: Ints
    aptc: Ints

    @property
    def held(self) -> NDArray[np.bool_]:
        """Whether each member has a span."""
        return self.plan != NONE

    @property
    def ends_early(self) -> NDArray[np.bool_]:
        """Whether the span ends before the plan year does."""
        return self.held & (self.end < number(date(self.year, 12, 31)))


def age_on(born: NDArray[np.integer], day: Ints | int) -> Ints:
    """Age in whole years on a day, both in days since 1970; 0 before birth.

    Who is born on February 29 has a birthday on March 1 of other years.
    """
    birth_month, birth_day = _month_and_day(born.astype(np.int64))
    month, day_of_month = _month_and_day(np.asarray(day))
    return np.maximum((month - birth_month - (day_of_month < birth_day)) // 12, 0)


def _month_and_day(days: Ints) -> tuple[Ints, Ints]:
    """Months since January 1970, and days since the first of the month."""
    months = days.astype("datetime64[D]").astype("datetime64[M]")
    return months.astype(np.int64), days - months.astype("datetime64[D]").astype(np.int64)


def cover(
    span: Span, year: int, people: People, entries: Entries, before: Coverage | None, today: date
) -> Coverage:
    """The spans of a plan year for the people known by the batch of ``today``.

    ``before`` is the year before, for the same people. Renewals for a year later than the first
    batch's are settled on its January 1.
    """
    size = len(people)
    dice = Dice(span.seed, "coverage", year)
    first, last = number(date(year, 1, 1)), number(date(year, 12, 31))
    renewed = np.zeros(size, dtype=bool)
    if before is not None and number(today) >= first:
        renewed = before.held & ~before.ends_early & chance(dice("renews", size), 860)
        # A span sold later than the renewal date is a new one.
        renewed &= entries.entered < first
    entering = (entries.start >= first) & (entries.start <= last)
    held = renewed | entering
    start = np.where(entering, entries.start, first)

    catalogue = plans(year)
    plan = _chosen(catalogue, people, age_on(people.born, start), dice("plan", size))
    if before is not None:
        kept = renewed & ~chance(dice("switches", size), 150)
        kept &= (catalogue.metal[before.plan] != CATASTROPHIC) | (age_on(people.born, start) < 30)
        plan = np.where(kept, before.plan, plan)

    leaves = chance(dice("leaves", size), 180)
    end = start + NOTICE_DAYS + below(dice("last day", size), np.maximum(last - start - 13, 1))
    end = np.where(chance(dice("month's end", size), 700), _month_end(end), end)
    end = np.where(leaves, np.minimum(end, last), last)

    csr = csr_variant(catalogue.metal[plan], people.fpl, people.native == 1)
    premium = age_premium(catalogue.premium[plan], age_on(people.born, start))
    aptc = _credit(catalogue, people, start, premium)
    aptc = np.where(catalogue.metal[plan] == CATASTROPHIC, 0, aptc)
    issued = np.where(entering, entries.entered, first)
    return Coverage(
        year,
        np.where(held, plan, NONE),
        start,
        end,
        np.maximum(issued, number(span.first_batch)),
        np.maximum(end - NOTICE_DAYS, issued),
        csr,
        np.where(renewed, _RENEWAL, _reasons(entries, start, first, dice("reason", size))),
        premium,
        aptc,
    )


def _month_end(days: Ints) -> Ints:
    months = days.astype("datetime64[D]").astype("datetime64[M]") + 1
    return months.astype("datetime64[D]").astype(np.int64) - 1


def _chosen(catalogue: Plans, people: People, age: Ints, draw: Ints) -> Ints:
    """A plan of the member's state and metal, or a silver one where the state sells no such."""
    state = places().state[people.place]
    metal = np.where((people.metal == CATASTROPHIC) & (age >= 30), BRONZE, people.metal)
    # Bronze and expanded bronze are sold as one: the open-enrolment counts do not part them.
    sold = np.where(catalogue.metal == EXPANDED_BRONZE, BRONZE, catalogue.metal)
    plan = np.empty(len(people), dtype=np.int64)
    for s in range(len(STATES)):
        silver = np.flatnonzero((catalogue.state == s) & (sold == SILVER))
        for m in range(len(METALS)):
            rows = np.flatnonzero((state == s) & (metal == m))
            offered = np.flatnonzero((catalogue.state == s) & (sold == m))
            offered = offered if len(offered) else silver
            plan[rows] = offered[below(draw[rows], len(offered))]
    return plan


def csr_variant(metal: Ints, fpl: NDArray[np.integer], native: NDArray[np.bool_]) -> Ints:
    """Cost-sharing reduction variant (45 CFR 155.305(g), 155.350, 156.420).

    06, 05, 04: silver, income from 100 % to 150, 200, 250 % of the poverty level. 02, 03:
    American Indians and Alaska Natives up to 300 % and above, in any metal but catastrophic.
    """
    by_income = np.array([1, 6, 5, 4])
    band = np.searchsorted([999, 1500, 2000, 2500], fpl, side="left")
    csr = np.where((metal == SILVER) & (band < 4), by_income[np.minimum(band, 3)], 1)
    # Incomes under 100 % of the level stand here for those who are not eligible.
    limited = np.where((fpl >= 1000) & (fpl <= 3000), 2, 3)
    return np.where(native & (metal != CATASTROPHIC), limited, csr)


def _credit(catalogue: Plans, people: People, start: Ints, premium: Ints) -> Ints:
    """Advance credit a month in cents (26 CFR 1.36B-3(d)), each member a household's only one.

    Benchmark premium less the share of household income, and at least a dollar of premium stays:
    the credit does not pay for benefits beyond the essential ones (45 CFR 155.340(b)).
    """
    state = places().state[people.place]
    benchmark = age_premium(catalogue.benchmark[state], age_on(people.born, start))
    first, more = poverty_guideline(catalogue.year - 1)
    guideline = first + more * (people.household.astype(np.int64) - 1)
    share = contribution(catalogue.year)[people.fpl // 10]
    # dollars * thousandths * hundred-thousandths / 12 months, to cents
    due = guideline * people.fpl * share // (12 * 1_000 * 1_000)
    credit = np.clip(benchmark - due, 0, np.maximum(premium - 100, 0))
    return np.where(share < 0, 0, credit)


def _reasons(entries: Entries, start: Ints, january: int, draw: Ints) -> Ints:
    """Open enrollment for coverage from January 1 or February 1 sold by January 15."""
    in_time = (start <= january + 31) & (entries.entered < january + 15) & ~entries.newborn
    event = _FIRST_EVENT + below(draw, _BIRTH - _FIRST_EVENT)
    return np.where(entries.newborn, _BIRTH, np.where(in_time, _OPEN_ENROLLMENT, event))
