"""The providers: clinicians, facilities and pharmacies of each state, and what changes there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from etl.seed import encode, names
from etl.seed.clinical import INPATIENT, OUTPATIENT, PHARMACY, PROFESSIONAL
from etl.seed.places import places
from etl.seed.reference import STATES
from etl.seed.rng import Dice, Ints, Weighted, below, chance
from etl.seed.span import Span, number
from etl.sources import FEEDS

SPECIALTIES = (
    *("Hospital", "Ambulatory Surgery Center", "Pharmacy", "Family Medicine"),
    *("Internal Medicine", "Pediatrics", "Obstetrics and Gynecology", "Cardiology"),
    *("Orthopedic Surgery", "Dermatology", "Psychiatry", "Physical Therapy"),
    *("Clinical Laboratory", "Radiology", "Oncology", "Emergency Medicine"),
)
HOSPITAL, SURGERY_CENTER, DRUGSTORE, _FIRST_CLINICIAN = range(4)
_CLINICIANS = (24, 20, 10, 8, 5, 5, 4, 8, 8, 6, 5, 3, 4)
# Of every ten providers of a state: one hospital, one surgery centre, one pharmacy.
_ROUND = 10


@dataclass(slots=True)
class Providers:
    """One array entry a provider. ``kind``: 0 to 2 as in ``SPECIALTIES``, 3 a clinician."""

    state: Ints
    kind: Ints
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


def known(span: Span, day: int) -> int:
    """How many providers the batch of that day (days since 1970) knows: one more each day."""
    first = max(8 * 2 * _ROUND, span.members // 40)
    return first + max(0, day - number(span.first_batch))


# Sizes come in order of day, so few are wanted again.
@lru_cache(maxsize=4)
def draw(seed: int, size: int) -> Providers:
    """The first ``size`` providers as they entered; the first rows do not depend on ``size``."""
    dice = Dice(seed, "providers")
    order = np.arange(size)
    state = order % len(STATES)
    kind = np.minimum(order // len(STATES) % _ROUND, _FIRST_CLINICIAN)
    clinician = _FIRST_CLINICIAN + Weighted(_CLINICIANS)(dice("specialty", size))
    return Providers(
        state,
        kind,
        np.where(kind == _FIRST_CLINICIAN, clinician, kind),
        below(dice("first name", size), 2 * names.FIRST_NAMES),
        below(dice("last name", size), names.LAST_NAMES),
        below(dice("group", size), names.GROUPS),
        1 + below(dice("house", size), 9_999),
        below(dice("street", size), names.STREETS),
        places().within(state, dice("place", size)),
        below(dice("phone", size), names.AREA_CODES * 100),
    )


@dataclass(frozen=True, slots=True)
class Panel:
    """Providers by state and kind, for picking one for a claim."""

    order: Ints
    first: Ints
    count: Ints

    def pick(self, state: Ints, claim_type: Ints, who: Ints, where: Ints) -> Ints:
        """A provider of each state for each claim; ``who`` and ``where`` are draws.

        Popularity falls off linearly: the square of the draw favours the first of a list. A
        fifth of outpatient claims go to surgery centres, the others to hospitals.
        """
        kinds = np.empty(4, dtype=np.int64)
        kinds[[PROFESSIONAL, OUTPATIENT, INPATIENT, PHARMACY]] = (3, HOSPITAL, HOSPITAL, DRUGSTORE)
        kind = kinds[claim_type]
        kind = np.where((claim_type == OUTPATIENT) & chance(where, 200), SURGERY_CENTER, kind)
        cell = state * 4 + kind
        half = who >> 1
        return self.order[self.first[cell] + below((half * half) >> 30, self.count[cell])]


@lru_cache(maxsize=4)
def panel(seed: int, size: int) -> Panel:
    """The panel of the first ``size`` providers."""
    everyone = draw(seed, size)
    cell = everyone.state * 4 + everyone.kind
    count = np.bincount(cell, minlength=4 * len(STATES))
    return Panel(np.argsort(cell, kind="stable"), np.cumsum(count) - count, count)


def change(span: Span, state: Providers, day: int) -> Ints:
    """Change some providers in place as of the batch of that day; returns who.

    One in 400 each day: half move, the others change their telephone; of the clinicians among
    them a quarter takes up another specialty.
    """
    before = known(span, day - 1)
    dice = Dice(span.seed, "provider changes", day)
    size = max(1, before // 400)
    who = np.unique(below(dice("who", size), before))
    size = len(who)
    moves = chance(dice("moves", size), 500)
    state.place[who] = np.where(
        moves, places().within(state.state[who], dice("place", size)), state.place[who]
    )
    street = below(dice("street", size), names.STREETS)
    state.street[who] = np.where(moves, street, state.street[who])
    phone = below(dice("phone", size), names.AREA_CODES * 100)
    state.phone[who] = np.where(moves, state.phone[who], phone)
    turns = (state.kind[who] == _FIRST_CLINICIAN) & chance(dice("turns", size), 250)
    specialty = _FIRST_CLINICIAN + Weighted(_CLINICIANS)(dice("specialty", size))
    state.specialty[who] = np.where(turns, specialty, state.specialty[who])
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
            state.kind[rows].tolist(),
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
