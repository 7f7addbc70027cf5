"""Who has which plan from when to when, at what premium and tax credit, by plan year.

A member has up to two spans a plan year: the first may end early, and some who left come back
later in the year. A household buys, leaves and renews as one. All of a year's spans are settled
once, including ends still to come; a batch shows a span from the day of its sale and an end when
notice of it has been given, so the claims of any day can be drawn from the spans alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.reference import (
    BRONZE,
    CATASTROPHIC,
    EXPANDED_BRONZE,
    FPL_BANDS,
    METALS,
    SILVER,
    STATES,
    contribution,
    mixes,
    poverty_guideline,
)
from etl.synthetic.core.rng import Dice, Ints, below, chance
from etl.synthetic.core.span import Span, number
from etl.synthetic.world import households
from etl.synthetic.world.catalogue import Plans, age_premium, plans
from etl.synthetic.world.member_list import MemberList
from etl.synthetic.world.people import People
from etl.synthetic.world.places import places

NONE = -1
REASONS = (
    *("renewal", "open_enrollment", "loss_of_coverage", "move"),
    *("marriage", "income_change", "birth_or_adoption"),
)
_RENEWAL, _OPEN_ENROLLMENT, _FIRST_EVENT, _BIRTH = 0, 1, 2, 6
NOTICE_DAYS = 14  # an enrollee ends coverage with this notice (45 CFR 155.430(d)(2))
# Who stops paying loses coverage back to the end of the first month of the grace period, which
# is three months with a tax credit (45 CFR 156.270(d)) and here one without: the end becomes
# known so many days after it.
_GRACE_DAYS, _GRACE_DAYS_WITHOUT_CREDIT = 61, 31

# Chances per mille in a year: ends by notice, ends for non-payment, and after either a return
# within the year, or in the next open enrollment; renews at the year's end.
_LEAVES, _LAPSES, _RETURNS, _RETURNS_LATER, _RENEWS = 90, 80, 150, 120, 875
_LAST_RETURN_MONTH = 11
# Per mille of those who turn 65 that leave for Medicare, which begins with the month of the
# birthday (42 CFR 406.6(b), 407.25).
_MEDICARE_AGE, _TAKES_MEDICARE, _NEVER = 65, 900, 1 << 30
_LATE_BUYERS = 200  # per mille of those back in open enrollment who are covered from February 1


@dataclass(frozen=True, slots=True)
class Coverage:
    """One span a member and plan year, one array entry a member; ``plan`` is ``NONE`` without.

    ``part``: 1, or 2 for the span of those who came back. ``start`` and ``end``: first and last
    day covered, days since 1970. ``issued``: day of the batch that first shows the span;
    ``noticed``: last day before the batch that shows its end, if it ends before the year does.
    ``premium``: a month, in cents, before the credit ``aptc``.
    """

    year: int
    part: int
    plan: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    issued: NDArray[np.int32]
    noticed: NDArray[np.int32]
    csr: NDArray[np.int32]
    reason: NDArray[np.int32]
    premium: NDArray[np.int32]
    aptc: NDArray[np.int32]

    @property
    def held(self) -> NDArray[np.bool_]:
        """Whether each member has a span."""
        return self.plan != NONE

    @property
    def ends_early(self) -> NDArray[np.bool_]:
        """Whether the span ends before the plan year does."""
        return self.held & (self.end < number(date(self.year, 12, 31)))

    def known(self, today: int) -> NDArray[np.bool_]:
        """Whose span the batch of a day knows."""
        return self.held & (self.issued <= today)

    def end_known(self, today: int) -> NDArray[np.bool_]:
        """Whose early end the batch of a day knows."""
        return self.ends_early & (self.noticed < today)


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
    span: Span,
    year: int,
    people: People,
    member_list: MemberList,
    before: tuple[Coverage, Coverage] | None,
) -> tuple[Coverage, Coverage]:
    """The spans of a plan year, first and second, for the people as they entered.

    ``before`` is the year before, for the same people.
    """
    home = member_list.household
    dice = Dice(span.seed, "coverage", year)

    def draw(attribute: str) -> Ints:
        return dice(attribute, len(member_list.households))[home]

    first, last = number(date(year, 1, 1)), number(date(year, 12, 31))
    entering = (member_list.start >= first) & (member_list.start <= last)
    renewed, returned, past = _carried_over(before, draw, len(people))
    medicare = _medicare_from(span, people, member_list)
    renewed &= ~entering & (medicare > first)
    late = returned & chance(draw("late buyer"), _LATE_BUYERS)
    returned &= ~entering & (medicare > np.where(late, first + 31, first))
    start = np.where(entering, member_list.start, np.where(late, first + 31, first))
    # Open enrollment runs from November 1 to January 15; December 15 is the last day for January.
    bought = np.where(
        late, first - 16 + below(draw("sale"), 31), first - 61 + below(draw("sale"), 45)
    )
    issued = np.where(entering, member_list.entered, np.where(returned, bought, first))
    reason = np.where(renewed, _RENEWAL, _reasons(member_list, start, first, draw("reason")))
    reason = np.where(returned, _OPEN_ENROLLMENT, reason)

    held = renewed | returned | entering
    wanted = _wanted(member_list, before, draw)
    plan = _chosen(plans(year), people, member_list, wanted, start, draw("plan"))
    if before is not None:
        kept = renewed & ~chance(draw("switches"), _switching()[member_list.households.state[home]])
        kept &= (plans(year).metal[past] != CATASTROPHIC) | (age_on(people.born, start) < 30)
        plan = np.where(kept, past, plan)

    leaves = below(draw("leaves"), 1000)
    lapses = (leaves >= _LEAVES) & (leaves < _LEAVES + _LAPSES)
    end = start + NOTICE_DAYS + below(draw("last day"), np.maximum(last - start - 13, 1))
    end = np.where(lapses | chance(draw("month's end"), 700), _month_end(end), end)
    end = np.where(leaves < _LEAVES + _LAPSES, np.minimum(end, last), last)
    lapses &= end < medicare
    end = np.minimum(end, medicare - 1)
    main = _priced(
        span,
        member_list,
        people,
        (year, 1),
        np.where(held, plan, NONE),
        start,
        end,
        issued,
        reason,
        lapses,
    )

    back = main.ends_early & chance(draw("returns"), _RETURNS)
    # Not before the end is known, and from the first of a month (45 CFR 155.420(b)).
    again = _month_end(np.maximum(end, main.noticed) + below(draw("time away"), 75)) + 1
    back &= again < np.minimum(number(date(year, _LAST_RETURN_MONTH + 1, 1)), medicare)
    plan = _chosen(plans(year), people, member_list, wanted, again, draw("plan of return"))
    second = _priced(
        span,
        member_list,
        people,
        (year, 2),
        np.where(back, plan, NONE),
        again,
        np.minimum(medicare - 1, last),
        np.maximum(again - 1 - below(draw("sale of return"), 14), main.noticed + 1),
        _FIRST_EVENT + below(draw("reason of return"), _BIRTH - _FIRST_EVENT),
        np.zeros(len(people), dtype=bool),
    )
    return main, second


def _medicare_from(span: Span, people: People, member_list: MemberList) -> Ints:
    """The day from which each has Medicare instead, or ``_NEVER``."""
    months = _month_and_day(people.born.astype(np.int64))[0] + 12 * _MEDICARE_AGE
    begins = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    takes = chance(Dice(span.seed, "medicare")("takes", len(people)), _TAKES_MEDICARE)
    return np.where(takes & (begins > member_list.start), begins, _NEVER)


def _carried_over(
    before: tuple[Coverage, Coverage] | None, draw: Callable[[str], Ints], size: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Ints]:
    """Who renews, who comes back after a gap, and the plan last held."""
    if before is None:
        none = np.zeros(size, dtype=bool)
        return none, none, np.zeros(size, dtype=np.int64)
    main, second = before
    covered = (main.held & ~main.ends_early) | second.held
    renewed = covered & chance(draw("renews"), _RENEWS)
    returned = main.held & ~covered & chance(draw("returns later"), _RETURNS_LATER)
    return renewed, returned, np.where(second.held, second.plan, np.maximum(main.plan, 0))


def _switching() -> Ints:
    """Who shops at renewal, per mille: a twelfth more than switch, since some stay."""
    return np.array([mix.switched_per_mille * 13 // 12 for mix in mixes()])


def _wanted(
    member_list: MemberList, before: tuple[Coverage, Coverage] | None, draw: Callable[[str], Ints]
) -> Ints:
    """The metal each household wants: its own, or after a year one of the published mix."""
    home, homes = member_list.household, member_list.households
    if before is None:
        return homes.metal[home]
    band = households.income_band(homes.fpl[home])
    fresh = households.metals()(draw("metal"), homes.state[home] * len(FPL_BANDS) + band)
    own = ~before[0].held | (homes.metal[home] == CATASTROPHIC)
    return np.where(own, homes.metal[home], fresh)


def _priced(
    span: Span,
    member_list: MemberList,
    people: People,
    which: tuple[int, int],
    plan: Ints,
    start: Ints,
    end: Ints,
    issued: Ints,
    reason: Ints,
    lapses: NDArray[np.bool_],
) -> Coverage:
    """Spans with premium, tax credit, cost-sharing variant, and when their end becomes known."""
    year, part = which
    catalogue = plans(year)
    metal = catalogue.metal[plan]
    age = age_on(people.born, start)
    premium = age_premium(catalogue.premium[plan], catalogue.state[plan], age)
    aptc = _credit(catalogue, member_list, plan != NONE, age, premium)
    aptc = np.where(metal == CATASTROPHIC, 0, aptc)
    grace = np.where(aptc > 0, _GRACE_DAYS, _GRACE_DAYS_WITHOUT_CREDIT)
    columns = (
        plan,
        start,
        end,
        np.maximum(issued, number(span.first_batch)),
        np.maximum(np.where(lapses, end + grace, end - NOTICE_DAYS), issued),
        csr_variant(metal, people.fpl, member_list.households.native[member_list.household]),
        reason,
        premium,
        aptc,
    )
    # Of everyone and every year: half the width is half of what a run keeps in memory.
    return Coverage(year, part, *(values.astype(np.int32) for values in columns))


def _month_end(days: Ints) -> Ints:
    months = days.astype("datetime64[D]").astype("datetime64[M]") + 1
    return months.astype("datetime64[D]").astype(np.int64) - 1


def _chosen(
    catalogue: Plans, people: People, member_list: MemberList, wanted: Ints, start: Ints, draw: Ints
) -> Ints:
    """A plan of the member's state and metal, or a silver one where the state sells no such.

    The cheaper a plan is among its like, the more buy it: the square of the draw is even.
    """
    state = places().state[people.place]
    # Catastrophic plans are for those under 30 (45 CFR 156.155(a)(5)).
    metal = np.where((wanted == CATASTROPHIC) & (age_on(people.born, start) >= 30), BRONZE, wanted)
    # Bronze and expanded bronze are sold as one: the open-enrollment counts do not part them.
    sold = np.where(catalogue.metal == EXPANDED_BRONZE, BRONZE, catalogue.metal)
    half = draw >> 1
    cheap = (half * half) >> 30
    plan = np.empty(len(people), dtype=np.int64)
    for s in range(len(STATES)):
        silver = np.flatnonzero((catalogue.state == s) & (sold == SILVER))
        for m in range(len(METALS)):
            rows = np.flatnonzero((state == s) & (metal == m))
            offered = np.flatnonzero((catalogue.state == s) & (sold == m))
            offered = offered if len(offered) else silver
            offered = offered[np.argsort(catalogue.premium[offered], kind="stable")]
            plan[rows] = offered[below(cheap[rows], len(offered))]
    return plan


def csr_variant(metal: Ints, fpl: NDArray[np.integer], native: NDArray[np.bool_]) -> Ints:
    """Cost-sharing reduction variant (45 CFR 155.305(g), 155.350, 156.420).

    06, 05, 04: silver, income from 100 % to 150, 200, 250 % of the poverty level. 02, 03:
    American Indians and Alaska Natives up to 300 % and above, in any metal but catastrophic.
    """
    by_income = np.array([1, 6, 5, 4])
    band = np.searchsorted([999, 1500, 2000, 2500], fpl, side="left")
    csr = np.where((metal == SILVER) & (band < 4), by_income[np.minimum(band, 3)], 1)
    # Incomes under 100 % of the level are those who are not eligible.
    limited = np.where((fpl >= 1000) & (fpl <= 3000), 2, 3)
    return np.where(native & (metal != CATASTROPHIC), limited, csr)


def _credit(
    catalogue: Plans, member_list: MemberList, held: NDArray[np.bool_], age: Ints, premium: Ints
) -> Ints:
    """Advance credit a month in cents (26 CFR 1.36B-3(d)), a household's shared by its members.

    Benchmark premiums of those covered less the share of household income, in proportion to
    each one's benchmark (45 CFR 155.340(e)), and at least a dollar of premium stays: the credit
    does not pay for benefits beyond the essential ones (45 CFR 155.340(b)). A newborn's
    household pays its share of income already, so its whole benchmark premium is credited.
    """
    home, homes = member_list.household, member_list.households
    state = homes.state[home]
    benchmark = age_premium(catalogue.benchmark[state], state, age)
    counted = np.where(held & ~member_list.newborn, benchmark, 0)
    together = np.bincount(home, counted, minlength=len(homes)).astype(np.int64)
    first, more = poverty_guideline(catalogue.year - 1)
    guideline = first + more * (homes.size - 1)
    share = contribution(catalogue.year)[homes.fpl // 10]
    # dollars * thousandths * hundred-thousandths / 12 months, to cents
    due = guideline * homes.fpl * share // (12 * 1_000 * 1_000)
    credit = np.where(share < 0, 0, np.maximum(together - due, 0))
    part = credit[home] * benchmark // np.maximum(together[home], 1)
    part = np.where(member_list.newborn & (credit[home] > 0), benchmark, part)
    return np.clip(part, 0, np.maximum(premium - 100, 0))


def _reasons(member_list: MemberList, start: Ints, january: int, draw: Ints) -> Ints:
    """Open enrollment for coverage from January 1 or February 1 sold by January 15.

    The members of the run's first January renew, but for those who are new then.
    """
    in_time = (start <= january + 31) & (member_list.entered < january + 15) & ~member_list.newborn
    event = _FIRST_EVENT + below(draw, _BIRTH - _FIRST_EVENT)
    bought = np.where(in_time, _OPEN_ENROLLMENT, event)
    return np.where(member_list.newborn, _BIRTH, np.where(member_list.since > 0, _RENEWAL, bought))
