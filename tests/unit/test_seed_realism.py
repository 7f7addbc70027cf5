"""The synthetic feeds beside the published tables, by statistics on one generated sample.

The sample is read back from its CSV files, the tables from the reference folder, and every rule
is written anew here. A share or a mean may differ from its source by four standard errors, with
a household or a member counted as one observation, and by the slack that stands with the test:
what the model may be off, whatever the size of the sample. Ranges without a table of ours are
those of the individual market in round figures.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from feed_sample import (
    MONTH_DAYS,
    STANDARD_ERRORS,
    Comparison,
    Flags,
    Ints,
    Sample,
    age_on,
    assert_near,
    assert_within,
    day,
    estimate,
    ratio,
    share,
    weekday,
)
from numpy.typing import NDArray

from etl.seed import generate

MEMBERS, YEARS, SEED = 40_000, 2, 20_250_101
REFERENCE = Path(__file__).parents[2] / "etl" / "seed" / "reference"

STATES = ("AZ", "FL", "MI", "NC", "OH", "OR", "TX", "WI")
# The two states with most members, and the others, too small one by one.
GROUPS = {
    "all eight": STATES,
    "FL": ("FL",),
    "TX": ("TX",),
    "other six": tuple(s for s in STATES if s not in ("FL", "TX")),
}
PLAN_YEAR = 2025  # of the open enrolment counted, and the second of the sample
FULL_YEAR = 2024  # whose claims have nearly all come by the day of the batch
REDUCED = {"06": (1000, 1500), "05": (1501, 2000), "04": (2001, 2500)}  # thousandths of the level


@cache
def reference(name: str) -> list[dict[str, str]]:
    with (REFERENCE / name).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Sample:
    inbox = tmp_path_factory.mktemp("realism") / "inbox"
    folder = generate(inbox, members=MEMBERS, years=YEARS, seed=SEED)
    try:
        return Sample(folder)
    finally:
        # The largest file of the tests, and read by now.
        (folder / "claims.csv").unlink()


# Who is insured: oep_state_2025.csv


@cache
def counts(column: str) -> dict[str, int]:
    """A column of the open-enrolment counts by state; a withheld count is too small to matter."""
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
    """The counts do not tell expanded bronze from bronze."""
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
    for column, name in (
        ("CSR_Cnsmr_94", "06"),
        ("CSR_Cnsmr_87", "05"),
        ("CSR_Cnsmr_73", "04"),
    ):
        expected = counted(group, column) / counted(group, "Cnsmr")
        yield column, variant == name.encode(), expected


def newcomers(sample: Sample, rows: Ints, group: str) -> Shares:
    new = sample.spans["enrollment_reason"][rows] == b"open_enrollment"
    yield "new", new, counted(group, "New_Cnsmr") / counted(group, "Cnsmr")


def unhelped(sample: Sample, rows: Ints, group: str) -> Shares:
    expected = 1 - counted(group, "APTC_Cnsmr") / counted(group, "Cnsmr")
    yield "without tax credit", sample.span_credit[rows] == 0, expected


# How far the model may be off, as a part of what is published.
OPEN_ENROLMENT: dict[Callable[[Sample, Ints, str], Shares], float] = {
    ages: 0.06,
    elders: 0.25,
    sexes: 0.02,
    metals: 0.05,
    reductions: 0.05,
    newcomers: 0.05,
    unhelped: 0.20,
}
STATE_SLACK, INCOME_SLACK = 0.05, 0.03
# Who shops anew at renewal may find that the plan held was the best.
SWITCH_SLACK = 0.10
# Of the average premium and credit: the rating areas of the model have one price.
PREMIUM_SLACK, CREDIT_SLACK = 0.06, 0.10


def in_states(sample: Sample, rows: Ints, states: tuple[str, ...]) -> Ints:
    return rows[np.isin(sample.span_state[rows], [s.encode() for s in states])]


def test_states_are_those_of_open_enrolment(sample):
    total = counted("all eight", "Cnsmr")
    household = sample.household[sample.span_member[sample.opened]]
    state = sample.span_state[sample.opened]
    assert_near(
        share(name, state == name.encode(), household, counts("Cnsmr")[name] / total, STATE_SLACK)
        for name in STATES
    )


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("shares", OPEN_ENROLMENT, ids=lambda f: f.__name__)
def test_members_are_those_of_open_enrolment(sample, shares, group):
    rows = in_states(sample, sample.opened, GROUPS[group])
    household = sample.household[sample.span_member[rows]]
    assert_near(
        share(name, flags, household, expected, OPEN_ENROLMENT[shares])
        for name, flags, expected in shares(sample, rows, group)
    )


@pytest.mark.parametrize("group", GROUPS)
def test_incomes_are_those_of_open_enrolment(sample, group):
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
def test_renewals_change_plans_as_at_open_enrolment(sample, group):
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


def test_premiums_and_credits_are_those_of_open_enrolment(sample):
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
def age_factors() -> NDArray[np.int64]:
    """The federal age curve in thousandths, by age up to 119."""
    factors = np.zeros(120, dtype=np.int64)
    for row in reference("age_curve_federal_default.csv"):
        if row["from_year"] == "2018":
            low, _, high = row["age"].partition("-")
            last = 119 if low.endswith("+") else int(high or low)
            factors[int(low.rstrip("+")) : last + 1] = round(1000 * float(row["factor"]))
    return factors


def test_premium_is_the_plans_at_the_members_age(sample):
    """45 CFR 147.102(e), to a cent; the age is that on the first day."""
    base = sample.plans.cents("monthly_premium")[sample.span_plan]
    exact = base * age_factors()[sample.span_age] / 1000
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

    The feed tells income in poverty levels but not how many people count for the level, so the
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
                full = benchmark * age_factors()[sample.span_age[rows]] / 1000 - due
                most = np.clip(full, 0, sample.span_premium[rows] - 100)
                matches = np.abs(credit - np.nan_to_num(most)) <= CREDIT_CENTS
                right[size] += int((matches & ~agrees).sum())
                agrees |= matches
            wrong += int((~agrees).sum())
    assert wrong == 0, f"{wrong} credits are wrong, {right} right by household size"
    assert right[1] > right[2] > 0, right


def test_cost_sharing_is_reduced_where_law_reduces_it(sample):
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


# Where they live and with whom

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
    """The city bears the name of a county that the ZIP code lies in, without its kind."""
    listed = {
        (r["ZIP"], re.sub(r" (County|city)$", "", r["COUNTYNAME"]), r["STATE"])
        for r in reference("zip_county_fips_2017.csv")
    }
    table = getattr(sample, feed)
    named = Counter(zip(*(table[n].tolist() for n in ("zip", "city", "state")), strict=True))
    wrong = sum(n for key, n in named.items() if tuple(k.decode() for k in key) not in listed)
    assert wrong == 0, f"{wrong} of {len(table)} addresses"
    assert {s.decode() for *_, s in named} == set(STATES)


# Why they see a doctor: icd10cm_frequency_meps.csv

# Where chapters of ICD-10-CM begin, in order of code.
CHAPTERS = {
    "A00": "infectious",
    "C00": "neoplasms",
    "D50": "blood",
    "E00": "endocrine",
    "F00": "mental",
    "G00": "nervous",
    "H00": "eye",
    "H60": "ear",
    "I00": "circulatory",
    "J00": "respiratory",
    "K00": "digestive",
    "L00": "skin",
    "M00": "musculoskeletal",
    "N00": "genitourinary",
    "O00": "pregnancy",
    "P00": "perinatal",
    "Q00": "congenital",
    "R00": "symptoms",
    "S00": "injury",
    "U00": "special",
    "V00": "external",
    "Z00": "factors",
}
MATERNITY = ("O", "Z33", "Z34", "Z36", "Z37", "Z39", "Z3A")
NEWBORN = ("P", "Z38")
SURVEYED_PERSONS = 34_832
# Of a surveyed frequency: the survey tells neither age nor sex, of which the model makes more.
CHAPTER_SLACK, CODE_SLACK, COMMONEST = 0.25, 0.30, 40
# A chapter's share at one end of life over that at the other.
OLD_OVER_YOUNG = {"circulatory": (5, 40), "musculoskeletal": (2, 10), "ear": (0.1, 0.7)}
# Codes whose title names an organ or a time of life that one sex alone has.
WOMENS = re.compile(
    r"\bfemale|vagin|uter[iu]|cytologic smear|\bovar[iy]|menopaus|menstru|gynecolog|vulva", re.I
)
MENS = re.compile(r"\bmale\b|prostat|testic|penis|scroti", re.I)
FERTILE_AGES = (15, 46)


@cache
def surveyed() -> dict[str, int]:
    return {
        r["code"]: int(r["count_in_34832_persons"]) for r in reference("icd10cm_frequency_meps.csv")
    }


@cache
def chapter(code: str) -> str:
    return CHAPTERS[max(start for start in CHAPTERS if start <= code)]


@cache
def chronic_codes() -> frozenset[str]:
    """Surveyed codes that HHS risk adjustment counts, but for births and injuries."""
    listed = {r["hcc"].lstrip("0").replace("_", ".") for r in reference("hhs_hcc_labels_v07.csv")}
    category = {r["icd10cm"]: r["hhs_cc"] for r in reference("hhs_hcc_icd10_to_cc_cy2022.csv")}
    passing = ("pregnancy", "perinatal", "injury")
    return frozenset(
        code
        for code in surveyed()
        if category.get(code) in listed
        and chapter(code) not in passing
        and not code.startswith(MATERNITY + NEWBORN)
    )


def bears(sample: Sample, wanted: Callable[[str], bool]) -> Flags:
    """The claims whose diagnosis code is one of those wanted."""
    return sample.claims.lookup("diagnosis_code", {c: wanted(c) for c in surveyed()})


def everyday(code: str) -> bool:
    """Neither of a chronic condition nor of birth: what the survey's frequencies are held to."""
    return code not in chronic_codes() and not code.startswith(MATERNITY + NEWBORN)


