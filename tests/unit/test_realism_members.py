"""Who is insured, and what the law fixes: the synthetic feeds against the published tables.

The sample is read back from its CSV files, the tables from the reference folder, and every rule
is written again here. A share or a mean may differ from its source by four standard errors, with
a household or a member counted as one observation, and by the slack given in the test:
what the model may be off, whatever the size of the sample. Ranges without a table of ours are
those of the individual market in round figures.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.feed_sample import (
    FULL_YEAR,
    GROUPS,
    PLAN_YEAR,
    REDUCED,
    STANDARD_ERRORS,
    STATES,
    Comparison,
    Ints,
    Sample,
    assert_near,
    assert_within,
    day,
    estimate,
    reference,
    share,
)

# Who is insured: oep_state_2025.csv


@cache
def counts(column: str) -> dict[str, int]:
    """A column of the open-enrollment counts by state; a withheld count is too small to matter."""
    found = {}
    for row in reference("oep_state_2025.csv"):
        digits = re.sub(r"[$, ]", "", row[column])
        found[row["State_Abrvtn"]] = int(digits) if digits.isdigit() else 0
    return found


def counted(group: str, *columns: str) -> int:
    return sum(counts(column)[state] for state in GROUPS[group] for column in columns)


Shares = Iterator[tuple[str, NDArray, float]]  # name, who counts for it, share expected


def ages(sample: Sample, rows: Ints, group: str) -> Shares:
    bands = {
        "Age_0_17": (0, 17),
        "Age_18_25": (18, 25),
        "Age_26_34": (26, 34),
        "Age_35_44": (35, 44),
        "Age_45_54": (45, 54),
        "Age_55_64": (55, 64),
    }
    age = sample.span_age[rows]
    for column, (low, high) in bands.items():
        expected = counted(group, column) / counted(group, "Cnsmr")
        yield column, (low <= age) & (age <= high), expected


def elders(sample: Sample, rows: Ints, group: str) -> Shares:
    """Of 65 and over: who turns 65 in between leaves for Medicare, but for a few."""
    expected = counted(group, "Age_GE65") / counted(group, "Cnsmr")
    yield "Age_GE65", sample.span_age[rows] >= 65, expected


def sexes(sample: Sample, rows: Ints, group: str) -> Shares:
    """Women. The counts know no other sexes, so X and U count for half."""
    sex = sample.members["gender"][sample.span_member[rows]]
    women = (sex == b"F") + 0.5 * np.isin(sex, [b"X", b"U"])
    yield "Female", women, counted(group, "Female") / counted(group, "Cnsmr")


def metals(sample: Sample, rows: Ints, group: str) -> Shares:
    """The counts do not distinguish expanded bronze from bronze."""
    metal = sample.span_metal[rows]
    names = {"Ctstrphc": "Catastrophic", "Slvr": "Silver", "Gld": "Gold", "Pltnm": "Platinum"}
    for column, name in names.items():
        expected = counted(group, column) / counted(group, "Cnsmr")
        yield name, metal == name.encode(), expected
    bronze = np.isin(metal, [b"Bronze", b"Expanded Bronze"])
    yield "Bronze", bronze, counted(group, "Brnz") / counted(group, "Cnsmr")


def reductions(sample: Sample, rows: Ints, group: str) -> Shares:
    """Of all, whatever their metal."""
    variant = sample.spans["csr_variant"][rows]
    for column, name in (("CSR_Cnsmr_94", "06"), ("CSR_Cnsmr_87", "05"), ("CSR_Cnsmr_73", "04")):
        expected = counted(group, column) / counted(group, "Cnsmr")
        yield column, variant == name.encode(), expected


def newcomers(sample: Sample, rows: Ints, group: str) -> Shares:
    new = sample.spans["enrollment_reason"][rows] == b"open_enrollment"
    yield "new", new, counted(group, "New_Cnsmr") / counted(group, "Cnsmr")


def unhelped(sample: Sample, rows: Ints, group: str) -> Shares:
    expected = 1 - counted(group, "APTC_Cnsmr") / counted(group, "Cnsmr")
    yield "without tax credit", sample.span_credit[rows] == 0, expected


# How far the model may be off, as a part of what is published.
OPEN_ENROLLMENT: dict[Callable[[Sample, Ints, str], Shares], float] = {
    ages: 0.06,
    elders: 0.25,
    sexes: 0.02,
    metals: 0.05,
    reductions: 0.05,
    newcomers: 0.05,
    unhelped: 0.20,
}
STATE_SLACK, INCOME_SLACK = 0.05, 0.03
# Who compares plans again at renewal may find that the present one is the best.
SWITCH_SLACK = 0.10
# Of the average premium and credit: the rating areas of the model have one price.
PREMIUM_SLACK, CREDIT_SLACK = 0.06, 0.10


def in_states(sample: Sample, rows: Ints, states: tuple[str, ...]) -> Ints:
    return rows[np.isin(sample.span_state[rows], [s.encode() for s in states])]


def test_states_are_those_of_open_enrollment(sample):
    total = counted("all eight", "Cnsmr")
    household = sample.household[sample.span_member[sample.opened]]
    state = sample.span_state[sample.opened]
    assert_near(
        share(name, state == name.encode(), household, counts("Cnsmr")[name] / total, STATE_SLACK)
        for name in STATES
    )


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("shares", OPEN_ENROLLMENT, ids=lambda f: f.__name__)
def test_members_are_those_of_open_enrollment(sample, shares, group):
    rows = in_states(sample, sample.opened, GROUPS[group])
    household = sample.household[sample.span_member[rows]]
    assert_near(
        share(name, flags, household, expected, OPEN_ENROLLMENT[shares])
        for name, flags, expected in shares(sample, rows, group)
    )


@pytest.mark.parametrize("group", GROUPS)
def test_incomes_are_those_of_open_enrollment(sample, group):
    """Bands up to five times the poverty level, as shares of those; how many have more.

    The counts have people of unknown income, who have not asked for help. The feed has none: they
    may be missing, or count among those with more.
    """
    edges = {
        "FPL_LT100": 999,
        "FPL_100_150": 1500,
        "FPL_150_200": 2000,
        "FPL_200_250": 2500,
        "FPL_250_300": 3000,
        "FPL_300_400": 4000,
        "FPL_400_500": 5000,
    }
    rows = in_states(sample, sample.opened, GROUPS[group])
    income, household = sample.span_income[rows], sample.household[sample.span_member[rows]]
    known = income <= 5000
    assert_near(
        share(
            column,
            (low < income[known]) & (income[known] <= high),
            household[known],
            counted(group, column) / counted(group, *edges),
            INCOME_SLACK,
        )
        for column, (low, high) in zip(edges, pairwise((-1, *edges.values())), strict=True)
    )
    least, unknown = counted(group, "FPL_GT500"), counted(group, "FPL_OTHR")
    found = estimate(~known, household)
    low = least / (counted(group, *edges) + least) - STANDARD_ERRORS * found.error
    high = (least + unknown) / counted(group, "Cnsmr") + STANDARD_ERRORS * found.error
    assert_within("FPL_GT500", found.value, low, high)


@pytest.mark.parametrize("group", GROUPS)
def test_renewals_change_plans_as_at_open_enrollment(sample, group):
    """Those who took another plan, as a share of all who renewed."""
    order = np.lexsort((sample.span_start, sample.span_member))
    renews = sample.spans["enrollment_reason"][order[1:]] == b"renewal"
    renews &= sample.span_start[order[1:]] == day(PLAN_YEAR, 1)
    same_member = sample.span_member[order[1:]] == sample.span_member[order[:-1]]
    assert same_member[renews].all(), "a renewal of nothing"
    rows, before = order[1:][renews], order[:-1][renews]
    inside = np.isin(sample.span_state[rows], [s.encode() for s in GROUPS[group]])
    rows, before = rows[inside], before[inside]
    switched = sample.spans["plan_id"][rows] != sample.spans["plan_id"][before]
    household = sample.household[sample.span_member[rows]]
    expected = counted(group, "Actv_Renrl_Sw") / counted(group, "Tot_Renrl")
    assert_near([share("switched", switched, household, expected, SWITCH_SLACK)])


def test_premiums_and_credits_are_those_of_open_enrollment(sample):
    """Averages a month in dollars: of the premium of all, of the credit of those who have one."""

    def comparisons() -> Iterator[Comparison]:
        for state in STATES:
            rows = in_states(sample, sample.opened, (state,))
            household = sample.household[sample.span_member[rows]]
            found = estimate(sample.span_premium[rows] / 100, household)
            expected = counts("Avg_Prm")[state]
            yield Comparison(f"{state} premium", found, expected, PREMIUM_SLACK)
            credit = sample.span_credit[rows] / 100
            found = estimate(credit[credit > 0], household[credit > 0])
            expected = counts("APTC_Cnsmr_Avg_APTC")[state]
            yield Comparison(f"{state} credit", found, expected, CREDIT_SLACK)

    assert_near(comparisons())


# What the law fixes


@cache
def age_factors(state: str) -> NDArray[np.int64]:
    """The state's age curve in thousandths, by age up to 119: its own or the federal one."""
    factors = np.zeros(120, dtype=np.int64)
    for row in reference("age_curve_state.csv"):
        if row["state"] == state:
            factors[int(row["age"]) :] = round(1000 * float(row["factor"]))
    if factors.any():
        return factors
    for row in reference("age_curve_federal_default.csv"):
        if row["from_year"] == "2018":
            low, _, high = row["age"].partition("-")
            last = 119 if low.endswith("+") else int(high or low)
            factors[int(low.rstrip("+")) : last + 1] = round(1000 * float(row["factor"]))
    return factors


