"""Procedures, DRGs and drugs as lookup tables that claims point into.

Procedures are HCPCS level II codes with CMS's descriptions, or local codes that are invented
here (``Z`` and four digits, which HCPCS does not use); no CPT. Drugs are invented, name and all.
How often a DRG or a procedure occurs and what it costs, compared with others, is a rule of ours,
below.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from etl.synthetic.core.reference import read
from etl.synthetic.core.rng import Ints, WeightedBy
from etl.synthetic.world.diagnoses import Chapter

PROFESSIONAL, OUTPATIENT, INPATIENT, PHARMACY = range(4)
CLAIM_TYPES = ("Professional", "Outpatient", "Inpatient", "Pharmacy")
SERVICES = ("Physician services", "Hospital outpatient", "Hospital inpatient", "Prescription drugs")

_MDC = (
    *("Pre-MDC", "Nervous system", "Eye", "Ear, nose, mouth and throat", "Respiratory system"),
    *("Circulatory system", "Digestive system", "Hepatobiliary system and pancreas"),
    *("Musculoskeletal system", "Skin, subcutaneous tissue and breast"),
    *("Endocrine, nutritional and metabolic", "Kidney and urinary tract"),
    *("Male reproductive system", "Female reproductive system"),
    *("Pregnancy, childbirth and puerperium", "Newborns", "Blood and immunological disorders"),
    *("Myeloproliferative diseases", "Infectious and parasitic diseases", "Mental diseases"),
    *("Alcohol and drug use", "Injuries, poisonings and toxic effects", "Burns"),
    *("Factors influencing health status", "Multiple significant trauma", "HIV infections"),
)

# The major diagnostic category of an inpatient stay for a diagnosis of each chapter.
_MDC_OF = {
    Chapter.INFECTIOUS: 18,
    Chapter.NEOPLASMS: 17,
    Chapter.BLOOD: 16,
    Chapter.ENDOCRINE: 10,
    Chapter.MENTAL: 19,
    Chapter.NERVOUS: 1,
    Chapter.EYE: 2,
    Chapter.EAR: 3,
    Chapter.CIRCULATORY: 5,
    Chapter.RESPIRATORY: 4,
    Chapter.DIGESTIVE: 6,
    Chapter.SKIN: 9,
    Chapter.MUSCULOSKELETAL: 8,
    Chapter.GENITOURINARY: 11,
    Chapter.PREGNANCY: 14,
    Chapter.PERINATAL: 15,
    Chapter.CONGENITAL: 23,
    Chapter.SYMPTOMS: 23,
    Chapter.INJURY: 21,
    Chapter.SPECIAL: 4,
    Chapter.EXTERNAL: 21,
    Chapter.FACTORS: 23,
}
# Weight and relative cost of a DRG, by what its title says. The order counts: first match.
_DRG_TITLES = (
    ("TRANSPLANT", 1, 900),
    ("ECMO", 1, 900),
    ("TRACHEOSTOMY", 1, 700),
    ("VAGINAL DELIVERY WITHOUT STERILIZATION OR D&C WITHOUT", 400, 55),
    ("VAGINAL DELIVERY WITHOUT STERILIZATION OR D&C WITH CC", 110, 65),
    ("VAGINAL DELIVERY WITHOUT STERILIZATION OR D&C WITH MCC", 25, 90),
    ("VAGINAL DELIVERY", 15, 45),
    ("CESAREAN SECTION WITHOUT STERILIZATION WITHOUT", 120, 55),
    ("CESAREAN SECTION WITHOUT STERILIZATION WITH CC", 70, 65),
    ("CESAREAN", 20, 80),
    ("NORMAL NEWBORN", 90, 12),
    ("WITH MCC", 8, 190),
    ("WITH CC/MCC", 14, 130),
    ("WITH CC", 16, 110),
    ("WITHOUT", 24, 75),
    ("", 12, 90),
)
_BIRTHS = ("VAGINAL DELIVERY", "CESAREAN")
_SURGICAL_COST = 190  # per cent of a medical stay's

# (first letters of HCPCS codes, where billed, level 1 of the hierarchy, per cent of usual cost)
_HCPCS = (
    ("A0", OUTPATIENT, "Transport", 120),
    ("A4", PROFESSIONAL, "Supplies", 40),
    ("A9", OUTPATIENT, "Imaging agents", 90),
    ("E0", PROFESSIONAL, "Durable equipment", 180),
    ("G0", PROFESSIONAL, "Clinical services", 90),
    ("J", OUTPATIENT, "Drugs administered", 240),
    ("Q", OUTPATIENT, "Drugs administered", 240),
    ("L", PROFESSIONAL, "Orthotics and prosthetics", 260),
    ("V", PROFESSIONAL, "Vision and hearing", 110),
)
_HCPCS_WEIGHT = {
    "Transport": 25, "Supplies": 12, "Imaging agents": 20, "Durable equipment": 12,
    "Clinical services": 20, "Drugs administered": 70, "Orthotics and prosthetics": 10,
    "Vision and hearing": 10,
}  # fmt: skip

# Local codes: (where billed, weight, level 1, level 2, how many codes, per cent of usual cost)
_LOCAL = (
    (PROFESSIONAL, 400, "Evaluation", "Office visit", 10, 100),
    (PROFESSIONAL, 60, "Evaluation", "Preventive visit", 6, 130),
    (PROFESSIONAL, 80, "Evaluation", "Virtual visit", 5, 55),
    (PROFESSIONAL, 190, "Laboratory", "Clinical laboratory", 40, 45),
    (PROFESSIONAL, 70, "Therapy", "Physical therapy", 8, 85),
    (PROFESSIONAL, 90, "Therapy", "Behavioural therapy", 8, 110),
    (PROFESSIONAL, 60, "Surgery", "Office surgery", 20, 260),
    (OUTPATIENT, 140, "Emergency", "Emergency visit", 5, 190),
    (OUTPATIENT, 140, "Imaging", "Diagnostic imaging", 30, 90),
    (OUTPATIENT, 60, "Surgery", "Ambulatory surgery", 40, 420),
    (OUTPATIENT, 120, "Laboratory", "Hospital laboratory", 20, 35),
    (INPATIENT, 100, "Room and board", "Hospital day", 8, 100),
    (PHARMACY, 100, "Dispensing", "Drug dispensed", 4, 100),
)
OFFICE_VISITS = ("Office visit", "Virtual visit", "Behavioural therapy")
# Which procedures go with which chapters, per cent of their usual weight; 0 for all the others
# in the second entry.
_FITTING = {
    "Physical therapy": ((Chapter.NERVOUS, Chapter.MUSCULOSKELETAL, Chapter.INJURY), 500, 4),
    "Behavioural therapy": ((Chapter.MENTAL,), 700, 2),
    "Preventive visit": ((Chapter.FACTORS,), 700, 0),
    "Orthotics and prosthetics": ((Chapter.MUSCULOSKELETAL, Chapter.INJURY), 400, 0),
    "Vision and hearing": ((Chapter.EYE, Chapter.EAR), 900, 0),
    "Drugs administered": (
        (
            Chapter.NEOPLASMS,
            Chapter.BLOOD,
            Chapter.MUSCULOSKELETAL,
            Chapter.DIGESTIVE,
            Chapter.SKIN,
            Chapter.NERVOUS,
        ),
        300,
        12,
    ),
    "Imaging agents": ((Chapter.NEOPLASMS, Chapter.CIRCULATORY, Chapter.SYMPTOMS), 300, 10),
    "Emergency visit": (
        (
            Chapter.SYMPTOMS,
            Chapter.INJURY,
            Chapter.RESPIRATORY,
            Chapter.CIRCULATORY,
            Chapter.INFECTIOUS,
            Chapter.DIGESTIVE,
        ),
        220,
        25,
    ),
    "Transport": ((Chapter.INJURY, Chapter.CIRCULATORY, Chapter.SYMPTOMS, Chapter.MENTAL), 250, 10),
    "Durable equipment": (
        (Chapter.MUSCULOSKELETAL, Chapter.NERVOUS, Chapter.RESPIRATORY, Chapter.ENDOCRINE),
        250,
        10,
    ),
}

_DRUG_CLASSES = (
    ("Cardiovascular", ("Blood pressure", "Lipids", "Heart rhythm")),
    ("Metabolic", ("Glucose", "Thyroid", "Weight")),
    ("Mental health", ("Mood", "Sleep", "Attention")),
    ("Respiratory", ("Inhaled", "Allergy")),
    ("Anti-infective", ("Bacterial", "Viral", "Fungal")),
    ("Pain and inflammation", ("Oral", "Topical")),
    ("Specialty", ("Oncology", "Immunology", "Neurology")),
)
# The class of drug that a chapter's diagnosis is treated with; pain and inflammation for others.
_DRUG_CLASS_OF = {
    Chapter.CIRCULATORY: 0,
    Chapter.ENDOCRINE: 1,
    Chapter.MENTAL: 2,
    Chapter.RESPIRATORY: 3,
    **dict.fromkeys((Chapter.INFECTIOUS, Chapter.SKIN, Chapter.EYE, Chapter.EAR), 4),
    **dict.fromkeys((Chapter.SPECIAL, Chapter.GENITOURINARY), 4),
    **dict.fromkeys((Chapter.BLOOD, Chapter.NEOPLASMS), 6),
}
SPECIALTY_CLASS = len(_DRUG_CLASSES) - 1
_DRUGS_PER_SUBCLASS = 12
_SYLLABLES = ("va", "lo", "mi", "ze", "tra", "qui", "no", "fe", "bru", "xa", "dol", "pri")


@dataclass(frozen=True, slots=True)
class Procedures:
    """Procedure codes. ``weighted`` draws by claim type times the chapters plus the chapter.

    ``levels``: five labels a code, coarse to fine; ``cost``: per cent of a usual claim of its
    type; ``is_visit``, ``is_preventive``: whether a copay is due for it, or nothing at all.
    """

    code: tuple[str, ...]
    description: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    cost: Ints
    is_visit: Ints
    is_preventive: Ints
    weighted: WeightedBy


@dataclass(frozen=True, slots=True)
class Drg:
    """MS-DRGs: code, title, major diagnostic category and its title.

    ``cost``: per cent of a usual stay's; ``weighted`` draws by chapter of the diagnosis.
    """

    code: tuple[str, ...]
    title: tuple[str, ...]
    mdc: tuple[str, ...]
    mdc_title: tuple[str, ...]
    cost: Ints
    weighted: WeightedBy


@dataclass(frozen=True, slots=True)
class Drugs:
    """Invented drugs, the costly specialty ones last, from position ``first_specialty`` on.

    ``first`` and ``count`` delimit the common drugs for a diagnosis of each chapter.
    """

    name: tuple[str, ...]
    generic: tuple[str, ...]
    group: tuple[str, ...]
    subgroup: tuple[str, ...]
    first_specialty: int
    first: Ints
    count: Ints


@cache
def procedures() -> Procedures:
    """HCPCS level II codes and the invented local ones."""
    rows: list[tuple[str, str, tuple[str, ...], int, int, int]] = []
    for billed, weight, coarse, fine, count, cost in _LOCAL:
        for variant in range(1, count + 1):
            code, title = f"Z{len(rows) + 1:04d}", f"{fine}, level {variant}"
            levels = (CLAIM_TYPES[billed], coarse, fine, title, code)
            # Higher levels cost more and are rarer.
            dearer = cost * (60 + 80 * variant // count) // 100
            share = 2_000_000 * weight * (count + 1 - variant) // (count * (count + 1))
            rows.append((code, title, levels, billed, share, dearer))
    listed = read("hcpcs_level2_2019.csv")
    for start, billed, coarse, cost in _HCPCS:
        chosen = [r for r in listed if r["code"].startswith(start)]
        for row in chosen:
            levels = (CLAIM_TYPES[billed], coarse, coarse, row["short_description"], row["code"])
            share = 1_000_000 * _HCPCS_WEIGHT[coarse] // len(chosen)
            rows.append((row["code"], row["short_description"], levels, billed, share, cost))

    def occurrence(row: tuple[str, str, tuple[str, ...], int, int, int], kind: int, at: int) -> int:
        _, _, levels, billed, share, _ = row
        if billed != kind:
            return 0
        chapters, fitting, others = _FITTING.get(levels[2], ((), 0, 100))
        return share * (fitting if at in chapters else others) // 1000

    lists = [[occurrence(row, kind, at) for row in rows] for kind in range(4) for at in Chapter]
    return Procedures(
        tuple(r[0] for r in rows),
        tuple(r[1] for r in rows),
        tuple(r[2] for r in rows),
        np.array([r[5] for r in rows]),
        np.array([r[2][2] in OFFICE_VISITS for r in rows]),
        np.array([r[2][2] == "Preventive visit" for r in rows]),
        WeightedBy(lists),
    )


@cache
def drgs() -> Drg:
    """The MS-DRGs, those outside any major diagnostic category as ``PRE``."""
    rows = read("ms_drg.csv")

    def ranked(row: dict[str, str]) -> tuple[int, int]:
        title = row["description"]
        weight, cost = next((w, c) for words, w, c in _DRG_TITLES if words in title)
        surgical = row["medical_surgical"] == "Surgical" and cost < _DRG_TITLES[2][2]
        return weight, cost * (_SURGICAL_COST if surgical else 100) // 100

    ranks = [ranked(r) for r in rows]
    lists = []
    for at in Chapter:
        mdc = f"{_MDC_OF[at]:02d}"

        def share(row: dict[str, str], mdc: str = mdc, at: Chapter = at) -> int:
            if at == Chapter.PREGNANCY:  # its stays are the births
                return 1000 * any(word in row["description"] for word in _BIRTHS)
            # A stay before any category (a transplant, say) can come with any diagnosis, rarely.
            return 1000 if row["mdc"] == mdc else 2 if not row["mdc"] else 0

        lists.append([weight * share(r) for r, (weight, _) in zip(rows, ranks, strict=True)])
    return Drg(
        tuple(r["code"] for r in rows),
        tuple(r["description"] for r in rows),
        tuple(r["mdc"] or "PRE" for r in rows),
        tuple(_MDC[int(r["mdc"] or 0)] for r in rows),
        np.array([cost for _, cost in ranks]),
        WeightedBy(lists),
    )


@cache
def drugs() -> Drugs:
    """The invented drugs."""
    rows: list[tuple[str, str, str, str]] = []
    first, count = [], []
    for group, subgroups in _DRUG_CLASSES:
        first.append(len(rows))
        count.append(len(subgroups) * _DRUGS_PER_SUBCLASS)
        for subgroup in subgroups:
            for _ in range(_DRUGS_PER_SUBCLASS):
                n, s = len(rows), _SYLLABLES
                stem = s[n % 12] + s[(n // 12 + 5) % 12] + s[(n * 7 + n // 12) % 12]
                rows.append((f"{stem.title()}{n:03d}", f"{stem}-{n:03d}", group, subgroup))
    names, generics, groups, all_subgroups = zip(*rows, strict=True)
    # Specialty drugs are drawn apart, so that their chapters get pain and inflammation here.
    of = [_DRUG_CLASS_OF.get(at, SPECIALTY_CLASS) for at in Chapter]
    of = [SPECIALTY_CLASS - 1 if c == SPECIALTY_CLASS else c for c in of]
    return Drugs(
        names,
        generics,
        groups,
        all_subgroups,
        first[SPECIALTY_CLASS],
        np.array([first[c] for c in of]),
        np.array([count[c] for c in of]),
    )
