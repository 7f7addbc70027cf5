"""What happens to members: services, their cost, and when the insurer hears and decides.

Claims are drawn in units that can each be drawn again alone: before the first batch a unit is
a calendar month of a block of members, from then on a day of a block of members. A unit knows
the whole life of its claims; which part of it a batch shows is a matter of dates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from etl.seed import providers
from etl.seed.catalogue import plan_share, plans
from etl.seed.clinical import (
    INPATIENT,
    PHARMACY,
    conditions,
    diagnoses,
    drgs,
    drugs,
    procedures,
)
from etl.seed.coverage import Coverage, age_on
from etl.seed.people import CLAIM_RATES, FEMALE, FIRST_CHRONIC, People
from etl.seed.places import places
from etl.seed.rng import Counts, Dice, Ints, Lognormal, Weighted, below, chance
from etl.seed.span import Span, first_of_next_month, number

BLOCK_MEMBERS = 8_192
# A claim is received within 45 days of the end of the service, which is within 21 days of its
# start, and decided within 45 more.
_LONGEST_STAY, _LONGEST_LAG, _LONGEST_DELAY = 21, 45, 45
LONGEST_LIFE_DAYS = _LONGEST_STAY + _LONGEST_LAG + _LONGEST_DELAY + 1

_BY_MONTH = Counts(CLAIM_RATES, limit=40)
_BY_DAY = Counts([rate / 30.4 for rate in CLAIM_RATES], limit=8)
_TYPE = Weighted((560, 130, 13, 297))
_STAY = Lognormal(3, 0.8)
_LAG = Lognormal(9, 0.8)
_DELAY = Lognormal(23, 0.45)
# Allowed amounts in cents, by claim type; specialty drugs apart.
_COST = (
    Lognormal(11_500, 0.8),
    Lognormal(54_000, 1.0),
    Lognormal(1_350_000, 0.95, tail_bits=24),
    Lognormal(3_000, 1.2),
)
_SPECIALTY_COST = Lognormal(420_000, 0.7)
_LEAST_CENTS, _MOST_CENTS = 300, 300_000_000
_DENIED, _SPECIALTY, _OUT_OF_NETWORK, _CLEAN = 72, 25, 50, 940  # per mille


@dataclass(frozen=True, slots=True)
class Unit:
    """A stretch of service days (first to last, days since 1970) of members ``low`` to ``high``.

    ``label``: yyyymmdd, with day 00 for a whole month.
    """

    label: int
    year: int
    first: int
    last: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Claims:
    """One array entry a claim. Money in cents; days since 1970; the rest are positions.

    ``allowed`` and ``paid`` are those of the decision; ``drg`` counts for inpatient claims and
    ``drug`` for pharmacy claims only.
    """

    unit: Unit
    sequence: Ints
    member: Ints
    plan: Ints
    provider: Ints
    kind: Ints
    service: Ints
    discharge: Ints
    received: Ints
    decided: Ints
    billed: Ints
    allowed: Ints
    paid: Ints
    denied: NDArray[np.bool_]
    clean: NDArray[np.bool_]
    out_of_network: NDArray[np.bool_]
    diagnosis: Ints
    procedure: Ints
    drg: Ints
    drug: Ints

    def __len__(self) -> int:
        return len(self.member)


def units(span: Span, first: date, end: date) -> Iterator[Unit]:
    """The units with service days from ``first`` up to the day before ``end``, oldest first."""
    day = first.replace(day=1) if first < span.first_batch else first
    while day < end:
        monthly = day < span.first_batch
        following = first_of_next_month(day) if monthly else day + timedelta(days=1)
        label = day.year * 10_000 + day.month * 100 + (0 if monthly else day.day)
        # Nobody sold later than the service day: the batch before brought the member's row.
        people = span.members if monthly else span.population(day)
        for low in range(0, people, BLOCK_MEMBERS):
            high = min(low + BLOCK_MEMBERS, people)
            yield Unit(label, day.year, number(day), number(following) - 1, low, high)
        day = following


def draw(span: Span, unit: Unit, people: People, coverage: Coverage) -> Claims:
    """The claims of a unit; ``people`` as they entered, ``coverage`` of the unit's year."""
    dice = Dice(span.seed, "claims", unit.label, unit.low)
    block = slice(unit.low, unit.high)
    held = coverage.held[block] & (coverage.start[block] <= unit.last)
    exposed = np.flatnonzero(held & (coverage.end[block] >= unit.first))
    counts = _BY_DAY if unit.first == unit.last else _BY_MONTH
    # Draws are made for the whole block, so that they do not depend on who is covered.
    many = counts(dice("count", unit.high - unit.low)[exposed], people.rate[block][exposed])
    member = unit.low + np.repeat(exposed, many)
    service = unit.first + below(dice("day", len(member)), unit.last - unit.first + 1)
    inside = (service >= coverage.start[member]) & (service <= coverage.end[member])
    member, service = member[inside], service[inside]

    size = len(member)
    kind = _TYPE(dice("type", size))
    stay = kind == INPATIENT
    nights = np.minimum(1 + _STAY(dice("stay", size)), _LONGEST_STAY)
    discharge = service + np.where(stay, nights, 0)
    dispensed = kind == PHARMACY
    lag = np.where(dispensed, 0, np.minimum(1 + _LAG(dice("lag", size)), _LONGEST_LAG))
    delay = np.where(dispensed, 0, np.minimum(2 + _DELAY(dice("delay", size)), _LONGEST_DELAY))
    received = discharge + lag
    denied = chance(dice("denied", size), _DENIED)
    drug = _drug(dice, size)
    billed, allowed = _cost(dice, kind, drug, people.severity[member])
    plan = coverage.plan[member]
    panel = providers.panel(span.seed, providers.known(span, unit.first))
    state = places().state[people.place[member]]
    return Claims(
        unit,
        np.arange(size),
        member,
        plan,
        panel.pick(state, kind, dice("provider", size), dice("facility", size)),
        kind,
        service,
        discharge,
        received,
        received + delay,
        billed,
        np.where(denied, 0, allowed),
        np.where(denied, 0, _paid(coverage, plan, coverage.csr[member], allowed)),
        denied,
        chance(dice("clean", size), _CLEAN),
        chance(dice("out of network", size), _OUT_OF_NETWORK),
        _diagnosis(dice, unit, people, member),
        _procedure(dice, kind),
        below(dice("drg", size), len(drgs().code)),
        drug,
    )