def test_premium_is_the_plans_at_the_members_age(sample):
    """45 CFR 147.102(e), to a cent; the age is that on the first day, the curve the plan's."""
    base = sample.plans.cents("monthly_premium")[sample.span_plan]
    plan_state = np.array([p[5:7] for p in sample.plans["plan_id"].tolist()])[sample.span_plan]
    factor = np.zeros(len(base), dtype=np.int64)
    for state in STATES:
        rows = plan_state == state.encode()
        factor[rows] = age_factors(state)[sample.span_age[rows]]
    exact = base * factor / 1000
    off = np.abs(sample.span_premium - exact)
    assert (off <= 1).all(), f"{(off > 1).sum()} of {len(off)} premiums, by up to {off.max()} cents"


def applicable_share(year: int, income: Ints) -> NDArray[np.float64]:
    """Share of income due for the benchmark plan (26 CFR 1.36B-3(g)); not a number for no credit.

    Income counts in whole per cents of the poverty level, cut off (instructions to Form 8962).
    """
    tables = reference("ptc_applicable_percentage.csv")
    newest = max(int(r["from_year"]) for r in tables if int(r["from_year"]) <= year)
    level = income // 10 / 100
    due = np.full(len(income), np.nan)
    for row in tables:
        if int(row["from_year"]) == newest:
            low, high = float(row["fpl_low"]), float(row["fpl_high"])
            start, end = float(row["initial_pct"]), float(row["final_pct"])
            inside = (level >= low) & (level <= high) & np.isnan(due)
            due[inside] = start + (end - start) * (level[inside] - low) / (high - low)
            if 2021 <= year <= 2025 and high == 4:
                due[level > high] = end
    due[income < 1000] = np.nan
    return due


