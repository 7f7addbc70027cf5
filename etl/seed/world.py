"""Everything as the batch of one day knows it, replayed from the arguments of the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from etl.seed import changes, claims, coverage, health, member_rows, money, people, providers
from etl.seed.encode import Block
from etl.seed.people import FEMALE, People
from etl.seed.rng import Dice, Ints, below, chance
from etl.seed.roster import enroll
from etl.seed.span import Span, day_of, is_snapshot, number

# Per mille of new members whose row comes a batch after their enrolment.
_LATE_ROWS = 40
# Members without coverage for so many days are no longer in the monthly snapshot.
_KEPT_DAYS = 365
# Per mille that a snapshot lacks although they are still there; most of them are back by a delta
# so many days later, the others in the next snapshot.
_MISSED_MEMBERS, _MISSED_PROVIDERS, _BACK_SOON = 2, 6, 800
_BACK_FROM, _BACK_WIDTH = 3, 7
_CLOSED = 4  # per mille of providers that a snapshot no longer holds for good

_NOBODY = np.zeros(0, dtype=np.int64)


class World:
    """The state before midnight of ``day``; ``sequence`` 0 is the first batch.

    ``advance`` goes on to the next day, up to the ``last`` one that it was made for. Members
    and providers are numbered in the order in which they come.
    """

    def __init__(self, span: Span, last: date) -> None:
        self.span, self.sequence, self.day = span, 0, span.first_batch
        self.roster = enroll(span, last)
        self.entrants = people.draw(span.seed, self.roster)
        self.health = health.draw(
            span,
            people.age_at_entry(span.seed, self.roster),
            self.entrants.gender == FEMALE,
            self.roster.newborn,
        )
        self.coverage: dict[int, tuple[coverage.Coverage, coverage.Coverage]] = {}
        for year in range(span.first_year, last.year + 2):
            self.coverage[year] = coverage.cover(
                span, year, self.entrants, self.roster, self.coverage.get(year - 1)
            )
        self.members = self.entrants.copy()
        self.members.updated[: span.members] = self._first_updates()
        self.providers = providers.draw(span.seed, providers.known(span, number(last))).copy()
        # Whom the sender's own systems show, and so the snapshots.
        self.present = np.arange(len(self.roster)) < span.members
        self._listed = np.arange(len(self.providers)) < providers.base(span)
        self.practising = self._listed.copy()
        self.touched = np.flatnonzero(self.present)
        self.touched_providers = np.flatnonzero(self.practising)
        self._held: dict[int, Ints] = {}
        self._apart: dict[int, list[Block]] = defaultdict(list)
        self._late: Ints = _NOBODY
        self._back: dict[int, list[Ints]] = defaultdict(list)
        self._back_to_practice: dict[int, list[Ints]] = defaultdict(list)

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

        The first batch brings all up to the next year's, which is published when open enrolment
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
        self._members()
        self._providers()

    def _members(self) -> None:
        today = self.today
        joined = np.arange(self.roster.known(today - 1), self.roster.known(today))
        # Rows are held back only where no snapshot comes in between.
        months = {day_of(today + n).month for n in range(-1, changes.HELD_DAYS + 1)}
        self._apart.pop(today - 1, None)
        again = changes.due_again(self._held, today)
        touched = changes.change(
            self.span,
            self.members,
            self.roster,
            self.health,
            self.day,
            self.present,
            again,
            may_hold=len(months) == 1,
        )
        insured = self._newly_insured(self.roster.known(today - 1))
        rows = np.setdiff1d(np.union1d(touched.now, insured), touched.held)
        late = joined[self._comes_late(joined)]
        rows = np.union1d(rows, np.union1d(np.setdiff1d(joined, late), self._late))
        rows = np.union1d(rows, np.concatenate([_NOBODY, *self._back.pop(today, [])]))
        self.present[rows] = True
        self._late = late
        self._held[today] = touched.held
        self._keep(touched.held, self.members.take(touched.held), today + changes.HELD_DAYS)
        earlier = self.members.take(touched.earlier)
        earlier.updated[:] = touched.since
        self._keep(touched.earlier, earlier, today)
        self.touched = self._snapshot(rows) if self.is_snapshot else rows

    def _keep(self, rows: Ints, state: People, day: int) -> None:
        """Put rows as they are now aside for the batch of a day."""
        if len(rows):
            self._apart[day] += member_rows.blocks(self, rows, state)

    def _newly_insured(self, known: int) -> Ints:
        """Of the first ``known``, who has a span that this batch is the first to show."""
        found = _NOBODY
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

    def _snapshot(self, changed: Ints) -> Ints:
        """Who is in a full snapshot; the others vanish, some of them for a few days only."""
        today = self.today
        last = np.zeros(len(self.roster), dtype=np.int64)
        for spans in self.spans():
            year_end = number(date(spans.year, 12, 31))
            end = np.where(spans.end_known(today), spans.end, year_end)
            last = np.where(spans.known(today), end, last)
        self.present = last >= today - _KEPT_DAYS
        dice = Dice(self.span.seed, "snapshot", today)
        missed = self._missed(dice, self.present, changed, _MISSED_MEMBERS)
        self._come_back(dice, missed, self._back)
        return np.flatnonzero(self.present)

    def _missed(self, dice: Dice, there: NDArray[np.bool_], changed: Ints, per_mille: int) -> Ints:
        """Take some, or one, that have not just changed out of those there; returns them."""
        lacking = chance(dice("missed", len(there)), per_mille) & there
        listed = np.flatnonzero(there)
        lacking[listed[below(dice("one", 1), len(listed))]] = True
        lacking[changed] = False
        there &= ~lacking
        return np.flatnonzero(lacking)

    def _come_back(self, dice: Dice, missed: Ints, back: dict[int, list[Ints]]) -> None:
        soon = chance(dice("soon", len(missed)), _BACK_SOON)
        days = _BACK_FROM + below(dice("back", len(missed)), _BACK_WIDTH)
        for wait in np.unique(days[soon]):
            back[self.today + int(wait)].append(missed[soon & (days == wait)])

    def _providers(self) -> None:
        today = self.today
        rows = providers.change(self.span, self.providers, today, self.practising)
        first = providers.first_rows(self.span, today)
        self._listed[first] = True
        rows = np.union1d(rows, first)
        rows = np.union1d(rows, np.concatenate([_NOBODY, *self._back_to_practice.pop(today, [])]))
        self.practising[rows] = True
        self.touched_providers = rows
        if self.is_snapshot:
            dice = Dice(self.span.seed, "provider snapshot", today)
            closed = chance(dice("closed", len(self._listed)), _CLOSED)
            closed[rows] = False
            self._listed &= ~closed
            self.practising = self._listed.copy()
            missed = self._missed(dice, self.practising, rows, _MISSED_PROVIDERS)
            self._come_back(dice, missed, self._back_to_practice)
            self.touched_providers = np.flatnonzero(self.practising)

    # What the batch brings

    def member_blocks(self) -> Iterator[Block]:
        """The members feed of this batch; rows that come late or are backdated come last."""
        yield from member_rows.blocks(self, self.touched)
        yield from self._apart.get(self.today, [])

    def provider_blocks(self) -> Iterator[Block]:
        """The providers feed of this batch."""
        yield from providers.blocks(self.providers, self.touched_providers)

    def claims(self) -> Iterator[tuple[claims.Unit, claims.Claims, money.Bills]]:
        """The claims that this batch shows.

        The first batch shows all that was received before its day; a later one shows what was
        received, decided or revised on the day before it.
        """
        first = date(self.span.first_year, 1, 1)
        if self.sequence:
            first = max(first, self.day - timedelta(days=claims.LONGEST_LIFE_DAYS))
        end = self.day - timedelta(days=1)
        for unit in claims.units(self.span, first, end, self.roster.known(self.today)):
            pair = self.coverage[unit.year]
            drawn, draws = claims.draw(self.span, unit, self.health, pair)
            shown = drawn.received < self.today
            if self.sequence:
                yesterday = self.today - 1
                shown = (drawn.received == yesterday) | (drawn.decided == yesterday)
                shown |= (drawn.revised == yesterday) & (drawn.fate >= claims.ADJUSTED)
                # All that these members have in the year, and nobody else's.
                concerned = np.zeros(unit.high - unit.low, dtype=bool)
                concerned[drawn.member[shown] - unit.low] = True
                whole = concerned[drawn.member - unit.low]
                drawn, shown = drawn.take(whole), shown[whole]
            rows = np.flatnonzero(shown)
            if len(rows):
                bills = money.settle(
                    self.span, unit, drawn, draws, self.entrants, self.health, pair
                )
                yield unit, drawn.take(rows), bills.take(rows)

    def expected_claims(self) -> int:
        """About how many claims this batch shows, for a progress bar."""
        if self.sequence:
            return self.span.members // 20
        return self.span.members * 7 * self.span.years


def replay(span: Span, sequence: int) -> World:
    """The world of batch ``sequence``; nothing is read but the reference data."""
    world = World(span, span.batch_day(sequence))
    for _ in range(sequence):
        world.advance()
    return world
