"""Everything as the batch of a day knows it, day after day from the arguments of the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.rng import Dice, Ints, below, chance
from etl.synthetic.core.span import Span, day_of, is_snapshot, number
from etl.synthetic.world import changes, claims, coverage, health, money, people, providers
from etl.synthetic.world.extract import NOBODY, Extract
from etl.synthetic.world.member_list import enroll
from etl.synthetic.world.people import FEMALE, People

# Per mille of new members whose row comes a batch after their enrollment.
_LATE_ROWS = 40
# Members without coverage for so many days are no longer in the monthly snapshot.
_KEPT_DAYS = 365
# Per mille of those still there that a snapshot lacks.
_MISSED_MEMBERS, _MISSED_PROVIDERS = 2, 6
_WAITING_FIRST_DAYS = 365
_CLOSED = 4  # per mille of providers that a snapshot no longer contains for good


@dataclass(frozen=True, slots=True)
class Reported:
    """Members as a batch reports them on a day (days since 1970): their numbers, their state."""

    rows: Ints
    state: People
    day: int


@dataclass(frozen=True, slots=True)
class Shown:
    """Claims of a unit that a batch shows, or whose lines and diagnoses it does.

    ``now``: whether the claim is in the batch; ``detailed``: whether its lines and diagnoses are;
    ``new``: whether no batch before had the part that this one has.
    """

    unit: claims.Unit
    claims: claims.Claims
    bills: money.Bills
    now: NDArray[np.bool_]
    detailed: NDArray[np.bool_]
    new: NDArray[np.bool_]


class World:
    """The state before midnight of ``day``; ``sequence`` 0 is the first batch.

    ``advance`` goes on to the next day, up to the ``last`` one that it was made for. Members
    and providers are numbered in the order in which they come.
    """

    def __init__(self, span: Span, last: date) -> None:
        self.span, self.sequence, self.day = span, 0, span.first_batch
        self.member_list = enroll(span, last)
        self.entrants = people.draw(span.seed, self.member_list)
        self.health = health.draw(
            span,
            people.age_at_entry(span.seed, self.member_list),
            self.entrants.gender == FEMALE,
            self.member_list.newborn,
            self.member_list.households.metal[self.member_list.household],
        )
        self.coverage: dict[int, tuple[coverage.Coverage, coverage.Coverage]] = {}
        for year in range(span.first_year, last.year + 2):
            self.coverage[year] = coverage.cover(
                span, year, self.entrants, self.member_list, self.coverage.get(year - 1)
            )
        self.members = self.entrants.copy()
        self.members.updated[: span.members] = self._first_updates()
        self.providers = providers.draw(span.seed, providers.known(span, number(last))).copy()
        there = np.arange(len(self.member_list)) < span.members
        self._member_extract = Extract(span.seed, "members", there, _MISSED_MEMBERS)
        self._listed = np.arange(len(self.providers)) < providers.base(span)
        self._provider_extract = Extract(
            span.seed, "providers", self._listed.copy(), _MISSED_PROVIDERS
        )
        self.touched = np.flatnonzero(there)
        self.touched_providers = np.flatnonzero(self._listed)
        # Of the days before: whose row was held back, who joined without a row, and the rows
        # put aside for the batch of a later day.
        self._held: dict[int, Ints] = {}
        self._late: Ints = NOBODY
        self._apart: dict[int, list[Reported]] = defaultdict(list)

    def _first_updates(self) -> Ints:
        """When the members of the first batch last changed: in its plan year, or as they came."""
        size = self.span.members
        first, end = number(date(self.span.last_year, 1, 1)), number(self.span.first_batch)
        point = Dice(self.span.seed, "people")("updated", size)
        second = first * 86_400 + below(point, (end - first) * 86_400)
        return np.maximum(self.entrants.updated[:size], second)

    @property
    def today(self) -> int:
        """The day of the batch in days since 1970."""
        return number(self.day)

    @property
    def is_snapshot(self) -> bool:
        """Whether this batch brings all members and providers, and not the changed ones alone."""
        return self.sequence == 0 or is_snapshot(self.day)

    @property
    def published(self) -> range:
        """The plan years whose catalogue this batch brings.

        The first batch brings all up to the next year's, which is published when open enrollment
        begins on November 1 (45 CFR 155.410(e)); later ones are brought by that day's batch.
        """
        if self.sequence == 0:
            return range(self.span.first_year, self.day.year + 2)
        if (self.day.month, self.day.day) == (11, 1):
            return range(self.day.year + 1, self.day.year + 2)
        return range(0)

    def spans(self) -> Iterator[coverage.Coverage]:
        """Every coverage, oldest first."""
        for pair in self.coverage.values():
            yield from pair

    # The next day

    def advance(self) -> None:
        """Go on to the next day's batch."""
        self.sequence += 1
        self.day += timedelta(days=1)
        self._advance_members()
        self._advance_providers()

    def _advance_members(self) -> None:
        today, shown = self.today, self._member_extract.shown
        touched = self._touch()
        insured = self._newly_insured(self.member_list.known(today - 1))
        joined = np.arange(self.member_list.known(today - 1), self.member_list.known(today))
        late = joined[self._comes_late(joined)]
        now = np.setdiff1d(np.union1d(touched.now, insured), touched.held)
        first = np.union1d(np.setdiff1d(joined, late), self._late)
        rows = np.union1d(np.union1d(now, first), self._member_extract.returning(today))
        shown[rows] = True
        self._late, self._held[today] = late, touched.held
        self._apart.pop(today - 1, None)
        self._keep(touched.held, self.members.take(touched.held), today + changes.HELD_DAYS)
        earlier = self.members.take(touched.earlier)
        earlier.updated[:] = touched.since
        self._keep(touched.earlier, earlier, today)
        if self.is_snapshot:
            rows = self._member_extract.snapshot(today, self._kept(), rows)
        self.touched = rows

    def _touch(self) -> changes.Touched:
        # Rows are held back only where no snapshot comes in between.
        months = {day_of(self.today + n).month for n in range(-1, changes.HELD_DAYS + 1)}
        return changes.change(
            self.span,
            self.members,
            self.member_list,
            self.health,
            self.day,
            self._member_extract.shown,
            changes.due_again(self._held, self.today),
            may_hold=len(months) == 1,
        )

    def _keep(self, rows: Ints, state: People, day: int) -> None:
        """Put rows as they are now aside for the batch of a day."""
        self._apart[day].append(Reported(rows, state, self.today))

    def _newly_insured(self, known: int) -> Ints:
        """Of the first ``known``, who has a span that this batch is the first to show."""
        found = NOBODY
        for spans in self.spans():
            new = np.flatnonzero(spans.held[:known] & (spans.issued[:known] == self.today))
            found = np.union1d(found, new)
        # Known at midnight: the first of January, where a plan year begins.
        self.members.updated[found] = self.today * 86_400
        return found

    def _comes_late(self, joined: Ints) -> NDArray[np.bool_]:
        if is_snapshot(self.day) or is_snapshot(self.day + timedelta(days=1)):
            return np.zeros(len(joined), dtype=bool)
        dice = Dice(self.span.seed, "late rows", self.today)
        return chance(dice("late", len(joined)), _LATE_ROWS)

    def _kept(self) -> NDArray[np.bool_]:
        """Who has had coverage not too long ago, as far as is known."""
        last = np.zeros(len(self.member_list), dtype=np.int64)
        for spans in self.spans():
            year_end = number(date(spans.year, 12, 31))
            end = np.where(spans.end_known(self.today), spans.end, year_end)
            last = np.where(spans.known(self.today), end, last)
        return last >= self.today - _KEPT_DAYS

    def _advance_providers(self) -> None:
        today, shown = self.today, self._provider_extract.shown
        rows = providers.change(self.span, self.providers, today, shown)
        first = providers.first_rows(self.span, today)
        self._listed[first] = True
        rows = np.union1d(np.union1d(rows, first), self._provider_extract.returning(today))
        shown[rows] = True
        if self.is_snapshot:
            dice = Dice(self.span.seed, "closed", today)
            closed = chance(dice("closed", len(self._listed)), _CLOSED)
            closed[rows] = False
            self._listed = self._listed & ~closed
            rows = self._provider_extract.snapshot(today, self._listed, rows)
        self.touched_providers = rows

    # What the batch brings

    def reported(self) -> Iterator[Reported]:
        """The members of this batch; those that come late or are backdated come last."""
        yield Reported(self.touched, self.members.take(self.touched), self.today)
        yield from self._apart.get(self.today, [])

    def claims(self, waiting: tuple[int, int] = (0, 0)) -> Iterator[Shown]:
        """The claims that this batch shows.

        The first batch shows all that was received before its day; a later one shows what was
        received, decided or revised on the day before it. ``waiting``: of 2**32 claims of this
        batch, and of the one before it, so many are without their lines and diagnoses, which come
        a batch later.
        """
        first, first_batch = date(self.span.first_year, 1, 1), number(self.span.first_batch)
        if self.sequence:
            first = max(first, self.day - timedelta(days=claims.LONGEST_LIFE_DAYS + 1))
        end = self.day - timedelta(days=1)
        for unit in claims.units(self.span, first, end, self.member_list.known(self.today)):
            pair = self.coverage[unit.year]
            drawn, draws = claims.draw(self.span, unit, self.health, pair)
            now, waits, late = _in_batch(drawn, draws, self.today, first_batch, waiting)
            if self.sequence:
                # All that these members have in the year, and nobody else's.
                concerned = np.zeros(unit.high - unit.low, dtype=bool)
                concerned[drawn.member[now | late] - unit.low] = True
                whole = concerned[drawn.member - unit.low]
                drawn, now, waits, late = drawn.take(whole), now[whole], waits[whole], late[whole]
            rows = np.flatnonzero(now | late)
            if len(rows):
                bills = money.settle(
                    self.span, unit, drawn, draws, self.entrants, self.health, pair
                ).take(rows)
                drawn, now, detailed = drawn.take(rows), now[rows], ~waits[rows]
                new = drawn.received == self.today - np.where(now, 1, 2)
                new |= (self.sequence == 0) | ((self.sequence == 1) & ~now)
                yield Shown(unit, drawn, bills, now, detailed, new)

    def expected_claims(self) -> int:
        """About how many claims this batch shows, for a progress bar."""
        if self.sequence:
            return self.span.members // 20
        return self.span.members * 63 * self.span.years // 10


def _in_batch(
    drawn: claims.Claims, draws: claims.Draws, today: int, first: int, waiting: tuple[int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which claims a batch shows, of which of them the details wait, of which only these come.

    ``first``: the day of the first batch.
    """

    def may_wait(day: int) -> NDArray[np.bool_]:
        """The claims of the batch of a day, and of the first batch those of a year."""
        if day > first:
            return drawn.happened(day - 1)
        return (first - _WAITING_FIRST_DAYS <= drawn.received) & (drawn.received < first)

    now = drawn.happened(today - 1) if today > first else drawn.received < today
    none = np.zeros(len(drawn), dtype=bool)
    if not any(waiting):
        return now, none, none
    lot = draws("late details")[drawn.position]
    late = may_wait(today - 1) & ~now & (lot < waiting[1])
    return now, may_wait(today) & (lot < waiting[0]), late
