"""The claim lines and claim diagnoses feeds, from the claims that a batch shows.

A claim comes with all of its lines and diagnoses whenever it comes, but for those that wait for the
next batch. Its lines add up to the amounts that the batch shows of it, to the cent.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from etl.contracts.feeds import FEEDS
from etl.synthetic.core import encode
from etl.synthetic.core.rng import Ints, Weighted, below, chance
from etl.synthetic.world import details
from etl.synthetic.world.claims import Claims
from etl.synthetic.world.diagnoses import diagnoses as diagnosis_tables
from etl.synthetic.world.money import Bills
from etl.synthetic.world.services import (
    INPATIENT,
    OUTPATIENT,
    PHARMACY,
    PROFESSIONAL,
    drugs,
    procedures,
)
from etl.synthetic.world.world import Shown, World

# Columns of a claim's amounts, and those of its lines in the same order.
_AMOUNTS = (
    ("claim_amount", "line_billed"),
    ("allowed_amount", "line_allowed"),
    ("paid_amount", "line_paid"),
)
# Revenue code of an institutional line, by the procedure's level 2; general for the others.
_REVENUE = {
    "Room and board": "0120",
    "Drugs administered": "0636",
    "Laboratory": "0300",
    "Imaging": "0320",
    "Imaging agents": "0343",
    "Surgery": "0360",
    "Emergency": "0450",
    "Transport": "0540",
}
_OTHER_REVENUE = "0250"
# Place of a professional line (CMS place of service codes), by the procedure's level 3.
_PLACES = {
    "Virtual visit": "10",
    "Clinical laboratory": "81",
    "Durable equipment": "12",
    "Supplies": "12",
}
_OFFICE, _PHARMACY_PLACE = "11", "01"
# Modifier of HCPCS level II that goes with a procedure, by its level 3; on so many, per mille.
_MODIFIERS = {
    "Physical therapy": "GP",
    "Virtual visit": "GT",
    "Diagnostic imaging": "TC",
    "Drugs administered": "JZ",
    "Durable equipment": "RR",
    "Orthotics and prosthetics": "LT",
    "Office surgery": "RT",
    "Ambulatory surgery": "LT",
}
_MODIFIED = 600
# Labelers of NDCs that nobody has: drugs dispensed, drugs administered.
_DISPENSED, _ADMINISTERED = "99998", "99997"
_DAYS_SUPPLIED = np.array((30, 30, 30, 60, 90))
_MOST_UNITS = {"Drugs administered": 10, "Physical therapy": 4, "Supplies": 3}
# Present on admission: yes, no, undetermined, unknown, exempt; the principal one nearly always is.
_ONSETS = ("Y", "N", "W", "U", "1")
_AT_ADMISSION = Weighted((820, 120, 15, 25, 20))


def blocks(world: World, claims: encode.Block, shown: Shown) -> Iterator[encode.Block]:
    """The lines and diagnoses of those claims of a block whose details the batch has."""
    c, bills, late = shown.claims, shown.bills, ~shown.now
    if not shown.detailed.all():
        rows = np.flatnonzero(shown.detailed)
        claims, c, bills, late = claims.take(rows), c.take(rows), bills.take(rows), late[rows]
    yield _lines(claims, c, bills, late)
    yield _diagnoses(claims, details.all_diagnoses(c, bills, world.entrants, world.health), c, late)


def _lines(claims: encode.Block, c: Claims, bills: Bills, late: encode.Flags) -> encode.Block:
    lines = details.lines(c, bills)
    claim, procedure, kind = lines.claim, lines.procedure, c.kind[lines.claim]
    cents: dict[str, Ints] = {}
    weight = lines.weight
    for of_claim, of_line in _AMOUNTS:
        # Each is split as the one before, so that no line is paid more than it is allowed.
        weight = details.shares(claims.cents[of_claim].astype(np.int64), weight, claim)
        cents[of_line] = weight
    institutional = (kind == OUTPATIENT) | (kind == INPATIENT)
    modified = chance(lines.modifier, _MODIFIED)
    columns = {
        **_of_claim(claims, claim),
        "line_number": encode.whole(lines.number, 1),
        "procedure_code": encode.texts(procedures().code)[procedure],
        "modifier": encode.where(modified, _by_level(2, _MODIFIERS, "")[procedure]),
        "revenue_code": encode.where(
            institutional, _by_level(1, _REVENUE, _OTHER_REVENUE)[procedure]
        ),
        "place_of_service": _place(kind, procedure),
        "ndc": _ndc(kind, procedure, bills.drug[claim]),
        "units": encode.hundredths(100 * _units(c, lines)),
        "line_from": encode.dates(lines.first),
        "line_to": encode.dates(lines.last),
        **{name: encode.money(values) for name, values in cents.items()},
    }
    new = _new(claims, claim)
    return encode.block(FEEDS["claim_lines"], columns, cents, new, claim, late[claim])


def _diagnoses(
    claims: encode.Block, found: details.Diagnosed, c: Claims, late: encode.Flags
) -> encode.Block:
    claim, new = found.claim, _new(claims, found.claim)
    onset = np.where(found.position == 1, 0, _AT_ADMISSION(found.onset))
    columns = {
        **_of_claim(claims, claim),
        "position": encode.whole(found.position, 1),
        "diagnosis_code": encode.texts(diagnosis_tables().code)[found.diagnosis],
        "present_on_admission": encode.where(
            c.kind[claim] == INPATIENT, encode.texts(_ONSETS)[onset]
        ),
    }
    feed = FEEDS["claim_diagnoses"]
    return encode.block(feed, columns, new=new, sets=claim, late=late[claim])


def _of_claim(claims: encode.Block, claim: Ints) -> dict[str, encode.Column]:
    return {name: claims.columns[name][claim] for name in ("claim_id", "service_date")}


def _new(claims: encode.Block, claim: Ints) -> encode.Flags | None:
    return None if claims.new is None else claims.new[claim]


@cache
def _levels(level: int) -> tuple[str, ...]:
    """The procedures' label of a level, counted from 0."""
    return tuple(labels[level] for labels in procedures().levels)


