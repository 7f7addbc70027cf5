"""The lines and further diagnoses of claims: what was done, and what else the member had.

Everything follows from one draw of each claim (``Bills.detail``) and from the member, so that the
same claim has the same lines and diagnoses whenever a batch shows it. Conditions that a member
bears, and a few other diagnoses of each of the chronically ill, come back on most of the claims.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.rng import Ints, WeightedBy, below, chance, mixed
from etl.synthetic.world.claims import Claims
from etl.synthetic.world.coverage import age_on
from etl.synthetic.world.diagnoses import Chapter, conditions, diagnoses, diagnosis_group
from etl.synthetic.world.health import NONE, Health
from etl.synthetic.world.money import Bills, is_special, surveyed_group
from etl.synthetic.world.people import FEMALE, People
from etl.synthetic.world.services import INPATIENT, OUTPATIENT, PHARMACY, procedures

# How many lines a claim has, from 1 up, by claim type.
_LINES = WeightedBy(
    [
        (280, 270, 200, 120, 70, 60),
        (60, 80, 110, 130, 140, 130, 110, 80, 60, 45, 30, 25),
        (0, 0, 10, 30, 60, 100, 140, 160, 160, 140, 110, 90),
        (1,),
    ]
)
# The line that a claim is named after costs so many times as much as its procedure would.
_MAIN_LINE = 3
# How many diagnoses a claim has besides the principal one, from 0 up, by claim type; those of the
# chronically ill have up to _MORE_OF_ILL more.
_OTHERS = WeightedBy(
    [
        (520, 260, 140, 80),
        (300, 250, 200, 120, 80, 50),
        (0, 20, 60, 100, 140, 160, 160, 130, 100, 70, 40, 20),
        (1,),
    ]
)
_MORE_OF_ILL, _MOST_OTHERS = 3, 11
# Of the diagnoses besides the principal one of the chronically ill, the first two are their
# conditions, and so many after these come back too; per mille, a claim has each of them.
_COMING_BACK, _CODED = 3, 800

# What one draw of a line or diagnosis is for.
_COUNT, _PROCEDURE, _WEIGHT, _DAY, _UNITS, _MODIFIER, _CODE, _WHETHER = range(8)
_PURPOSES = 8


@dataclass(frozen=True, slots=True)
class Lines:
    """One array entry a line, in order of claim and number.

    ``claim``: position in the claims; ``number``: from 1 up; ``procedure``: position in
    ``procedures()``; ``weight``: what the line costs, in relation to the others of its claim;
    ``first``, ``last``: days of service, since 1970. ``units`` and ``modifier`` are draws.
    """

    claim: Ints
    number: Ints
    procedure: Ints
    weight: Ints
    first: Ints
    last: Ints
    units: Ints
    modifier: Ints


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """One array entry a diagnosis of a claim, in order of claim and position, none twice.

    ``claim``: position in the claims; ``position``: from 1, the principal one, up; ``diagnosis``:
    position in ``diagnoses()``; ``onset``: a draw for when it began.
    """

    claim: Ints
    position: Ints
    diagnosis: Ints
    onset: Ints


def lines(claims: Claims, bills: Bills) -> Lines:
    """The lines of each claim; the first one has the claim's procedure."""
    claim, number = _several(1 + _LINES(mixed(bills.detail, _COUNT), claims.kind))

    def draw(purpose: int) -> Ints:
        return mixed(bills.detail[claim], (number + 1) * _PURPOSES + purpose)

    kind, is_main = claims.kind[claim], number == 0
    # What a hospital does for an inpatient is coded as for an outpatient.
    done = np.where(kind == INPATIENT, OUTPATIENT, kind)
    chapter = diagnoses().chapter[bills.diagnosis][claim]
    procedure = procedures().weighted(draw(_PROCEDURE), done * len(Chapter) + chapter)
    procedure = np.where(is_main, bills.procedure[claim], procedure)
    weight = procedures().cost[procedure] * (500 + below(draw(_WEIGHT), 1000))
    nights = (claims.discharge - claims.service)[claim]
    first = claims.service[claim] + np.where(is_main, 0, below(draw(_DAY), nights + 1))
    return Lines(
        claim,
        number + 1,
        procedure,
        np.where(is_main, _MAIN_LINE * weight, weight),
        first,
        np.where(is_main, claims.discharge[claim], first),
        draw(_UNITS),
        draw(_MODIFIER),
    )