def test_diagnoses_have_the_surveyed_frequencies(sample):
    """By chapter, and the commonest codes one by one, among everyday diagnoses."""
    rows = np.flatnonzero(bears(sample, everyday))
    member = sample.claim_member[rows]
    total = sum(n for code, n in surveyed().items() if everyday(code))
    by_chapter = Counter()
    for code, n in surveyed().items():
        by_chapter[chapter(code)] += n * everyday(code) / total
    of = sample.claims.lookup("diagnosis_code", {c: chapter(c) for c in surveyed()})[rows]
    codes = sample.claims["diagnosis_code"][rows]

    def comparisons() -> Iterator[Comparison]:
        for name, expected in by_chapter.items():
            yield share(name, of == name, member, expected, CHAPTER_SLACK)
        common = sorted(filter(everyday, surveyed()), key=surveyed().get, reverse=True)
        for code in common[:COMMONEST]:
            expected = surveyed()[code] / total
            yield share(code, codes == code.encode(), member, expected, CODE_SLACK)

    assert_near(comparisons())


def test_illnesses_are_those_of_the_age(sample):
    """Of members of 55 and over beside those under 18, among everyday diagnoses."""
    rows = bears(sample, everyday)
    old, young = rows & (sample.claim_age >= 55), rows & (sample.claim_age < 18)
    for name, (low, high) in OLD_OVER_YOUNG.items():
        ill = bears(sample, lambda code, name=name: chapter(code) == name)
        assert_within(f"{name}, old over young", ill[old].mean() / ill[young].mean(), low, high)


