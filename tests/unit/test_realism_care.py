"""Diagnoses, procedures, stays, seasons and providers of the synthetic feeds.

Tolerances are as in ``test_realism_members``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest

from tests.support.feed_sample import (
    FULL_YEAR,
    PLAN_YEAR,
    STATES,
    Comparison,
    Flags,
    Sample,
    assert_near,
    assert_within,
    reference,
    share,
    weekday,
)

# Diagnoses: icd10cm_frequency_meps.csv

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
# Of a surveyed frequency: the survey gives neither age nor sex, on which the model depends more.
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


def has_code(sample: Sample, wanted: Callable[[str], bool]) -> Flags:
    """The claims whose diagnosis code is one of those wanted."""
    return sample.claims.lookup("diagnosis_code", {c: wanted(c) for c in surveyed()})


def everyday(code: str) -> bool:
    """Neither of a chronic condition nor of birth: compared with the survey's frequencies."""
    return code not in chronic_codes() and not code.startswith(MATERNITY + NEWBORN)


@pytest.mark.slow
def test_diagnoses_have_the_surveyed_frequencies(sample):
    """By chapter, and the commonest codes one by one, among everyday diagnoses."""
    rows = np.flatnonzero(has_code(sample, everyday))
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


@pytest.mark.slow
def test_illnesses_are_those_of_the_age(sample):
    """Members of 55 and over against those under 18, among everyday diagnoses."""
    rows = has_code(sample, everyday)
    old, young = rows & (sample.claim_age >= 55), rows & (sample.claim_age < 18)
    for name, (low, high) in OLD_OVER_YOUNG.items():
        ill = has_code(sample, lambda code, name=name: chapter(code) == name)
        assert_within(f"{name}, old over young", ill[old].mean() / ill[young].mean(), low, high)


@pytest.mark.parametrize(
    ("title", "other", "sex"),
    [(WOMENS, MENS, "M"), (MENS, WOMENS, "F")],
    ids=["women's codes", "men's codes"],
)
def test_no_member_has_a_code_of_the_other_sex(sample, title, other, sex):
    rows = reference("icd10cm_frequency_meps.csv")
    titles = {r["code"]: r["description"] for r in rows}
    codes = {
        code
        for code, text in titles.items()
        if title.search(text) and not other.search(text) and not code.startswith(NEWBORN)
    }
    assert len(codes) > 20
    wrong = has_code(sample, codes.__contains__) & (sample.claim_sex == sex.encode())
    worst = Counter(sample.claims["diagnosis_code"][wrong].tolist()).most_common(3)
    named = [(code.decode(), titles[code.decode()], n) for code, n in worst]
    assert not wrong.any(), f"{wrong.sum()} claims of members of sex {sex}: {named}"


def test_maternity_is_of_women_of_fertile_age(sample):
    births = has_code(sample, lambda code: code.startswith(MATERNITY))
    births |= sample.claims["ms_drg_mdc"] == b"14"
    assert births.any()
    assert (sample.claim_sex[births] == b"F").all()
    age = sample.claim_age[births]
    low, high = FERTILE_AGES
    assert low <= age.min() <= age.max() <= high
    newborn = has_code(sample, lambda code: code.startswith(NEWBORN))
    assert (sample.claim_age[newborn] == 0).all()


def test_as_many_are_chronically_ill_as_surveyed(sample):
    """Persons with a chronic code, of those covered in the year.

    The survey counts persons by code: they are at most the sum over the codes, and at least half
    of it if nobody has_code more than two.
    """
    chronic = has_code(sample, chronic_codes().__contains__) & (sample.claim_year == FULL_YEAR)
    ill = len(np.unique(sample.claim_member[chronic]))
    most = sum(surveyed()[code] for code in chronic_codes()) / SURVEYED_PERSONS
    assert_within("members with a chronic code", ill / len(sample.spend(FULL_YEAR)), most / 2, most)


PERSISTS = 0.70  # of those seen for diabetes who are seen for it again in the year after
OCCASIONS = 5  # claims of any kind in that year


def test_chronic_conditions_persist_and_cost(sample):
    diabetes = has_code(sample, lambda code: code.startswith(("E10", "E11")))
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


# Procedures and stays

LOCAL_CODE = re.compile(r"Z\d{4}")  # HCPCS level II has no codes with this letter
# The major diagnostic categories (MDC) of stays for a chapter. Those of neoplasms, symptoms,
# injuries and congenital conditions depend on the organ and are not compared.
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


# Stays that another claim goes on with: interim bills and transfers.
CONTINUED = (0.01, 0.05)


def test_some_stays_are_readmissions_and_some_go_on(sample):
    rows = sample.stays[
        np.lexsort((sample.service[sample.stays], sample.claim_member[sample.stays]))
    ]
    member = sample.claim_member[rows]
    since = (sample.service[rows[1:]] - sample.service_end[rows[:-1]]).astype(np.int64)
    same = member[1:] == member[:-1]
    again = same & (since > 0) & (since <= SECOND_STAY_DAYS)
    assert_within("stays within 30 days of another", again.sum() / len(rows), *SECOND_STAY)
    goes_on = same & (since <= 0)
    assert_within("stays that go on in another claim", goes_on.sum() / len(rows), *CONTINUED)
    assert (since[goes_on] >= -1).all()  # a transfer may begin the day before


COLD_MONTHS = (12, 1, 2, 3)
COLD_OVER_WARM = (1.5, 3.0)
WEEKEND = {"Professional": (0.02, 0.12), "Pharmacy": (0.12, 0.26), "Inpatient": (0.15, 0.28)}
SUNDAY_OFFICE = 0.04


def test_respiratory_illness_is_of_the_cold_months(sample):
    """Among everyday diagnoses: asthma keeps to no season."""
    rows = has_code(sample, everyday)
    cold = np.isin(sample.service_month, COLD_MONTHS)
    ill = has_code(sample, lambda code: chapter(code) == "respiratory")
    times = ill[rows & cold].mean() / ill[rows & ~cold].mean()
    assert_within("respiratory share in the cold months over the others", times, *COLD_OVER_WARM)
    skin = has_code(sample, lambda code: chapter(code) == "skin")
    times = skin[rows & cold].mean() / skin[rows & ~cold].mean()
    assert_within("the same of the skin", times, 0.8, 1.1)


def test_weekends_are_for_emergencies(sample):
    on = weekday(sample.service)
    for kind, (low, high) in WEEKEND.items():
        rows = sample.claims["claim_type"] == kind.encode()
        assert_within(f"{kind} on a weekend", (on[rows] > 4).mean(), low, high)
    office = sample.claims["claim_type"] == b"Professional"
    assert_within("Professional on a Sunday", (on[office] == 6).mean(), 0, SUNDAY_OFFICE)


# Providers

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