# The applicable percentage is published to a hundredth of a per cent: cents a month.
CREDIT_CENTS = 30


def test_tax_credit_of_those_who_live_alone(sample):
    """Benchmark premium at their age less their share of income, at most the premium but a dollar.

    The feed gives income in poverty levels but not how many people count for the level, so the
    credit must be right for one person or for two, and mostly for one.
    """
    alone = np.bincount(sample.household)[sample.household] == 1
    alone[-1] = False  # the last household may be cut short, so that its rest is not in the feed
    guideline: dict[str, dict[int, int]] = defaultdict(dict)
    for row in reference("federal_poverty_guidelines.csv"):
        if row["area"] == "CONTIGUOUS_US":
            guideline[row["component"]][int(row["effective"][:4])] = int(row["amount"])
    plan_state = np.array([p[5:7] for p in sample.plans["plan_id"].tolist()])
    price, metal = sample.plans.cents("monthly_premium"), sample.plans["metal_tier"]
    right = {1: 0, 2: 0}
    wrong = 0
    for year in (FULL_YEAR, PLAN_YEAR):
        of_year = sample.plans["effective_year"] == str(year).encode()
        for state in STATES:
            silver = of_year & (metal == b"Silver") & (plan_state == state.encode())
            benchmark = np.sort(price[silver])[1]
            rows = np.flatnonzero(alone[sample.span_member] & (sample.span_year == year))
            rows = in_states(sample, rows, (state,))
            income, credit = sample.span_income[rows], sample.span_credit[rows]
            part = applicable_share(year, income)
            part[sample.span_metal[rows] == b"Catastrophic"] = np.nan
            agrees = np.zeros(len(rows), dtype=bool)
            for size in right:
                # The level of a year is the guideline of the year before (26 CFR 1.36B-1(h)).
                level = guideline["first_person"][year - 1]
                level += (size - 1) * guideline["additional_person"][year - 1]
                due = 100 * level * income / 1000 * part / 12
                full = benchmark * age_factors(state)[sample.span_age[rows]] / 1000 - due
                most = np.clip(full, 0, sample.span_premium[rows] - 100)
                matches = np.abs(credit - np.nan_to_num(most)) <= CREDIT_CENTS
                right[size] += int((matches & ~agrees).sum())
                agrees |= matches
            wrong += int((~agrees).sum())
    assert wrong == 0, f"{wrong} credits are wrong, {right} right by household size"
    assert right[1] > right[2] > 0, right