@pytest.mark.parametrize(
    ("title", "other", "sex"),
    [(WOMENS, MENS, "M"), (MENS, WOMENS, "F")],
    ids=["women's codes", "men's codes"],
)
def test_no_member_bears_a_code_of_the_other_sex(sample, title, other, sex):
    rows = reference("icd10cm_frequency_meps.csv")
    titles = {r["code"]: r["description"] for r in rows}
    codes = {
        code
        for code, text in titles.items()
        if title.search(text) and not other.search(text) and not code.startswith(NEWBORN)
    }
    assert len(codes) > 20
    wrong = bears(sample, codes.__contains__) & (sample.claim_sex == sex.encode())
    worst = Counter(sample.claims["diagnosis_code"][wrong].tolist()).most_common(3)
    told = [(code.decode(), titles[code.decode()], n) for code, n in worst]
    assert not wrong.any(), f"{wrong.sum()} claims of members of sex {sex}: {told}"


def test_maternity_is_of_women_of_fertile_age(sample):
    births = bears(sample, lambda code: code.startswith(MATERNITY))
    births |= sample.claims["ms_drg_mdc"] == b"14"
    assert births.any()
    assert (sample.claim_sex[births] == b"F").all()
    age = sample.claim_age[births]
    low, high = FERTILE_AGES
    assert low <= age.min() <= age.max() <= high
    newborn = bears(sample, lambda code: code.startswith(NEWBORN))
    assert (sample.claim_age[newborn] == 0).all()