def shares(total: Ints, weight: Ints, claim: Ints) -> Ints:
    """Split an amount of each claim among its lines by weight; to the cent they add up to it.

    ``total``: cents by claim; ``weight`` and ``claim``: by line. Where the weights are the parts of
    an amount that is at least as large, no line gets more than its weight.
    """
    begins = np.searchsorted(claim, np.arange(len(total)))
    upto = np.cumsum(weight)
    before = upto - weight
    upto, before = upto - before[begins][claim], before - before[begins][claim]
    whole = np.maximum(np.add.reduceat(weight, begins), 1)[claim]
    return total[claim] * upto // whole - total[claim] * before // whole


def all_diagnoses(claims: Claims, bills: Bills, people: People, health: Health) -> Diagnosed:
    """The diagnoses of each claim; the first one is the claim's own."""
    ill = (claims.kind != PHARMACY) & (health.condition[claims.member] != NONE)
    ill &= health.onset[claims.member] <= claims.service
    claim, place = _several(1 + _others(claims, bills, ill))
    found = _surveyed(claims, bills, people, claim, place)
    comes_back = ill[claim] & (place > 0) & (place <= 2 + _COMING_BACK)
    at = np.flatnonzero(comes_back)
    found[at] = _lasting(claims, people, health, found[at], claim[at], place[at])
    found = np.where(place == 0, bills.diagnosis[claim], found)
    whether = mixed(bills.detail[claim], (place + 1) * _PURPOSES + _WHETHER)
    kept = np.flatnonzero(~comes_back | chance(whether, _CODED))
    # None twice on a claim.
    _, first = np.unique(claim[kept] * len(diagnoses().code) + found[kept], return_index=True)
    kept = kept[np.sort(first)]
    return Diagnosed(claim[kept], 1 + _number(claim[kept]), found[kept], whether[kept])


def _others(claims: Claims, bills: Bills, ill: NDArray[np.bool_]) -> Ints:
    """How many diagnoses each claim may have besides the principal one."""
    others = _OTHERS(mixed(bills.detail, _COUNT), claims.kind)
    more = 1 + below(mixed(bills.detail, _CODE), _MORE_OF_ILL)
    return np.minimum(others + np.where(ill, more, 0), _MOST_OTHERS)


def _surveyed(claims: Claims, bills: Bills, people: People, claim: Ints, place: Ints) -> Ints:
    """A diagnosis for each place of a claim, as surveyed in its season, or of maternity care."""
    draw = mixed(bills.detail[claim], (place + 1) * _PURPOSES + _CODE)
    age = age_on(people.born[claims.member], claims.service)
    found = diagnoses().weighted(draw, surveyed_group(claims, people, age)[claim])
    special = np.flatnonzero(is_special(claims, people)[claim])
    lists = 1 - claims.is_maternity[claim[special]].astype(np.int64)
    found[special] = diagnoses().special(draw[special], lists)
    return found


def _lasting(
    claims: Claims, people: People, health: Health, found: Ints, claim: Ints, place: Ints
) -> Ints:
    """What is the same on all claims of a member: the conditions first, then further diagnoses.

    ``found``: diagnoses that stay in maternity care, where no condition takes their place.
    """
    member = claims.member[claim]
    # In whatever season and place: as in care in spring.
    age = age_on(people.born[member], claims.service[claim])
    no_stay, spring = np.zeros(len(member), dtype=bool), np.full(len(member), 4)
    group = diagnosis_group(no_stay, people.gender[member] == FEMALE, age, spring)
    lasting = diagnoses().weighted(mixed(health.habit[member], place), group)
    lasting = np.where(is_special(claims, people)[claim], found, lasting)
    for at, borne in ((1, health.condition), (2, health.second)):
        which = borne[member]
        is_borne = (place == at) & (which != NONE)
        lasting = np.where(is_borne, conditions().diagnosis[which], lasting)
    return lasting


def _several(count: Ints) -> tuple[Ints, Ints]:
    """The claim of each of so many things a claim, and the number of each from 0 up."""
    claim = np.repeat(np.arange(len(count)), count)
    return claim, _number(claim)


def _number(claim: Ints) -> Ints:
    """The number of each entry among those of its claim, from 0 up; they are in order of claim."""
    return np.arange(len(claim)) - np.searchsorted(claim, claim)
