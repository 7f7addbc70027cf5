"""The reference tables (see etl/reference/README.md) as small arrays and tuples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from etl.reference import age_curve, read, state_age_curves

# States of HealthCare.gov with many plans in both published years, from desert to lakes.
STATES = ("AZ", "FL", "MI", "NC", "OH", "OR", "TX", "WI")
METALS = ("Catastrophic", "Bronze", "Expanded Bronze", "Silver", "Gold", "Platinum")
CATASTROPHIC, BRONZE, EXPANDED_BRONZE, SILVER, GOLD, PLATINUM = range(6)

# Bands of the open-enrollment counts: (first, last age), and (low, high) in thousandths of the
# poverty level. The last income band is open in life; 9.0 keeps the incomes plausible.
AGE_BANDS = ((0, 17), (18, 25), (26, 34), (35, 44), (45, 54), (55, 64), (65, 74))
AGE_GROUPS = ("0-17", "18-25", "26-34", "35-44", "45-54", "55-64", "65+")
FPL_BANDS = (
    (600, 999),
    (1000, 1500),
    (1501, 2000),
    (2001, 2500),
    (2501, 3000),
    (3001, 4000),
    (4001, 5000),
    (5001, 9000),
)
# Columns of the counts, in the order of AGE_BANDS and FPL_BANDS.
AGE_COLUMNS = (
    *("Age_0_17", "Age_18_25", "Age_26_34", "Age_35_44"),
    *("Age_45_54", "Age_55_64", "Age_GE65"),
)
FPL_COLUMNS = (
    *("FPL_LT100", "FPL_100_150", "FPL_150_200", "FPL_200_250"),
    *("FPL_250_300", "FPL_300_400", "FPL_400_500", "FPL_GT500"),
)


@dataclass(frozen=True, slots=True)
class Mix:
    """Open-enrollment counts of one state, 2025. ``metals`` follow ``METALS``.

    Catastrophic, bronze, silver, gold, platinum are counted; the counts do not distinguish bronze
    from expanded bronze, so both are one entry (``BRONZE``) and ``EXPANDED_BRONZE`` has none.
    ``reduced``: silver plans with actuarial value 94, 87 and 73 %. ``new``: consumers without
    coverage the year before; ``native``: American Indians and Alaska Natives with reduced cost
    sharing; ``switched``: of those who renewed, who took another plan.
    ``premium``: average a month before the tax credit, dollars. Who has not stated an income asks
    for no help, and counts in the highest band. A count withheld because it is small is taken as
    zero.
    """

    consumers: int
    ages: tuple[int, ...]
    incomes: tuple[int, ...]
    metals: tuple[int, ...]
    reduced: tuple[int, int, int]
    female: int
    new: int
    switched_per_mille: int
    native: int
    premium: int


def _count(text: str) -> int:
    digits = text.replace(",", "").replace("$", "").strip()
    return int(digits) if digits.isdigit() else 0


@cache
def open_enrollment() -> tuple[dict[str, int], ...]:
    """The published counts of each of ``STATES`` by column; dollars where it is an average."""
    rows = {r["State_Abrvtn"]: r for r in read("oep_state_2025.csv")}
    return tuple({k: _count(v) for k, v in rows[state].items() if k} for state in STATES)


@cache
def mixes() -> tuple[Mix, ...]:
    """The mix of each of ``STATES``."""
    found = []
    for row in open_enrollment():
        metals = (row["Ctstrphc"], row["Brnz"], 0, row["Slvr"], row["Gld"], row["Pltnm"])
        found.append(
            Mix(
                consumers=row["Cnsmr"],
                ages=tuple(row[c] for c in AGE_COLUMNS),
                incomes=(*(row[c] for c in FPL_COLUMNS[:-1]), row["FPL_GT500"] + row["FPL_OTHR"]),
                metals=metals,
                reduced=(row["CSR_Cnsmr_94"], row["CSR_Cnsmr_87"], row["CSR_Cnsmr_73"]),
                female=row["Female"],
                new=row["New_Cnsmr"],
                switched_per_mille=1000 * row["Actv_Renrl_Sw"] // row["Tot_Renrl"],
                native=row["CSR_Cnsmr_AIAN"],
                premium=row["Avg_Prm"],
            )
        )
    return tuple(found)


@cache
def age_factors() -> NDArray[np.int64]:
    """Premium factor in thousandths by ``STATES`` (row) and age 0 to 119 (column).

    45 CFR 147.102(d) and (e), from 2018; Oregon has a curve of its own.
    """
    factors = np.zeros((len(STATES), 120), dtype=np.int64)
    own = state_age_curves()
    for row, state in enumerate(STATES):
        for age, factor in own.get(state, age_curve()):
            factors[row, age:] = round(1000 * factor)
    return factors


@cache
def poverty_guideline(year: int) -> tuple[int, int]:
    """First person and each further one, dollars a year, 48 states (all ``STATES`` are).

    The tax credit of a year uses the guideline of the year before (26 CFR 1.36B-1(h)), so the
    caller passes that. The newest guideline is used for years not yet published.
    """
    amounts: dict[str, dict[int, int]] = {"first_person": {}, "additional_person": {}}
    for row in read("federal_poverty_guidelines.csv"):
        if row["area"] == "CONTIGUOUS_US":
            amounts[row["component"]][int(row["effective"][:4])] = int(row["amount"])
    first, more = (
        by_year[max(y for y in by_year if y <= max(year, min(by_year)))]
        for by_year in amounts.values()
    )
    return first, more


@cache
def contribution(year: int) -> NDArray[np.int64]:
    """Share of income to pay for the benchmark plan, in hundred-thousandths (26 CFR 1.36B-3(g)).

    Indexed by income in hundredths of the poverty level, 0 to 900; -1 where no credit is due:
    under 100 %, and over 400 % except in 2021 to 2025 (26 U.S.C. 36B(c)(1)(E)).
    """
    rows = read("ptc_applicable_percentage.csv")
    tables = sorted({int(r["from_year"]) for r in rows})
    table = max(y for y in tables if y <= max(year, tables[0]))
    share = np.full(901, -1, dtype=np.int64)
    for row in rows:
        if int(row["from_year"]) != table:
            continue
        low, high = round(100 * float(row["fpl_low"])), round(100 * float(row["fpl_high"]))
        start, end = (round(100_000 * float(row[k])) for k in ("initial_pct", "final_pct"))
        steps = np.arange(high - low + 1)
        share[low : high + 1] = start + (end - start) * steps // (high - low)
    if 2021 <= year <= 2025:
        share[401:] = share[400]
    share[:100] = -1
    return share


@cache
def actuarial_values() -> dict[str, int]:
    """Actuarial value in per mille: by metal, and by ``-04`` to ``-06`` for silver variants."""
    values = {}
    for row in read("metal_actuarial_value.csv"):
        name = row["level"] if row["kind"] == "metal" else row["kind"].removeprefix("csr ")
        values[name] = round(1000 * float(row["actuarial_value"]))
    return values