def test_as_many_are_chronically_ill_as_surveyed(sample):
    """Persons with a chronic code, of those covered in the year.

    The survey counts persons by code: they are at most the sum over the codes, and at least half
    of it if nobody bears more than two.
    """
    chronic = bears(sample, chronic_codes().__contains__) & (sample.claim_year == FULL_YEAR)
    ill = len(np.unique(sample.claim_member[chronic]))
    most = sum(surveyed()[code] for code in chronic_codes()) / SURVEYED_PERSONS
    assert_within("members with a chronic code", ill / len(sample.spend(FULL_YEAR)), most / 2, most)


PERSISTS = 0.70  # of those seen for diabetes who are seen for it again in the year after
OCCASIONS = 5  # claims of any kind in that year


def test_chronic_conditions_persist_and_cost(sample):
    diabetes = bears(sample, lambda code: code.startswith(("E10", "E11")))
    first, second = (sample.claim_year == year for year in (FULL_YEAR, PLAN_YEAR))
    ill = np.unique(sample.claim_member[diabetes & first])
    often = np.flatnonzero(np.bincount(sample.claim_member[second]) >= OCCASIONS)
    ill = np.intersect1d(ill, often)
    again = np.isin(ill, sample.claim_member[diabetes & second])
    assert_within("diabetics who are seen for it again", again.mean(), PERSISTS, 1)

    rows = sample.accepted & first
    spent = np.bincount(sample.claim_member[rows], sample.allowed[rows], len(sample.members))
    flagged = sample.members["mutually_exclusive_hcc_condition"] != b"None"
    times = spent[flagged].mean() / spent[~flagged].mean()
    assert_within("cost of those with a condition over that of others", times, 2.5, 7)


# Where and what for: procedures, stays

LOCAL_CODE = re.compile(r"Z\d{4}")  # HCPCS level II has no codes with this letter
# The major diagnostic categories (MDC) of stays for a chapter. Those of neoplasms, symptoms,
# injuries and congenital conditions depend on the organ and are not held.
CATEGORIES = {
    "infectious": ("18", "25"),
    "blood": ("16",),
    "endocrine": ("10",),
    "mental": ("19", "20"),
    "nervous": ("01",),
    "eye": ("02",),
    "ear": ("03",),
    "circulatory": ("05",),
    "respiratory": ("03", "04"),
    "digestive": ("03", "06", "07"),
    "skin": ("09",),
    "musculoskeletal": ("08",),
    "genitourinary": ("11", "12", "13"),
    "pregnancy": ("14",),
    "perinatal": ("15",),
    "special": ("04", "18"),
    "factors": ("14", "15", "23"),
}
BEFORE_ANY_CATEGORY = 0.005  # share of stays, such as transplants, which any diagnosis can have
CESAREAN = (0.25, 0.40)  # of deliveries; a third in the United States
SECOND_STAY, SECOND_STAY_DAYS = (0.08, 0.20), 30


