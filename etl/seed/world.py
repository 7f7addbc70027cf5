"""Everything as the batch of one day knows it, replayed from the arguments of the run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from etl.seed import changes, claims, coverage, people, providers
from etl.seed.rng import Dice, Ints, below
from etl.seed.span import Entries, Span, number


@dataclass(frozen=True, slots=True)
class World:
    """The state before midnight of ``day``; ``sequence`` 0 is the first batch.

    ``entrants`` are the members as they entered, ``members`` as they are by now; ``touched``
    and ``touched_providers`` are those whose row the batch of ``day`` brings.
    """

    span: Span
    sequence: int
    day: date
    entries: Entries
    entrants: people.People
    members: people.People
    touched: Ints
    providers: providers.Providers
    touched_providers: Ints
    coverage: dict[int, coverage.Coverage]

    @property
    def today(self) -> int:
        """The day of the batch in days since 1970."""
        return number(self.day)

    @property
    def rolls_over(self) -> bool:
        """Whether this increment begins a plan year."""
        return self.sequence > 0 and (self.day.month, self.day.day) == (1, 1)

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

    def latest(self) -> tuple[Ints, Ints]:
        """For each member the plan year last held, or about to be, and the plan."""
        year = np.zeros(len(self.members), dtype=np.int64)
        plan = np.zeros(len(self.members), dtype=np.int64)
        for plan_year, spans in self.coverage.items():
            year = np.where(spans.held, plan_year, year)
            plan = np.where(spans.held, spans.plan, plan)
        return year, plan

    def expected_claims(self) -> int:
        """About how many claims this batch shows, for a progress bar."""
        if self.sequence:
            return self.span.members // 25
        return self.span.members * 62 * self.span.years // 10

    def claims(self) -> Iterator[tuple[claims.Claims, Ints]]:
        """The claims that this batch shows: units, and which of their rows.

        The first batch shows all that was received before its day; a later one shows what was
        received or decided on the day before it.
        """
        first = date(self.span.first_year, 1, 1)
        if self.sequence:
            first = max(first, self.day - timedelta(days=claims.LONGEST_LIFE_DAYS))
        for unit in claims.units(self.span, first, self.day):
            drawn = claims.draw(self.span, unit, self.entrants, self.coverage[unit.year])
            shown = drawn.received < self.today
            if self.sequence:
                yesterday = self.today - 1
                shown &= (drawn.received == yesterday) | (drawn.decided == yesterday)
            yield drawn, np.flatnonzero(shown)


def replay(span: Span, sequence: int) -> World:
    """The world of batch ``sequence``; nothing is read but the reference data."""
    day = span.batch_day(sequence)
    entries = span.entries(day)
    entrants = people.draw(span.seed, entries.entered, entries.start, entries.newborn)
    spans: dict[int, coverage.Coverage] = {}
    for year in range(span.first_year, day.year + 2):
        spans[year] = coverage.cover(span, year, entrants, entries, spans.get(year - 1), day)

    members = entrants.copy()
    members.updated[:] = _first_updates(span, members.updated)
    known = providers.known(span, number(day))
    everyone = providers.draw(span.seed, known).copy()
    touched = np.arange(len(members))
    touched_providers = np.arange(known)
    for step in range(1, sequence + 1):
        today = span.batch_day(step)
        touched = changes.change(span, members, today)
        if (today.month, today.day) == (1, 1):
            renewing = np.flatnonzero(spans[today.year].held)
            renewing = renewing[renewing < span.population(today - timedelta(days=1))]
            changes.renewed(span, members, renewing, today)
            touched = np.union1d(touched, renewing)
        touched_providers = providers.change(span, everyone, number(today))
    if sequence:
        before = day - timedelta(days=1)
        touched = np.union1d(touched, np.arange(span.population(before), len(members)))
        new = np.arange(providers.known(span, number(before)), known)
        touched_providers = np.union1d(touched_providers, new)
    return World(
        span, sequence, day, entries, entrants, members, touched, everyone, touched_providers, spans
    )


def _first_updates(span: Span, entered: Ints) -> Ints:
    """When the members of the first batch last changed: in its plan year, or as they entered."""
    size = span.members
    first, end = number(date(span.last_year, 1, 1)), number(span.first_batch)
    point = Dice(span.seed, "people")("updated", size)
    second = first * 86_400 + below(point, (end - first) * 86_400)
    return np.concatenate([np.maximum(entered[:size], second), entered[size:]])
