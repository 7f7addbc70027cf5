"""Diagnoses, procedures, DRGs and drugs as lookup tables that claims point into.

Diagnoses are drawn by how many surveyed persons bear them. The CCSR category is stood in for by
the ICD-10-CM chapter and three-character category. Procedures are HCPCS level II codes with
CMS's descriptions, or local codes that are invented here (``Z`` and four digits, which HCPCS
does not use); no CPT. Drugs are invented, name and all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from etl.seed.reference import read
from etl.seed.rng import Ints, Weighted

PROFESSIONAL, OUTPATIENT, INPATIENT, PHARMACY = range(4)
CLAIM_TYPES = ("Professional", "Outpatient", "Inpatient", "Pharmacy")
SERVICES = ("Physician services", "Hospital outpatient", "Hospital inpatient", "Prescription drugs")

# First letter of the code, or letter and digits from which the chapter begins.
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

# Codes of pregnancy and delivery, inside chapter O and out of it.
_MATERNITY = ("O", "Z33", "Z34", "Z36", "Z37", "Z39", "Z3A")

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

# (first letters of HCPCS codes, where billed, level 1 of the hierarchy)
_HCPCS = (
    ("A0", OUTPATIENT, "Transport"),
    ("A4", PROFESSIONAL, "Supplies"),
    ("A9", OUTPATIENT, "Imaging agents"),
    ("E0", PROFESSIONAL, "Durable equipment"),
    ("G0", PROFESSIONAL, "Clinical services"),
    ("J", OUTPATIENT, "Drugs administered"),
    ("Q", OUTPATIENT, "Drugs administered"),
    ("L", PROFESSIONAL, "Orthotics and prosthetics"),
    ("V", PROFESSIONAL, "Vision and hearing"),
)

# Local codes: (where billed, weight, level 1, level 2, how many codes)
_LOCAL = (
    (PROFESSIONAL, 300, "Evaluation", "Office visit", 10),
    (PROFESSIONAL, 60, "Evaluation", "Preventive visit", 6),
    (PROFESSIONAL, 80, "Evaluation", "Virtual visit", 5),
    (PROFESSIONAL, 150, "Laboratory", "Clinical laboratory", 40),
    (PROFESSIONAL, 90, "Therapy", "Physical therapy", 8),
    (PROFESSIONAL, 90, "Therapy", "Behavioural therapy", 8),
    (OUTPATIENT, 140, "Emergency", "Emergency visit", 5),
    (OUTPATIENT, 140, "Imaging", "Diagnostic imaging", 30),
    (OUTPATIENT, 60, "Surgery", "Ambulatory surgery", 40),
    (OUTPATIENT, 120, "Laboratory", "Hospital laboratory", 20),
    (INPATIENT, 100, "Room and board", "Hospital day", 8),
    (PHARMACY, 100, "Dispensing", "Drug dispensed", 4),
)

_DRUG_CLASSES = (
    ("Cardiovascular", ("Blood pressure", "Lipids", "Heart rhythm")),
    ("Metabolic", ("Glucose", "Thyroid", "Weight")),
    ("Mental health", ("Mood", "Sleep", "Attention")),
    ("Respiratory", ("Inhaled", "Allergy")),
    ("Anti-infective", ("Bacterial", "Viral", "Fungal")),
    ("Pain and inflammation", ("Oral", "Topical")),
    ("Specialty", ("Oncology", "Immunology", "Neurology")),
)
SPECIALTY_CLASS = len(_DRUG_CLASSES) - 1
_DRUGS_PER_SUBCLASS = 12
_SYLLABLES = ("va", "lo", "mi", "ze", "tra", "qui", "no", "fe", "bru", "xa", "dol", "pri")


@dataclass(frozen=True, slots=True)
class Conditions:
    """Chronic conditions: a diagnosis (position in ``diagnoses().code``) and its HCC label."""

    diagnosis: Ints
    label: tuple[str, ...]
    weighted: Weighted


@dataclass(frozen=True, slots=True)
class Diagnoses:
    """ICD-10-CM codes with chapter and category, weighted by surveyed frequency."""

    code: tuple[str, ...]
    chapter: tuple[str, ...]
    category: tuple[str, ...]
    weighted: Weighted
    without_maternity: Weighted


@dataclass(frozen=True, slots=True)
class Procedures:
    """Procedure codes; ``weighted`` holds one drawer for each of ``CLAIM_TYPES``, of positions.

    ``levels``: five labels a code, coarse to fine.
    """

    code: tuple[str, ...]
    description: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    weighted: tuple[Weighted, ...]


@dataclass(frozen=True, slots=True)
class Drg:
    """MS-DRGs: code, title, major diagnostic category and its title."""

    code: tuple[str, ...]
    title: tuple[str, ...]
    mdc: tuple[str, ...]
    mdc_title: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drugs:
    """Invented drugs, the costly specialty ones last, from position ``first_specialty`` on."""

    name: tuple[str, ...]
    generic: tuple[str, ...]
    group: tuple[str, ...]
    subgroup: tuple[str, ...]
    first_specialty: int


def _chapter(code: str) -> str:
    return next(title for start, title in reversed(_CHAPTERS) if code >= start)


@cache
def diagnoses() -> Diagnoses:
    """The surveyed diagnoses."""
    rows = read("icd10cm_frequency_meps.csv")
    # The commonest code of a category lends the category its title.
    title: dict[str, str] = {}
    for row in sorted(rows, key=lambda r: -int(r["count_in_34832_persons"])):
        title.setdefault(row["code"][:3], row["description"])
    return Diagnoses(
        tuple(r["code"] for r in rows),
        tuple(_chapter(r["code"]) for r in rows),
        tuple(title[r["code"][:3]] for r in rows),
        Weighted([int(r["count_in_34832_persons"]) for r in rows]),
        Weighted(
            [
                0 if r["code"].startswith(_MATERNITY) else int(r["count_in_34832_persons"])
                for r in rows
            ]
        ),
    )


@cache
def conditions() -> Conditions:
    """The surveyed diagnoses that HHS risk adjustment counts, maternity apart."""
    labels = {str(int(r["hcc"])): r["label"] for r in read("hhs_hcc_labels_v07.csv")}
    category = {r["icd10cm"]: r["hhs_cc"] for r in read("hhs_hcc_icd10_to_cc_cy2022.csv")}
    rows = read("icd10cm_frequency_meps.csv")
    found = [
        i
        for i, r in enumerate(rows)
        if category.get(r["code"]) in labels and not r["code"].startswith(_MATERNITY)
    ]
    return Conditions(
        np.array(found),
        tuple(labels[category[rows[i]["code"]]] for i in found),
        Weighted([int(rows[i]["count_in_34832_persons"]) for i in found]),
    )


@cache
def procedures() -> Procedures:
    """HCPCS level II codes and the invented local ones."""
    rows: list[tuple[str, str, tuple[str, ...], int, int]] = []
    number = 0
    for billed, weight, coarse, fine, count in _LOCAL:
        for variant in range(1, count + 1):
            number += 1
            title = f"{fine}, level {variant}"
            levels = (CLAIM_TYPES[billed], coarse, fine, title, f"Z{number:04d}")
            rows.append((f"Z{number:04d}", title, levels, billed, 1000 * weight // count))
    for row in read("hcpcs_level2_2019.csv"):
        code, title = row["code"], row["short_description"]
        for start, billed, coarse in _HCPCS:
            if code.startswith(start):
                levels = (CLAIM_TYPES[billed], coarse, code[:2], title, code)
                rows.append((code, title, levels, billed, 90))
                break
    return Procedures(
        tuple(r[0] for r in rows),
        tuple(r[1] for r in rows),
        tuple(r[2] for r in rows),
        tuple(Weighted([r[4] if r[3] == kind else 0 for r in rows]) for kind in range(4)),
    )


@cache
def drgs() -> Drg:
    """The MS-DRGs, those outside any major diagnostic category as ``PRE``."""
    rows = read("ms_drg.csv")
    return Drg(
        tuple(r["code"] for r in rows),
        tuple(r["description"] for r in rows),
        tuple(r["mdc"] or "PRE" for r in rows),
        tuple(_MDC[int(r["mdc"] or 0)] for r in rows),
    )


@cache
def drugs() -> Drugs:
    """The invented drugs."""
    rows: list[tuple[str, str, str, str]] = []
    for group, subgroups in _DRUG_CLASSES:
        for subgroup in subgroups:
            for _ in range(_DRUGS_PER_SUBCLASS):
                n, s = len(rows), _SYLLABLES
                stem = s[n % 12] + s[(n // 12 + 5) % 12] + s[(n * 7 + n // 12) % 12]
                rows.append((f"{stem.title()}{n:03d}", f"{stem}-{n:03d}", group, subgroup))
    name, generic, group, subgroup = zip(*rows, strict=True)
    return Drugs(name, generic, group, subgroup, group.index(_DRUG_CLASSES[SPECIALTY_CLASS][0]))
