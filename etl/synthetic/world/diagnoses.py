"""Diagnoses and chronic conditions as lookup tables that claims and members point into.

Diagnoses are drawn by how many surveyed persons bear them, among those that sex, age and season
allow. The survey has neither sex nor age: which chapters go with which is a rule of ours,
below. The chapter and the three-character category replace the CCSR category.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.reference import read
from etl.synthetic.core.rng import Ints, WeightedBy


class Chapter(IntEnum):
    """Chapters of ICD-10-CM, in order; the eye and the ear share a first letter."""

    INFECTIOUS = 0
    NEOPLASMS = 1
    BLOOD = 2
    ENDOCRINE = 3
    MENTAL = 4
    NERVOUS = 5
    EYE = 6
    EAR = 7
    CIRCULATORY = 8
    RESPIRATORY = 9
    DIGESTIVE = 10
    SKIN = 11
    MUSCULOSKELETAL = 12
    GENITOURINARY = 13
    PREGNANCY = 14
    PERINATAL = 15
    CONGENITAL = 16
    SYMPTOMS = 17
    INJURY = 18
    SPECIAL = 19
    EXTERNAL = 20
    FACTORS = 21


# Where a chapter's codes begin, and its title.
_CHAPTERS = (
    ("A00", "Infectious and parasitic diseases"),
    ("C00", "Neoplasms"),
    ("D50", "Blood and immune mechanism"),
    ("E00", "Endocrine, nutritional and metabolic"),
    ("F00", "Mental and behavioural"),
    ("G00", "Nervous system"),
    ("H00", "Eye and adnexa"),
    ("H60", "Ear and mastoid process"),
    ("I00", "Circulatory system"),
    ("J00", "Respiratory system"),
    ("K00", "Digestive system"),
    ("L00", "Skin and subcutaneous tissue"),
    ("M00", "Musculoskeletal system"),
    ("N00", "Genitourinary system"),
    ("O00", "Pregnancy and childbirth"),
    ("P00", "Perinatal conditions"),
    ("Q00", "Congenital malformations"),
    ("R00", "Symptoms and findings"),
    ("S00", "Injury and poisoning"),
    ("U00", "Codes for special purposes"),
    ("V00", "External causes"),
    ("Z00", "Factors influencing health status"),
)

# How often a chapter's codes are borne by children, by adults under 45 and by older ones,
# relative to one another.
_AGES = {
    Chapter.INFECTIOUS: (15, 10, 8),
    Chapter.NEOPLASMS: (2, 6, 16),
    Chapter.BLOOD: (6, 8, 12),
    Chapter.ENDOCRINE: (1, 6, 16),
    Chapter.MENTAL: (9, 14, 8),
    Chapter.NERVOUS: (4, 8, 13),
    Chapter.EYE: (7, 7, 13),
    Chapter.EAR: (20, 7, 8),
    Chapter.CIRCULATORY: (1, 4, 17),
    Chapter.RESPIRATORY: (18, 9, 9),
    Chapter.DIGESTIVE: (6, 9, 12),
    Chapter.SKIN: (13, 10, 9),
    Chapter.MUSCULOSKELETAL: (3, 9, 13),
    Chapter.GENITOURINARY: (3, 9, 12),
    Chapter.PERINATAL: (20, 0, 0),
    Chapter.CONGENITAL: (20, 6, 5),
    Chapter.SYMPTOMS: (12, 10, 10),
    Chapter.INJURY: (13, 11, 9),
    Chapter.SPECIAL: (8, 11, 10),
    Chapter.EXTERNAL: (12, 11, 8),
    Chapter.FACTORS: (16, 9, 9),
}
# How often a chapter's codes are the reason for a stay in hospital, per cent of how often they are
# the reason for other care; 100 for those not named.
_OF_STAYS = {
    Chapter.INFECTIOUS: 250, Chapter.NEOPLASMS: 250, Chapter.ENDOCRINE: 25, Chapter.EYE: 2,
    Chapter.EAR: 5, Chapter.CIRCULATORY: 90, Chapter.RESPIRATORY: 120, Chapter.DIGESTIVE: 250,
    Chapter.SKIN: 40, Chapter.MUSCULOSKELETAL: 70, Chapter.GENITOURINARY: 130,
    Chapter.SYMPTOMS: 60, Chapter.INJURY: 250, Chapter.FACTORS: 8,
}  # fmt: skip
# The share of claims of each age group, by which the surveyed frequencies come out over all.
_CLAIMS_BY_AGE = (8, 32, 60)
CHILD, ADULT, OLDER = range(3)
# The season of each month from January on, and how often respiratory diagnoses and COVID are made
# in each season, per cent of the year's average.
_SEASON = np.array((0, 0, 1, 1, 2, 2, 2, 2, 1, 1, 1, 0))
_RESPIRATORY = (165, 102, 50)

# Codes that only one sex bears, by category and by what their title says (the sex conflicts of
# CMS's Medicare Code Editor, in outline).
_WOMEN_ONLY = (("C51", "C58"), ("D25", "D28"), ("N70", "N98"))
_MEN_ONLY = (("C60", "C63"), ("D40", "D40"), ("N40", "N53"))
_WOMENS_WORDS = re.compile(
    r"\bfemale|vagin|uter[iu]|cytologic smear|\bovar[iy]|menopaus|menstru|gynecolog|vulva", re.I
)
_MENS_WORDS = re.compile(r"\bmale\b|prostat|testic|penis|scroti", re.I)
# Children bear none of these chapters' chronic conditions.
_GROWN_CONDITIONS = (Chapter.NEOPLASMS, Chapter.CIRCULATORY, Chapter.MUSCULOSKELETAL)

# Codes of pregnancy and delivery, inside chapter O and out of it: borne by the pregnant only.
_MATERNITY = ("O", "Z33", "Z34", "Z36", "Z37", "Z39", "Z3A")
_NEWBORN = ("P", "Z38")  # of those born within the year


@dataclass(frozen=True, slots=True)
class Conditions:
    """Chronic conditions: a diagnosis (position in ``diagnoses().code``) and its HCC label.

    ``cost``: the condition's coefficient in the HHS risk adjustment model for adults in silver,
    in thousandths of the average enrollee's cost. ``weighted`` draws by list number twice
    (under 18) plus female.
    """

    diagnosis: Ints
    label: tuple[str, ...]
    cost: Ints
    weighted: WeightedBy


@dataclass(frozen=True, slots=True)
class Diagnoses:
    """ICD-10-CM codes with chapter and category, weighted by surveyed frequency.

    ``chapter`` is a position in ``chapters``. ``weighted`` draws by group, see ``group``;
    ``maternity`` and ``newborn`` are lists of codes apart, numbered 0 and 1 in ``special``.
    """

    code: tuple[str, ...]
    chapter: Ints
    chapters: tuple[str, ...]
    category: tuple[str, ...]
    weighted: WeightedBy
    special: WeightedBy


@dataclass(frozen=True, slots=True)
class _Surveyed:
    """A surveyed code. ``category``: of HHS risk adjustment, if it is a chronic condition."""

    code: str
    title: str
    persons: int
    chapter: Chapter
    womens: bool
    mens: bool
    category: str | None

    def borne_by(self, *, female: bool) -> bool:
        """Whether that sex can bear it."""
        return not (self.mens if female else self.womens)


@cache
def _surveyed() -> tuple[_Surveyed, ...]:
    labels = {_category(r["hcc"]) for r in read("hhs_hcc_labels_v07.csv")}
    categories = {r["icd10cm"]: r["hhs_cc"] for r in read("hhs_hcc_icd10_to_cc_cy2022.csv")}
    found = []
    for row in read("icd10cm_frequency_meps.csv"):
        code, title = row["code"], row["description"]
        chapter = Chapter(max(n for n, (start, _) in enumerate(_CHAPTERS) if code >= start))
        category = categories.get(code)
        # Births pass, and an injury heals.
        passing = code.startswith(_MATERNITY + _NEWBORN) or chapter == Chapter.INJURY
        found.append(
            _Surveyed(
                code,
                title,
                int(row["count_in_34832_persons"]),
                chapter,
                _within(code, _WOMEN_ONLY) or bool(_WOMENS_WORDS.search(title)),
                _within(code, _MEN_ONLY) or bool(_MENS_WORDS.search(title)),
                category if category in labels and not passing else None,
            )
        )
    return tuple(found)


def _within(code: str, ranges: tuple[tuple[str, str], ...]) -> bool:
    return any(low <= code[:3] <= high for low, high in ranges)


def diagnosis_group(stay: NDArray, female: NDArray, age: Ints, month: Ints) -> Ints:
    """The list of ``diagnoses().weighted``: for stays or not, by sex, age and calendar month."""
    ages = 3 * stay + np.searchsorted((18, 45), age, side="right")
    return (ages * 2 + female) * len(_RESPIRATORY) + _SEASON[month - 1]


def _weight(row: _Surveyed, stay: bool, ages: int, female: bool, season: int) -> int:
    """How often a code is drawn; those of chronic conditions are for who bears one."""
    apart = row.category is not None or row.code.startswith(_MATERNITY + _NEWBORN)
    if apart or not row.borne_by(female=female):
        return 0
    factors = _AGES[row.chapter]
    usual = sum(f * s for f, s in zip(factors, _CLAIMS_BY_AGE, strict=True))
    weight = 100 * row.persons * factors[ages] * sum(_CLAIMS_BY_AGE) // usual
    if row.womens or row.mens:
        weight *= 2
    if stay:
        weight = weight * _OF_STAYS.get(row.chapter, 100) // 100
    seasonal = row.chapter in (Chapter.RESPIRATORY, Chapter.SPECIAL)
    return weight * _RESPIRATORY[season] // 100 if seasonal else weight


@cache
def diagnoses() -> Diagnoses:
    """The surveyed diagnoses."""
    rows = _surveyed()
    # The commonest code of a category lends the category its title.
    title: dict[str, str] = {}
    for row in sorted(rows, key=lambda r: -r.persons):
        title.setdefault(row.code[:3], row.title)
    groups = [
        [_weight(row, stay, ages, female, season) for row in rows]
        for stay in (False, True)
        for ages in (CHILD, ADULT, OLDER)
        for female in (False, True)
        for season in range(len(_RESPIRATORY))
    ]
    special = [
        [row.persons * row.code.startswith(which) for row in rows]
        for which in (_MATERNITY, _NEWBORN)
    ]
    return Diagnoses(
        tuple(row.code for row in rows),
        np.array([row.chapter for row in rows]),
        tuple(name for _, name in _CHAPTERS),
        tuple(title[row.code[:3]] for row in rows),
        WeightedBy(groups),
        WeightedBy(special),
    )


@cache
def conditions() -> Conditions:
    """The surveyed diagnoses that HHS risk adjustment counts, maternity and newborns apart."""
    labels = {_category(r["hcc"]): r["label"] for r in read("hhs_hcc_labels_v07.csv")}
    cost = _hcc_costs()
    listed = [(at, row) for at, row in enumerate(_surveyed()) if row.category is not None]

    def weight(row: _Surveyed, child: bool, female: bool) -> int:
        grown = row.chapter in _GROWN_CONDITIONS or row.code.startswith(("E11", "J44"))
        borne = row.borne_by(female=female) and not (child and grown)
        return row.persons if borne else 0

    lists = [
        [weight(row, child, female) for _, row in listed]
        for child in (False, True)
        for female in (False, True)
    ]
    return Conditions(
        np.array([at for at, _ in listed]),
        tuple(labels[row.category] for _, row in listed if row.category),
        np.array([cost[row.category] for _, row in listed if row.category]),
        WeightedBy(lists),
    )


def _category(label: str) -> str:
    """A category as the mapping of diagnoses writes it: ``161_2`` is 161.2, ``021`` is 21."""
    return label.lstrip("0").replace("_", ".")


# Categories that the model counts as one group, whose coefficient is that of the group.
_HCC_GROUPS = {
    "G01": ("19", "20", "21"),
    "G02B": ("26", "27"),
    "G04": ("61", "62"),
    "G06A": ("67", "68", "69"),
    "G07A": ("70", "71"),
    "G08": ("73", "74"),
    "G09A": ("81", "82"),
    "G09C": ("83", "84"),
    "G10": ("106", "107"),
    "G11": ("108", "109"),
    "G12": ("117", "119"),
    "G13": ("126", "127"),
    "G14": ("128", "129"),
    "G15A": ("160", "161.1", "161.2"),
    "G16": ("187", "188"),
    "G17A": ("204", "205"),
    "G18A": ("207", "208"),
    "G21": ("137", "138", "139"),
}


def _hcc_costs() -> dict[str, int]:
    """Coefficients by condition category, in thousandths; those of grouped ones are the group's."""
    rows = read("hhs_hcc_coefficients_cy2022.csv")
    silver = {
        r["Variable"]: round(1000 * float(r["Silver Level"])) for r in rows if r["Model"] == "Adult"
    }
    cost = {
        _category(name.removeprefix("HHS_HCC")): value
        for name, value in silver.items()
        if name.startswith("HHS_HCC")
    }
    return cost | {c: silver[group] for group, members in _HCC_GROUPS.items() for c in members}
