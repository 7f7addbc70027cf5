"""What happens to members: services, when the insurer hears of them, how it decides.

Claims are drawn in units, a plan year of a block of members, each of which can be drawn again
alone. A unit knows the whole life of its claims; which part of it a batch shows is a matter of
dates. What they cost is settled apart (``money``): it takes a whole year of a member, since
deductible and out-of-pocket maximum add up over the year, but only of members with a claim to
show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date
from functools import cache

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.rng import Counts, Dice, Ints, Lognormal, WeightedBy, below, chance
from etl.synthetic.core.span import Span, number
from etl.synthetic.world.coverage import Coverage
from etl.synthetic.world.health import CLAIM_RATES, COMPLEX, HEALTHY, NONE, Health
from etl.synthetic.world.services import INPATIENT, PHARMACY, PROFESSIONAL

BLOCK_MEMBERS = 8_192
_MOST_A_YEAR = 290
# Sequence numbers within a member's year, from which maternity and readmissions begin.
_FIRST_MATERNITY, _FIRST_READMISSION = 600, 700
SEQUENCES = 1_000
_COUNT = Counts(CLAIM_RATES, limit=_MOST_A_YEAR)
# Claim types of the well, of those with a condition and of the complex, per mille.
_TYPES = WeightedBy([(579, 116, 2, 303), (470, 126, 6, 398), (433, 143, 15, 409)])
_STAY = Lognormal(3, 0.75)
_LONGEST_STAY = 21
_READMITTED, _READMISSION_DAYS = 140, 30
# Per mille of stays that another claim continues: half of them of the same hospital, which bills
# again before the discharge, half of the one that the member is transferred to.
_CONTINUED, _INTERIM = 40, 500
# Prenatal visits, days before the birth.
_VISITS = tuple(range(240, 0, -27))

# Days from the end of the service to receipt, and from receipt to decision. One claim in a
# thousand comes more than a year late.
_LAG, _LONGEST_LAG = Lognormal(9, 0.8), 60
_LATE, _LATE_FROM, _LATE_WIDTH = 1, 366, 150
_DELAY, _LONGEST_DELAY = Lognormal(19, 0.45), 45
# Per mille of medical claims and of pharmacy claims. Insurers on HealthCare.gov denied 19 % of
# the in-network claims of 2023 (the transparency data of 45 CFR 156.220).
_DENIED, _PHARMACY_DENIED = 190, 80
_OVERTURNED = 100  # per mille of those denied, which are approved in the end
# Of those approved, per mille: adjusted, reversed; so many days after the decision at most.
_ADJUSTED, _REVERSED, _LONGEST_REVISION, _LONGEST_PHARMACY_REVISION = 28, 10, 120, 14
LONGEST_LIFE_DAYS = (
    _LONGEST_STAY + _LATE_FROM + _LATE_WIDTH + _LONGEST_DELAY + 2 + _LONGEST_REVISION + 3
)

# Services by calendar month and by weekday from Monday, per cent, for each claim type.
_MONTHS = (99, 92, 104, 100, 101, 98, 95, 99, 98, 106, 99, 107)
_WEEKDAYS = (
    (112, 112, 110, 108, 100, 26, 10),
    (104, 104, 103, 102, 100, 66, 58),
    (105, 105, 104, 103, 102, 78, 74),
    (108, 106, 105, 105, 110, 78, 52),
)
_HOLIDAYS = {(1, 1): 20, (7, 4): 25, (12, 25): 15}
# What becomes of a claim; those from ADJUSTED on are decided a second time.
APPROVED, DENIED, ADJUSTED, REVERSED, OVERTURNED = range(5)


@dataclass(frozen=True, slots=True)
class Unit:
    """A plan year of members ``low`` to ``high``."""

    year: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Claims:
    """One array entry a claim, ordered by member. Days since 1970.

    ``position``: in the unit's draws (see ``Draws``); ``sequence``: within the member's year;
    ``part``: of the coverage; ``is_maternity``; ``fate``: ``APPROVED`` to ``OVERTURNED``
    (denied, then approved); ``revised``: the day of the second decision.
    """

    position: Ints
    member: Ints
    sequence: Ints
    kind: Ints
    service: Ints
    discharge: Ints
    received: Ints
    decided: Ints
    revised: Ints
    fate: Ints
    part: Ints
    is_maternity: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.member)

    def happened(self, day: int) -> NDArray[np.bool_]:
        """Which claims were received or decided on a day, for the first time or again."""
        revised = (self.revised == day) & (self.fate >= ADJUSTED)
        return (self.received == day) | (self.decided == day) | revised

    def take(self, rows: Ints | NDArray[np.bool_]) -> Claims:
        """Some of the claims."""
        return Claims(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Draws:
    """The draws of a unit: of its services, then its maternity care, then its readmissions.

    Each of the three has streams of its own, in order of member, so that members who join later
    leave them as they were. What continues a stay is among the readmissions. ``stays``: for each
    readmission the service that came before it; ``is_interim``: whether the same hospital bills it.
    """

    dice: Dice
    services: int
    maternity: int
    stays: Ints
    is_interim: NDArray[np.bool_]

    def __call__(self, attribute: str) -> Ints:
        """A draw for every claim of the unit, in order of ``position``."""
        return np.concatenate(
            [
                self.dice(attribute, self.services),
                self.dice(f"{attribute} of maternity", self.maternity),
                self.dice(f"{attribute} of readmission", len(self.stays)),
            ]
        )

    def same(self, attribute: str) -> Ints:
        """As above, but a readmission has the draw of the stay before it."""
        first = self.dice(attribute, self.services)
        maternity = self.dice(f"{attribute} of maternity", self.maternity)
        return np.concatenate([first, maternity, first[self.stays]])

    def provider(self) -> Ints:
        """As above, for the provider: an interim bill has the draw of the stay before it."""
        others = np.zeros(self.services + self.maternity, dtype=bool)
        is_interim = np.concatenate([others, self.is_interim])
        return np.where(is_interim, self.same("provider"), self("provider"))


def units(span: Span, first: date, end: date, people: int) -> Iterator[Unit]:
    """The units with service days from ``first`` up to the day before ``end``, oldest first."""
    for year in range(max(first.year, span.first_year), end.year + 1):
        for low in range(0, people, BLOCK_MEMBERS):
            yield Unit(year, low, min(low + BLOCK_MEMBERS, people))


def draw(
    span: Span, unit: Unit, health: Health, coverage: tuple[Coverage, Coverage]
) -> tuple[Claims, Draws]:
    """The claims of a unit; ``health`` and ``coverage`` of everyone."""
    dice = Dice(span.seed, "claims", unit.year, unit.low)
    block = health.take(slice(unit.low, unit.high))
    services, sequence = _services(dice, unit, block, coverage)
    kind = _TYPES(dice("type", len(services)), _ill(block)[services])
    service = _day(unit.year)(dice("day", len(services)), kind) + number(date(unit.year, 1, 1))
    early = (block.condition[services] != NONE) & (service < block.onset[services])
    keep = ~early | chance(dice("before onset", len(services)), block.before[services])

    expecting, visit = _maternity(unit, block)
    care = np.where(visit < len(_VISITS), PROFESSIONAL, INPATIENT)
    days_before = np.array((*_VISITS, 0))[visit]
    care_day = (
        block.due[expecting]
        - days_before
        + below(dice("visit", len(visit)), 7) * (visit < len(_VISITS))
    )

    nights = np.minimum(1 + _STAY(dice("stay", len(services))), _LONGEST_STAY)
    discharge = service + nights * (kind == INPATIENT)
    readmitted = dice("readmitted", len(services))
    again = keep & (kind == INPATIENT) & chance(readmitted, _READMITTED + _CONTINUED)
    stays = np.flatnonzero(again)
    continued = ~chance(readmitted, _READMITTED)[stays]
    is_interim = continued & chance(dice("interim", len(stays)), _INTERIM)
    # Who is transferred may be in both hospitals' count of the last day.
    overlap = below(dice("handover", len(stays)), 2) * ~is_interim
    after = 1 + below(dice("readmission", len(stays)), _READMISSION_DAYS)
    back = discharge[stays] + np.where(continued, -overlap, after)

    draws = Draws(dice, len(services), len(visit), stays, is_interim)
    member = np.concatenate([services, expecting, services[stays]])
    kind = np.concatenate([kind, care, np.full(len(stays), INPATIENT)])
    service = np.concatenate([service, care_day, back])
    keep = np.concatenate([keep, np.ones(len(visit) + len(stays), dtype=bool)])
    part = _part(unit, coverage, member, service)
    position = np.flatnonzero(keep & (part > 0))

    sequence = np.concatenate(
        [sequence, _FIRST_MATERNITY + visit, _FIRST_READMISSION + sequence[stays]]
    )
    is_maternity = (position >= len(services)) & (position < len(services) + len(visit))
    kind, service = kind[position], service[position]
    discharge, received, decided, revised, fate = _processed(draws, position, kind, service)
    found = Claims(
        position,
        unit.low + member[position],
        sequence[position],
        kind,
        service,
        discharge,
        received,
        decided,
        revised,
        fate,
        part[position],
        is_maternity,
    )
    others = np.zeros(len(services) + len(visit), dtype=bool)
    may_touch = np.concatenate([others, continued])[position]
    return found.take(_one_bed(found, may_touch)), draws


def _one_bed(claims: Claims, may_touch: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """All claims but the stays that begin before the member's last one has ended.

    ``may_touch``: which may begin on its last day or the day before.
    """
    keep = np.ones(len(claims), dtype=bool)
    stays = np.flatnonzero(claims.kind == INPATIENT)
    stays = stays[np.lexsort((claims.service[stays], claims.member[stays]))]
    overlap = np.ones(len(stays), dtype=bool)
    # Taking one out makes the next the neighbor of the one before: until none overlaps.
    while overlap.any():
        later, before = stays[1:], stays[:-1]
        overlap = claims.member[later] == claims.member[before]
        overlap &= claims.service[later] <= claims.discharge[before] - 2 * may_touch[later]
        # Of a run of overlapping stays only the first is judged by one that stays.
        overlap[1:] &= ~overlap[:-1]
        keep[later[overlap]] = False
        stays = np.concatenate([stays[:1], later[~overlap]])
    return keep


def _services(
    dice: Dice, unit: Unit, block: Health, coverage: tuple[Coverage, Coverage]
) -> tuple[Ints, Ints]:
    """Members (within the block) and sequence numbers of a whole year's services.

    Draws are made for the whole block and year, so that they do not depend on who is covered.
    """
    many = _COUNT(dice("count", unit.high - unit.low), block.rate)
    many = np.where(coverage[0].held[unit.low : unit.high], many, 0)
    member = np.repeat(np.arange(len(many)), many)
    return member, np.arange(len(member)) - np.repeat(np.cumsum(many) - many, many)


def _ill(block: Health) -> Ints:
    """List of claim types: 0 well, 1 with a condition, 2 complex."""
    segment = np.where(block.condition == NONE, HEALTHY, block.segment(np.int64(1 << 30)))
    return (block.condition != NONE).astype(np.int64) + (segment >= COMPLEX)


def _maternity(unit: Unit, block: Health) -> tuple[Ints, Ints]:
    """Members and numbers of the visits and births that can fall into the year."""
    first, last = number(date(unit.year, 1, 1)), number(date(unit.year, 12, 31))
    due = np.flatnonzero((block.due >= first) & (block.due <= last + _VISITS[0]))
    return np.repeat(due, len(_VISITS) + 1), np.tile(np.arange(len(_VISITS) + 1), len(due))


def _part(unit: Unit, coverage: tuple[Coverage, Coverage], member: Ints, service: Ints) -> Ints:
    """Part 1 or 2 of the coverage that each service falls into, 0 for none."""
    part = np.zeros(len(member), dtype=np.int64)
    for spans in coverage:
        block = slice(unit.low, unit.high)
        held, start, end = spans.held[block], spans.start[block], spans.end[block]
        inside = held[member] & (service >= start[member]) & (service <= end[member])
        part[inside] = spans.part
    return part


def _processed(
    draws: Draws, position: Ints, kind: Ints, service: Ints
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Discharge, receipt, decision, revision, and fate."""
    dispensed = kind == PHARMACY
    nights = np.minimum(1 + _STAY(draws("stay")[position]), _LONGEST_STAY)
    discharge = service + nights * (kind == INPATIENT)
    lag = np.minimum(1 + _LAG(draws("lag")[position]), _LONGEST_LAG)
    late = chance(draws("late")[position], _LATE)
    lag = np.where(late, _LATE_FROM + below(draws("how late")[position], _LATE_WIDTH), lag)
    received = discharge + np.where(dispensed, 0, lag)
    delay = np.minimum(2 + _DELAY(draws("delay")[position]), _LONGEST_DELAY)
    decided = received + np.where(dispensed, 0, delay)
    decided += np.where(dispensed, 0, _to_weekday(decided))
    longest = np.where(dispensed, _LONGEST_PHARMACY_REVISION, _LONGEST_REVISION)
    revised = decided + 1 + below(draws("revision")[position], longest)
    revised += np.where(dispensed, 0, _to_weekday(revised))
    point = below(draws("fate")[position], 1000)
    fate = np.searchsorted((_ADJUSTED, _ADJUSTED + _REVERSED), point, side="right")
    fate = np.array((ADJUSTED, REVERSED, APPROVED))[fate]
    share = np.where(dispensed, _PHARMACY_DENIED, _DENIED)
    denied = chance(draws("denied")[position], share)
    overturned = chance(draws("overturned")[position], _OVERTURNED)
    fate = np.where(denied, np.where(overturned, OVERTURNED, DENIED), fate)
    return discharge, received, decided, revised, fate


def _to_weekday(days: Ints) -> Ints:
    """Days to wait: nobody decides on a weekend but the pharmacy's computer."""
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday
    return np.where(weekday > 4, 7 - weekday, 0)


@cache
def _day(year: int) -> WeightedBy:
    """Draws days of a year, 0 for January 1, by claim type."""
    days = range((date(year + 1, 1, 1) - date(year, 1, 1)).days)
    dates = [date.fromordinal(date(year, 1, 1).toordinal() + n) for n in days]
    return WeightedBy(
        [
            [
                _MONTHS[d.month - 1] * weekdays[d.weekday()] * _HOLIDAYS.get((d.month, d.day), 100)
                for d in dates
            ]
            for weekdays in _WEEKDAYS
        ]
    )
