"""The providers: clinicians, facilities and pharmacies of each state, and what changes there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from etl.contracts.feeds import FEEDS
from etl.synthetic.core import encode
from etl.synthetic.core.reference import STATES
from etl.synthetic.core.rng import Dice, Ints, Weighted, WeightedBy, below, chance
from etl.synthetic.core.span import Span, number
from etl.synthetic.world import names
from etl.synthetic.world.diagnoses import Chapter
from etl.synthetic.world.places import places, state_mix
from etl.synthetic.world.services import OUTPATIENT, PROFESSIONAL, procedures

SPECIALTIES = (
    *("Hospital", "Ambulatory Surgery Center", "Pharmacy", "Family Medicine"),
    *("Internal Medicine", "Pediatrics", "Obstetrics and Gynecology", "Cardiology"),
    *("Orthopedic Surgery", "Dermatology", "Psychiatry", "Physical Therapy"),
    *("Clinical Laboratory", "Radiology", "Oncology", "Emergency Medicine"),
)
(
    HOSPITAL, SURGERY_CENTER, DRUGSTORE, FAMILY, INTERNAL, PEDIATRICS, OBSTETRICS, CARDIOLOGY,
    ORTHOPEDICS, DERMATOLOGY, PSYCHIATRY, PHYSICAL_THERAPY, LABORATORY, RADIOLOGY, ONCOLOGY,
    EMERGENCY,
) = range(len(SPECIALTIES))  # fmt: skip
_MIX = (25, 35, 120, 200, 150, 80, 65, 40, 40, 30, 60, 55, 30, 30, 20, 20)
# The first providers of each state in turn: so each has one of every specialty.
_EACH_STATE = len(SPECIALTIES) + 4
# Who is seen for a diagnosis of each chapter, in three visits of ten; else primary care.
_SPECIALISTS = {
    Chapter.NEOPLASMS: ONCOLOGY,
    Chapter.BLOOD: ONCOLOGY,
    Chapter.MENTAL: PSYCHIATRY,
    Chapter.CIRCULATORY: CARDIOLOGY,
    Chapter.SKIN: DERMATOLOGY,
    Chapter.MUSCULOSKELETAL: ORTHOPEDICS,
    Chapter.GENITOURINARY: INTERNAL,
    Chapter.PREGNANCY: OBSTETRICS,
    Chapter.INJURY: EMERGENCY,
    Chapter.SYMPTOMS: EMERGENCY,
}
_SPECIALIST_VISITS = 300  # per mille
_BY_PROCEDURE = {
    "Clinical laboratory": LABORATORY,
    "Physical therapy": PHYSICAL_THERAPY,
    "Behavioural therapy": PSYCHIATRY,
    "Diagnostic imaging": RADIOLOGY,
    "Ambulatory surgery": SURGERY_CENTER,
}
_HABIT = 700  # per mille of claims that go to the provider whom the member always sees
# One claim in so many to a provider who has just joined, whose own row may come later.
_TO_NEWCOMERS, _NEWCOMERS = 12, 20
# A newcomer's row comes so many days after the first patients, for three in ten.
_LATE_ROWS, _LATE_DAYS = 300, 12


@dataclass(slots=True)
class Providers:
    """One array entry a provider; ``specialty`` and the rest are positions in their lists."""

    state: Ints
    specialty: Ints
    first_name: Ints
    last_name: Ints
    group: Ints
    house: Ints
    street: Ints
    place: Ints
    phone: Ints

    def __len__(self) -> int:
        return len(self.state)

    def copy(self) -> Providers:
        """The same providers in arrays of their own."""
        return Providers(**{f.name: getattr(self, f.name).copy() for f in fields(self)})


def base(span: Span) -> int:
    """How many providers the first batch knows: one for 40 members, and enough in each state."""
    return max(len(STATES) * _EACH_STATE, span.members // 40)


def joined(span: Span, day: Ints | int) -> Ints:
    """How many have joined by a day (days since 1970), since the first batch."""
    a_day = max(1, base(span) // 1_500)
    return a_day * np.maximum(np.asarray(day) - number(span.first_batch), 0)


def known(span: Span, day: int) -> int:
    """How many providers there are by the batch of that day."""
    return base(span) + int(joined(span, day))


def first_rows(span: Span, day: int) -> Ints:
    """The newcomers whose row the batch of that day brings first."""
    since = np.arange(base(span), known(span, day))
    dice = Dice(span.seed, "newcomers")
    late = chance(dice("late", len(since)), _LATE_ROWS)
    delay = np.where(late, 1 + below(dice("delay", len(since)), _LATE_DAYS), 0)
    a_day = int(joined(span, number(span.first_batch) + 1))
    came = number(span.first_batch) + 1 + np.arange(len(since)) // a_day
    return since[came + delay == day]


# Sizes come in order of day, so few are wanted again.
@lru_cache(maxsize=4)
def draw(seed: int, size: int) -> Providers:
    """The first ``size`` providers as they entered; the first rows do not depend on ``size``."""
    dice = Dice(seed, "providers")
    order = np.arange(size)
    pioneer = order < len(STATES) * _EACH_STATE
    turn = order // len(STATES)
    state = np.where(pioneer, order % len(STATES), state_mix()(dice("state", size)))
    specialty = Weighted(_MIX)(dice("specialty", size))
    return Providers(
        state,
        np.where(pioneer & (turn < len(SPECIALTIES)), turn, specialty),
        below(dice("first name", size), 2 * names.FIRST_NAMES),
        below(dice("last name", size), names.LAST_NAMES),
        below(dice("group", size), names.GROUPS),
        1 + below(dice("house", size), 9_999),
        below(dice("street", size), names.STREETS),
        places().within(state, dice("place", size)),
        below(dice("phone", size), names.AREA_CODES * 100),
    )


@cache
def _primary_care() -> WeightedBy:
    """Family medicine, internal medicine, pediatrics: of children and of adults."""
    return WeightedBy([(250, 0, 750), (550, 450, 0)])


@cache
def _specialists() -> Ints:
    return np.array([_SPECIALISTS.get(at, INTERNAL) for at in Chapter])


@cache
def _of_procedures() -> Ints:
    """The specialty that does a procedure, or -1 where any does."""
    return np.array([_BY_PROCEDURE.get(v[2], -1) for v in procedures().levels])


def specialty(
    kind: Ints, chapter: Ints, procedure: Ints, child: NDArray, female: NDArray, who: Ints
) -> Ints:
    """The specialty that each claim goes to: of its procedure, of its diagnosis, primary care."""
    adult = 1 - child.astype(np.int64)
    primary = FAMILY + _primary_care()(who << 7 & 0xFFFFFFFF, adult)
    specialist = _specialists()[chapter]
    womens = (chapter == Chapter.GENITOURINARY) & female & ~child
    specialist = np.where(womens, OBSTETRICS, specialist)
    specialist = np.where((specialist == INTERNAL) & child, PEDIATRICS, specialist)
    seen = np.where(chance(who, _SPECIALIST_VISITS), specialist, primary)
    seen = np.where(chapter == Chapter.PREGNANCY, OBSTETRICS, seen)
    doing = _of_procedures()[procedure]
    seen = np.where(doing >= 0, doing, seen)
    usual = np.array((INTERNAL, HOSPITAL, HOSPITAL, DRUGSTORE))  # by claim type
    elsewhere = (kind == OUTPATIENT) & (doing >= 0)
    return np.where((kind == PROFESSIONAL) | elsewhere, seen, usual[kind])


@dataclass(frozen=True, slots=True)
class Panel:
    """The providers of the first batch by state and specialty, for picking one for a claim."""

    order: Ints
    first: Ints
    count: Ints

    def pick(self, state: Ints, wanted: Ints, habit: Ints, who: Ints) -> Ints:
        """A provider of each state and specialty; ``habit`` and ``who`` are draws.

        A member keeps to one provider of a specialty in seven claims of ten. Popularity falls
        off linearly: the square of the draw favors the first of a list.
        """
        cell = state * len(SPECIALTIES) + wanted
        own = (habit + (wanted + 1) * 0x9E3779B1) & 0xFFFFFFFF
        # Whether habit decides is taken from bits that do not decide whom.
        half = np.where(chance(who << 16 & 0xFFFFFFFF, _HABIT), own, who) >> 1
        return self.order[self.first[cell] + below((half * half) >> 30, self.count[cell])]


@lru_cache(maxsize=2)
def panel(span: Span) -> Panel:
    """The panel of a run."""
    everyone = draw(span.seed, base(span))
    cells = len(STATES) * len(SPECIALTIES)
    cell = everyone.state * len(SPECIALTIES) + everyone.specialty
    count = np.bincount(cell, minlength=cells)
    return Panel(np.argsort(cell, kind="stable"), np.cumsum(count) - count, count)


def newcomer(span: Span, service: Ints, point: Ints) -> Ints:
    """A provider who has joined not long before the service, or -1 for nearly all claims."""
    there = joined(span, service)
    lately = np.minimum(there, _NEWCOMERS)
    meant = chance(point, _TO_NEWCOMERS) & (there > 0)
    back = below(point << 12 & 0xFFFFFFFF, np.maximum(lately, 1))
    return np.where(meant, base(span) + there - 1 - back, -1)


def change(span: Span, state: Providers, day: int, present: NDArray[np.bool_]) -> Ints:
    """Change some of those present in place as of the batch of that day; returns who.

    One in 400 each day: half move, a fifth of these to another state, and the others change their
    telephone; of the clinicians among them a quarter takes up another specialty.
    """
    before = known(span, day - 1)
    dice = Dice(span.seed, "provider changes", day)
    who = np.unique(below(dice("who", max(1, before // 400)), before))
    who = who[present[who]]
    size = len(who)
    moves = chance(dice("moves", size), 500)
    leaves = moves & chance(dice("leaves state", size), 200)
    further = 1 + below(dice("state", size), len(STATES) - 1)
    state.state[who] = np.where(
        leaves, (state.state[who] + further) % len(STATES), state.state[who]
    )
    state.place[who] = np.where(
        moves, places().within(state.state[who], dice("place", size)), state.place[who]
    )
    street = below(dice("street", size), names.STREETS)
    state.street[who] = np.where(moves, street, state.street[who])
    phone = below(dice("phone", size), names.AREA_CODES * 100)
    state.phone[who] = np.where(moves, state.phone[who], phone)
    turns = (state.specialty[who] >= FAMILY) & chance(dice("turns", size), 250)
    turned = FAMILY + Weighted(_MIX[FAMILY:])(dice("specialty", size))
    state.specialty[who] = np.where(turns, turned, state.specialty[who])
    return who


def npi(rows: Ints) -> Ints:
    """National provider identifiers: ten digits with a Luhn check digit over 80840 and nine.

    They begin with 2, which 45 CFR 162.406 allows and no NPI issued so far does, so that none
    is a living provider's. The 8 digits after it run through all values once.
    """
    body = 200_000_000 + rows * 48_271 % 100_000_000
    total = np.full(len(rows), 24)  # what the prefix 80840 adds
    rest = body
    for position in range(9):
        rest, digit = np.divmod(rest, 10)
        doubled = digit * 2 if position % 2 == 0 else digit
        total = total + doubled // 10 + doubled % 10
    return body * 10 + (10 - total % 10) % 10


@lru_cache(maxsize=4)
def identifiers(size: int) -> encode.Column:
    """The ``provider_id`` of the first ``size`` providers, as a CSV lookup table."""
    return encode.join(encode.constant("P", size), encode.padded(np.arange(size), 2))


def _names(state: Providers, rows: Ints) -> encode.Column:
    first, last = names.first_names(), names.last_names()
    kinds = ("Memorial Hospital", "Surgery Center", "Pharmacy")
    return encode.texts(
        f"{last[surname]} {kinds[kind]}" if kind < 3 else f"{first[given]} {last[surname]}, MD"
        for kind, given, surname in zip(
            state.specialty[rows].tolist(),
            state.first_name[rows].tolist(),
            state.last_name[rows].tolist(),
            strict=True,
        )
    )


def blocks(state: Providers, rows: Ints) -> Iterator[encode.Block]:
    """The providers feed: one block of these providers in one block."""
    if not len(rows):
        return
    where = places()
    place: NDArray = state.place[rows]
    columns = {
        "provider_id": identifiers(len(state))[rows],
        "npi": encode.whole(npi(rows)),
        "name": _names(state, rows),
        "specialty": encode.texts(SPECIALTIES)[state.specialty[rows]],
        "street": encode.join(
            encode.whole(state.house[rows], 1),
            encode.constant(" ", len(rows)),
            encode.texts(names.streets())[state.street[rows]],
        ),
        "city": encode.texts(where.city)[place],
        "state": encode.texts(STATES)[where.state[place]],
        "zip": encode.texts(where.zip_code)[place],
        "phone": names.phones()[state.phone[rows]],
    }
    yield encode.block(FEEDS["providers"], columns)