def _drug(dice: Dice, size: int) -> Ints:
    table = drugs()
    specialty = chance(dice("specialty drug", size), _SPECIALTY)
    which = dice("drug", size)
    common = below(which, table.first_specialty)
    costly = table.first_specialty + below(which, len(table.name) - table.first_specialty)
    return np.where(specialty, costly, common)


def _cost(dice: Dice, kind: Ints, drug: Ints, severity: NDArray) -> tuple[Ints, Ints]:
    """Billed and allowed amounts in cents, allowed at most nine tenths of billed."""
    point = dice("cost", len(kind))
    allowed = np.empty(len(kind), dtype=np.int64)
    for position, cost in enumerate(_COST):
        rows = np.flatnonzero(kind == position)
        allowed[rows] = cost(point[rows])
    costly = np.flatnonzero((kind == PHARMACY) & (drug >= drugs().first_specialty))
    allowed[costly] = _SPECIALTY_COST(point[costly])
    allowed = np.clip(allowed * severity // 1000, _LEAST_CENTS, _MOST_CENTS)
    markup = 1_120 + below(dice("markup", len(kind)), 2_200)
    return allowed * markup // 1000, allowed


def _paid(coverage: Coverage, plan: Ints, csr: Ints, allowed: Ints) -> Ints:
    """What the plan pays: its actuarial value, and all beyond the out-of-pocket maximum.

    Each claim stands alone: deductible and maximum are not accumulated over the year.
    """
    catalogue = plans(coverage.year)
    share = plan_share(catalogue, plan, csr)
    return allowed - np.minimum(allowed * (1000 - share) // 1000, catalogue.oop_max[plan])


def _diagnosis(dice: Dice, unit: Unit, people: People, member: Ints) -> Ints:
    """The chronic condition of the chronically ill in two claims of five, else as surveyed.

    Maternity is for women of 15 to 49.
    """
    size = len(member)
    own = chance(dice("own condition", size), 400) & (people.segment[member] >= FIRST_CHRONIC)
    point, table = dice("diagnosis", size), diagnoses()
    age = age_on(people.born[member], unit.first)
    fertile = (people.gender[member] == FEMALE) & (age >= 15) & (age <= 49)
    surveyed = np.where(fertile, table.weighted(point), table.without_maternity(point))
    return np.where(own, conditions().diagnosis[people.condition[member]], surveyed)


def _procedure(dice: Dice, kind: Ints) -> Ints:
    point = dice("procedure", len(kind))
    picked = np.empty(len(kind), dtype=np.int64)
    for position, weighted in enumerate(procedures().weighted):
        rows = np.flatnonzero(kind == position)
        picked[rows] = weighted(point[rows])
    return picked