def test_procedures_are_hcpcs_level_two_or_local(sample):
    listed = {r["code"] for r in reference("hcpcs_level2_2019.csv")}
    codes = {c.decode() for c in np.unique(sample.claims["procedure_code"])}
    assert not any(LOCAL_CODE.fullmatch(code) for code in listed)
    strange = {c for c in codes - listed if not LOCAL_CODE.fullmatch(c)}
    assert not strange
    assert len(codes & listed) > 100
    assert len(codes - listed) > 100


def test_drg_agrees_with_itself_and_with_the_diagnosis(sample):
    claims, stays = sample.claims, sample.stays
    listed = {r["code"]: r["mdc"] or "PRE" for r in reference("ms_drg.csv")}
    drgs = [v.decode() for v in claims["ms_drg"][stays].tolist()]
    categories = [v.decode() for v in claims["ms_drg_mdc"][stays].tolist()]
    assert categories == [listed[drg] for drg in drgs]
    of = [chapter(c.decode()) for c in claims["diagnosis_code"][stays].tolist()]
    pairs = Counter(zip(of, categories, strict=True))
    wrong = {p: n for p, n in pairs.items() if p[1] not in (*CATEGORIES.get(p[0], p[1:]), "PRE")}
    assert not wrong
    before = sum(n for (_, mdc), n in pairs.items() if mdc == "PRE")
    assert_within("stays before any category", before / len(stays), 0, BEFORE_ANY_CATEGORY)


def test_deliveries_are_of_women_and_a_third_cesarean(sample):
    births = {
        kind: [r["code"] for r in reference("ms_drg.csv") if kind in r["description"]]
        for kind in ("CESAREAN", "VAGINAL DELIVERY")
    }
    cesarean, vaginal = (sample.claims.is_one_of("ms_drg", *codes) for codes in births.values())
    assert (sample.claim_sex[cesarean | vaginal] == b"F").all()
    part = cesarean.sum() / (cesarean | vaginal).sum()
    assert_within("cesarean sections", part, *CESAREAN)


def test_some_stays_are_readmissions(sample):
    rows = sample.stays[
        np.lexsort((sample.service[sample.stays], sample.claim_member[sample.stays]))
    ]
    member = sample.claim_member[rows]
    since = (sample.service[rows[1:]] - sample.service_end[rows[:-1]]).astype(np.int64)
    same = member[1:] == member[:-1]
    again = same & (since >= 0) & (since <= SECOND_STAY_DAYS)
    assert_within("stays within 30 days of another", again.sum() / len(rows), *SECOND_STAY)
    at_once = same & (since < 0)
    assert not at_once.any(), f"{at_once.sum()} stays begin before the one before has ended"


COLD_MONTHS = (12, 1, 2, 3)
COLD_OVER_WARM = (1.5, 3.0)
WEEKEND = {"Professional": (0.02, 0.12), "Pharmacy": (0.12, 0.26), "Inpatient": (0.15, 0.28)}
SUNDAY_OFFICE = 0.04


def test_respiratory_illness_is_of_the_cold_months(sample):
    """Among everyday diagnoses: asthma keeps to no season."""
    rows = bears(sample, everyday)
    cold = np.isin(sample.service_month, COLD_MONTHS)
    ill = bears(sample, lambda code: chapter(code) == "respiratory")
    times = ill[rows & cold].mean() / ill[rows & ~cold].mean()
    assert_within("respiratory share in the cold months over the others", times, *COLD_OVER_WARM)
    skin = bears(sample, lambda code: chapter(code) == "skin")
    times = skin[rows & cold].mean() / skin[rows & ~cold].mean()
    assert_within("the same of the skin", times, 0.8, 1.1)


def test_weekends_are_for_emergencies(sample):
    on = weekday(sample.service)
    for kind, (low, high) in WEEKEND.items():
        rows = sample.claims["claim_type"] == kind.encode()
        assert_within(f"{kind} on a weekend", (on[rows] > 4).mean(), low, high)
    office = sample.claims["claim_type"] == b"Professional"
    assert_within("Professional on a Sunday", (on[office] == 6).mean(), 0, SUNDAY_OFFICE)