def _by_level(level: int, codes: dict[str, str], other: str) -> encode.Column:
    """A lookup table of procedures: the code of each one's label."""
    return encode.texts(codes.get(label, other) for label in _levels(level))


def _place(kind: Ints, procedure: Ints) -> encode.Column:
    professional = _by_level(2, _PLACES, _OFFICE)[procedure]
    place = encode.where(kind == PROFESSIONAL, professional)
    return np.where(kind == PHARMACY, encode.constant(_PHARMACY_PLACE, 1), place)


@cache
def _is_administered() -> encode.Flags:
    return np.array([label == "Drugs administered" for label in _levels(2)])


def _ndc(kind: Ints, procedure: Ints, drug: Ints) -> encode.Column:
    """National Drug Code, eleven digits: of a drug dispensed, or of one administered."""
    dispensed = encode.texts(f"{_DISPENSED}{n:04d}01" for n in range(len(drugs().name)))[drug]
    administered = encode.texts(f"{_ADMINISTERED}{n:04d}01" for n in range(len(procedures().code)))
    other = encode.where(_is_administered()[procedure], administered[procedure])
    return np.where(kind == PHARMACY, dispensed, other)


@cache
def _most_units() -> Ints:
    return np.array([_MOST_UNITS.get(label, 1) for label in _levels(2)])


def _units(c: Claims, lines: details.Lines) -> Ints:
    """Days of a stay, days' supply of a drug, and what is usual of the others."""
    kind = c.kind[lines.claim]
    units = 1 + below(lines.units, _most_units()[lines.procedure])
    supplied = _DAYS_SUPPLIED[below(lines.units, len(_DAYS_SUPPLIED))]
    units = np.where(kind == PHARMACY, supplied, units)
    stay = (kind == INPATIENT) & (lines.number == 1)
    return np.where(stay, (c.discharge - c.service)[lines.claim], units)