def test_cost_sharing_is_reduced_where_the_law_asks_for_it(sample):
    """45 CFR 155.305(g): who has silver and the income has the variant, and nobody else."""
    variant, income = sample.spans["csr_variant"], sample.span_income
    assert np.isin(variant, [b"01", b"02", b"03", *(v.encode() for v in REDUCED)]).all()
    native = np.isin(variant, [b"02", b"03"])  # American Indians have theirs by 45 CFR 155.350
    for name, (low, high) in REDUCED.items():
        has = variant == name.encode()
        due = (sample.span_metal == b"Silver") & (low <= income) & (income <= high) & ~native
        assert has.any(), name
        assert (has == due).all(), f"{name}: {has.sum()} have it, {due.sum()} are due it"
    assert (income[variant == b"02"] <= 3000).all()
    assert not (native & (sample.span_metal == b"Catastrophic")).any()


# Households and addresses

SHARED_ADDRESS = (0.50, 0.72)  # of members who live with another member


def test_households_share_address_broker_and_income(sample):
    size = np.bincount(sample.household)[sample.household]
    assert_within("share of members with another one", (size > 1).mean(), *SHARED_ADDRESS)
    assert size.max() <= 6
    for name in ("broker_name", "general_agency_name", "fpl_ratio"):
        pairs = {*zip(sample.household.tolist(), sample.members[name].tolist(), strict=True)}
        assert len(pairs) == sample.household.max() + 1, f"a household with two of {name}"


@pytest.mark.parametrize("feed", ["members", "providers"])
def test_zip_county_and_state_agree(sample, feed):
    """The city has the name of a county that the ZIP code lies in, without its kind."""
    listed = {
        (r["ZIP"], re.sub(r" (County|city)$", "", r["COUNTYNAME"]), r["STATE"])
        for r in reference("zip_county_fips_2017.csv")
    }
    table = getattr(sample, feed)
    named = Counter(zip(*(table[n].tolist() for n in ("zip", "city", "state")), strict=True))
    wrong = sum(n for key, n in named.items() if tuple(k.decode() for k in key) not in listed)
    assert wrong == 0, f"{wrong} of {len(table)} addresses"
    assert {s.decode() for *_, s in named} == set(STATES)