# What it costs and who pays

TOP_FIVE, TOP_ONE = (0.45, 0.58), (0.18, 0.32)
NOTHING_SPENT = (0.04, 0.25)
MOST_SPENT = 500_000_000  # cents a year: five million dollars
MILLIONAIRES = 1e-4  # of members with more than a million dollars in a year
VALUE_SLACK, LEAST_SPANS = 0.08, 800
LOSS_RATIO = (0.70, 0.90)
ALLOWED_A_MONTH = (450, 750)  # dollars a member, in 2024
SHARE_OF_SPEND = {
    "Inpatient": (0.20, 0.42),
    "Outpatient": (0.20, 0.38),
    "Professional": (0.15, 0.35),
    "Pharmacy": (0.10, 0.30),
}
# Limits on cost sharing for self-only coverage, dollars (45 CFR 156.130(a), annual notices), and
# what is left of them in the reduced variants, rounded down to $50 (45 CFR 156.420(a)).
OUT_OF_POCKET = {2024: 9_450, 2025: 9_200}
REDUCED_LIMIT = {"04": (4, 5), "05": (1, 3), "06": (1, 3)}
BILLED_OVER_ALLOWED = (1.6, 3.0)


def test_spending_is_as_skewed_as_in_life(sample):
    spent = sample.spend(FULL_YEAR)
    size, total = len(spent), spent.sum()
    assert_within("spend of the top 5 %", spent[-(size // 20) :].sum() / total, *TOP_FIVE)
    assert_within("spend of the top 1 %", spent[-(size // 100) :].sum() / total, *TOP_ONE)
    assert_within("covered and without any spend", (spent == 0).mean(), *NOTHING_SPENT)
    assert_within("most that one member costs, cents", spent[-1], 10_000_000, MOST_SPENT)
    assert_within("members over a million", (spent > 100_000_000).mean(), 0, MILLIONAIRES)


def test_spending_rises_with_age(sample):
    rows = sample.accepted & (sample.claim_year == FULL_YEAR)
    spent = np.bincount(sample.claim_member[rows], sample.allowed[rows], len(sample.members))
    age = age_on(sample.members.days("dob"), np.full(len(sample.members), day(FULL_YEAR, 7)))
    means = [
        spent[(low <= age) & (age < high)].mean() for low, high in pairwise((3, 18, 35, 50, 65))
    ]
    assert means == sorted(means), means
    assert_within("cost at 50 to 64 over that of children", means[-1] / means[0], 2.5, 8)


def level_of(metal: str, variant: str) -> str:
    """The row of metal_actuarial_value.csv; expanded bronze counts as bronze."""
    kind = f"csr -{variant}"
    rows = reference("metal_actuarial_value.csv")
    reduced = [r["level"] for r in rows if r["kind"] == kind]
    return reduced[0] if reduced else metal.removeprefix("Expanded ")


@pytest.mark.parametrize(
    ("metal", "variant"),
    [
        ("Bronze", "01"),
        ("Expanded Bronze", "01"),
        ("Silver", "01"),
        ("Gold", "01"),
        *(("Silver", variant) for variant in REDUCED),
    ],
)
def test_plans_pay_their_actuarial_value(sample, metal, variant):
    """The plan's share of what approved claims of both years were allowed."""
    value = {
        r["level"]: float(r["actuarial_value"]) for r in reference("metal_actuarial_value.csv")
    }
    expected = value[level_of(metal, variant)]
    of_spans = (sample.span_metal == metal.encode()) & (
        sample.spans["csr_variant"] == variant.encode()
    )
    assert of_spans.sum() >= LEAST_SPANS
    rows = of_spans[sample.claim_span] & (sample.claims["status"] == b"approved")
    found = ratio(sample.paid[rows], sample.allowed[rows], sample.claim_member[rows])
    assert_near([Comparison("share of the plan", found, expected, VALUE_SLACK)])


def test_nobody_bears_more_than_the_out_of_pocket_maximum(sample):
    """Over a span of coverage: who comes back begins anew. An adjustment changes no share."""
    borne = np.bincount(sample.claim_span, sample.member_share, len(sample.spans))
    most = sample.plans.cents("oop_max")[sample.span_plan]
    assert (borne <= most).all(), f"{(borne > most).sum()} spans"
    assert (borne == most).any(), "no one has reached it"
    for year, limit in OUT_OF_POCKET.items():
        assert (most[sample.span_year == year] <= 100 * limit).all()
        for variant, (part, whole) in REDUCED_LIMIT.items():
            rows = (sample.spans["csr_variant"] == variant.encode()) & (sample.span_year == year)
            reduced = limit * part // whole // 50 * 50
            found = borne[rows].max() / 100
            assert found <= reduced, f"{variant} in {year}: {found} borne, {reduced} allowed"


def test_some_services_cost_the_member_nothing(sample):
    """Cost sharing of variant 02 (45 CFR 156.420(b)) and of prevention (45 CFR 147.130)."""
    free = sample.spans["csr_variant"][sample.claim_span] == b"02"
    preventive = sample.claims["procedure_level_3"] == b"Preventive visit"
    for name, rows in (("variant 02", free), ("preventive visits", preventive)):
        rows = rows & sample.accepted
        assert sample.allowed[rows].sum() > 0, name
        assert not sample.member_share[rows].any(), name
    visits = (sample.claims["procedure_level_3"] == b"Office visit") & sample.accepted & ~free
    assert_within("office visits with a share", (sample.member_share[visits] > 0).mean(), 0.6, 1)


def test_premiums_pay_the_claims(sample):
    """Of the full year: paid over premiums with credit; allowed a member and month, and of what."""
    spans = sample.span_year == FULL_YEAR
    premiums = (sample.span_premium[spans] * sample.span_days[spans]).sum() / MONTH_DAYS
    rows = sample.accepted & (sample.claim_year == FULL_YEAR)
    assert_within("loss ratio", sample.paid[rows].sum() / premiums, *LOSS_RATIO)
    allowed = sample.allowed[rows].sum()
    a_month = allowed / 100 / sample.months(FULL_YEAR)
    assert_within("allowed a member and month, dollars", a_month, *ALLOWED_A_MONTH)
    for kind, (low, high) in SHARE_OF_SPEND.items():
        of_kind = rows & (sample.claims["claim_type"] == kind.encode())
        part = sample.allowed[of_kind].sum() / allowed
        assert_within(f"share of {kind} in what is allowed", part, low, high)
    billed = sample.claims.cents("claim_amount")[rows].sum()
    assert_within("billed over allowed", billed / allowed, *BILLED_OVER_ALLOWED)


# How a claim lives

MEDIAN_LAG, LATEST_TWENTIETH = (20, 45), (45, 90)  # days from the end of service to payment
OVER_A_YEAR = (0.0005, 0.0016)  # one in a thousand, of about 70,000 claims
# Of claims of the first year, all but a few of which are decided. Insurers on HealthCare.gov
# denied 19 % of the in-network claims of 2023 (transparency data, 45 CFR 156.220).
DENIED, DENIED_AT_PHARMACY = (0.16, 0.22), (0.05, 0.12)
# The others, as shares of those not denied.
STATUS_SHARES = {
    "approved": (0.94, 0.98),
    "adjusted": (0.018, 0.035),
    "reversed": (0.005, 0.015),
    "pending": (0.0, 0.001),
}
PENDING = (0.015, 0.045)  # of all claims of both years; none of the pharmacy


def test_claims_are_paid_with_a_realistic_lag(sample):
    claims = sample.claims
    lag = (claims.days("paid_date") - sample.service_end).astype(np.int64)
    approved, dispensed = claims["status"] == b"approved", claims["claim_type"] == b"Pharmacy"
    assert (lag[approved & dispensed] == 0).all()
    median, high = np.percentile(lag[approved & ~dispensed], (50, 95))
    assert_within("median lag", median, *MEDIAN_LAG)
    assert_within("95th percentile of the lag", high, *LATEST_TWENTIETH)
    assert (lag[approved & ~dispensed] > 0).all()


def test_one_claim_in_a_thousand_is_more_than_a_year_late(sample):
    """Decided so long after the service, of claims served 18 months before the batch or more."""
    rows = (sample.claims["claim_type"] != b"Pharmacy") & (sample.service < day(FULL_YEAR, 6))
    decided = sample.claims.days("clean_claim_out")
    late = (decided - sample.service_end).astype(np.int64)[rows & ~np.isnat(decided)] > 365
    assert len(late) > 50_000
    assert_within("claims over a year late", late.mean(), *OVER_A_YEAR)


def test_claims_meet_their_fates(sample):
    status, rows = sample.claims["status"], sample.claim_year == FULL_YEAR
    assert {s.decode() for s in np.unique(status)} == {"denied", *STATUS_SHARES}
    denied, dispensed = status == b"denied", sample.claims["claim_type"] == b"Pharmacy"
    assert_within("denied", denied[rows & ~dispensed].mean(), *DENIED)
    assert_within("denied at the pharmacy", denied[rows & dispensed].mean(), *DENIED_AT_PHARMACY)
    for name, (low, high) in STATUS_SHARES.items():
        assert_within(name, (status[rows & ~denied] == name.encode()).mean(), low, high)
    assert_within("pending, both years", (status == b"pending").mean(), *PENDING)
    assert not (status[dispensed] == b"pending").any()


def test_nothing_is_paid_on_a_weekend_but_at_the_pharmacy(sample):
    paid = sample.claims.days("paid_date")
    weekend = ~np.isnat(paid) & (weekday(paid) > 4)
    office = weekend & (sample.claims["claim_type"] != b"Pharmacy")
    by_status = dict(Counter(sample.claims["status"][office].tolist()))
    assert not office.any(), f"{office.sum()} claims: {by_status}"
    assert (weekend & (sample.claims["claim_type"] == b"Pharmacy")).any()


# Who treats them

PRIMARY_CARE = ("Family Medicine", "Internal Medicine", "Pediatrics")
PRIMARY_SHARE = (0.33, 0.50)  # of clinicians and facilities


def test_npis_are_well_formed(sample):
    """Ten digits with a Luhn check digit over 80840 and the others, and no two alike."""
    npi = sample.providers["npi"]
    assert len(np.unique(npi)) == len(npi)
    assert all(re.fullmatch(rb"[12]\d{9}", n) for n in npi.tolist())
    digits = np.array([[*map(int, f"80840{n.decode()}")] for n in npi.tolist()])[:, ::-1]
    digits[:, 1::2] *= 2
    assert ((digits // 10 + digits % 10).sum(axis=1) % 10 == 0).all()


def test_every_state_has_every_specialty(sample):
    pairs = Counter(
        zip(*(sample.providers[n].tolist() for n in ("state", "specialty")), strict=True)
    )
    specialties = {specialty for _, specialty in pairs}
    assert b"Hospital" in specialties
    missing = {(s, p) for s in STATES for p in specialties if not pairs[s.encode(), p]}
    assert not missing
    primary = sample.providers.is_one_of("specialty", *PRIMARY_CARE).mean()
    assert_within("primary care", primary, *PRIMARY_SHARE)
    assert_within("hospitals", (sample.providers["specialty"] == b"Hospital").mean(), 0.01, 0.06)


def test_claims_come_from_who_treats_such_patients(sample):
    seen, kind = sample.claim_specialty, sample.claims["claim_type"]
    assert (seen[kind == b"Inpatient"] == b"Hospital").all()
    assert (seen[kind == b"Pharmacy"] == b"Pharmacy").all()
    assert (sample.claim_age[seen == b"Pediatrics"] < 21).all()
    women = seen == b"Obstetrics and Gynecology"
    men = (sample.claim_sex[women] == b"M").mean()
    assert men == 0, f"{men:.0%} of the patients of obstetricians and gynecologists are men"
