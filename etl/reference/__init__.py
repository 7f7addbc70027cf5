"""Published tables that more than one part of us reads: the generator, the checks, the cubes.

``README.md`` next to them gives the source of each.
"""

from __future__ import annotations

import csv
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
# Major diagnostic categories of childbirth and of newborns, whose stays follow from no other.
_BIRTH = ("14", "15")


class HighCostPool(NamedTuple):
    """What the high-cost risk pool pays of a benefit year's claims of one enrollee.

    ``threshold_usd``: from where on, US dollars; ``coinsurance``: which share of what is above.
    """

    benefit_year: int
    threshold_usd: Decimal
    coinsurance: Decimal


def read(name: str) -> list[dict[str, str]]:
    """The rows of a reference file."""
    with (FOLDER / name).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@cache
def age_curve() -> tuple[tuple[int, float], ...]:
    """The federal default age curve from 2018 on: (first age, premium factor), in order of age.

    The factor applies from that age to the next one (45 CFR 147.102(d) and (e)). States may have
    a curve of their own: see ``state_age_curves``.
    """
    curve = []
    for row in read("age_curve_federal_default.csv"):
        if row["from_year"] == "2018":
            first = row["age"].rstrip("+").split("-")[0]
            curve.append((int(first), float(row["factor"])))
    return tuple(sorted(curve))


@cache
def state_age_curves() -> dict[str, tuple[tuple[int, float], ...]]:
    """Age curves of the states that have one of their own (45 CFR 147.102(e)), by postal code.

    Each as ``age_curve``; a state that is not among them uses that one.
    """
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in read("age_curve_state.csv"):
        curves.setdefault(row["state"], []).append((int(row["age"]), float(row["factor"])))
    return {state: tuple(sorted(curve)) for state, curve in curves.items()}


@cache
def diagnosis_categories() -> tuple[str, ...]:
    """Categories of ICD-10-CM, the first three characters of a code, that the tables name.

    About half of all there are: those that people in a national survey bore, and those that risk
    adjustment knows.
    """
    codes = [row["code"] for row in read("icd10cm_frequency_meps.csv")]
    codes += [row["icd10cm"] for row in read("hhs_hcc_icd10_to_cc_cy2022.csv")]
    return tuple(sorted({code[:3] for code in codes}))


@cache
def restricted_zip3() -> tuple[str, ...]:
    """First three digits of ZIP codes that 20,000 persons or fewer share.

    Those of the censuses of 2000 and of 2010: which of them counts the rule leaves open (45 CFR
    164.514(b)(2)(i)(B)).
    """
    return tuple(sorted({row["zip3"] for row in read("restricted_zip3.csv")}))


@cache
def planned_drgs() -> tuple[str, ...]:
    """MS-DRGs, three digits, of stays that are no readmission though another stay came before.

    Those that ``planned_readmission_drg.csv`` names, and all of births (MDC 14 and 15).
    """
    planned = {row["code"] for row in read("ms_drg.csv") if row["mdc"] in _BIRTH}
    for row in read("planned_readmission_drg.csv"):
        first, last = int(row["ms_drg_from"]), int(row["ms_drg_to"])
        planned |= {f"{code:03}" for code in range(first, last + 1)}
    return tuple(sorted(planned))


@cache
def high_cost_pools() -> tuple[HighCostPool, ...]:
    """The high-cost risk pool by benefit year (45 CFR 153.320 and the Payment Notices)."""
    years: dict[int, dict[str, Decimal]] = {}
    for row in read("aca_parameter.csv"):
        years.setdefault(int(row["benefit_year"]), {})[row["parameter"]] = Decimal(row["value"])
    return tuple(
        HighCostPool(year, known["hcrp_threshold_usd"], known["hcrp_coinsurance"])
        for year, known in sorted(years.items())
    )
