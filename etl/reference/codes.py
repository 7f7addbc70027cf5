"""What published tables say of a code: of diagnoses, procedures, MS-DRGs and variants of plans.

Each function describes any text: what no table names is described as far as its form goes, with
``UNKNOWN`` where nothing is known, and ``is_inferred`` says so.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from etl.reference import planned_drgs, read

UNKNOWN = "Unknown"
# Code systems of procedures. Local codes begin with letters that the other levels of HCPCS leave.
HCPCS, LOCAL, UNKNOWN_SYSTEM = "HCPCS", "local", "unknown"
_SYSTEMS = (
    # Level I is CPT, whose texts are under copyright; level II is that of CMS (45 CFR 162.1002).
    (re.compile(r"[0-9]{4}[0-9AFMTU]|[A-EGHJ-MP-V][0-9]{4}"), HCPCS),
    (re.compile(r"[W-Z][0-9]{4}"), LOCAL),
)
_DIAGNOSIS = re.compile(r"[A-Z][0-9][0-9A-Z]{1,5}")


class Diagnosis(NamedTuple):
    """An ICD-10-CM code; ``category``: its first three characters."""

    title: str
    category: str
    chapter: str
    is_inferred: bool


class Procedure(NamedTuple):
    """A code of a procedure or supply."""

    title: str
    code_system: str
    is_inferred: bool


class Drg(NamedTuple):
    """An MS-DRG; ``mdc``: its major diagnostic category, ``None`` where it is of none or any."""

    title: str
    mdc: str | None
    drg_type: str
    is_planned: bool
    is_inferred: bool


class CsrVariant(NamedTuple):
    """A cost-sharing variant; ``actuarial_value``: the share of costs that a silver plan pays."""

    title: str
    actuarial_value: Decimal | None
    is_inferred: bool


def diagnosis(code: str) -> Diagnosis:
    """An ICD-10-CM code without the point."""
    if not _DIAGNOSIS.fullmatch(code):
        return Diagnosis(UNKNOWN, UNKNOWN, UNKNOWN, is_inferred=True)
    category = code[:3]
    chapter = next((c.title for c in _chapters() if c.first <= category <= c.last), UNKNOWN)
    titles = _diagnosis_titles()
    return Diagnosis(titles.get(code) or UNKNOWN, category, chapter, code not in titles)


def procedure(code: str) -> Procedure:
    """A procedure code, by the tables of HCPCS level II or else by its form."""
    title = _procedure_titles().get(code)
    forms = (system for form, system in _SYSTEMS if form.fullmatch(code))
    system = HCPCS if title else next(forms, UNKNOWN_SYSTEM)
    return Procedure(title or UNKNOWN, system, title is None)


def drg(code: str) -> Drg:
    """An MS-DRG of three digits."""
    row = _drgs().get(code)
    if row is None:
        return Drg(UNKNOWN, None, UNKNOWN, is_planned=False, is_inferred=True)
    return Drg(
        row["description"],
        row["mdc"] or None,
        row["medical_surgical"] or UNKNOWN,
        is_planned=code in planned_drgs(),
        is_inferred=False,
    )


def csr_variant(code: str) -> CsrVariant:
    """A cost-sharing variant of two digits, the end of a plan's HIOS id (45 CFR 156.420)."""
    titles = {row["csr_variant"]: row["title"] for row in read("csr_variant.csv")}
    values = {row["kind"]: row["actuarial_value"] for row in read("metal_actuarial_value.csv")}
    value = values.get(f"csr -{code}")
    return CsrVariant(
        titles.get(code, UNKNOWN), Decimal(value) if value else None, code not in titles
    )


class _Chapter(NamedTuple):
    first: str
    last: str
    title: str


@cache
def _chapters() -> tuple[_Chapter, ...]:
    """The chapters of ICD-10-CM, each with its first and last category."""
    return tuple(
        _Chapter(row["first_category"], row["last_category"], row["title"])
        for row in read("icd10cm_chapter.csv")
    )


@cache
def _diagnosis_titles() -> dict[str, str | None]:
    """The title of each ICD-10-CM code that a table names; none where that table has no titles."""
    listed: dict[str, str | None] = {
        row["icd10cm"]: None for row in read("hhs_hcc_icd10_to_cc_cy2022.csv")
    }
    return listed | {row["code"]: row["description"] for row in read("icd10cm_frequency_meps.csv")}


@cache
def _procedure_titles() -> dict[str, str]:
    return {row["code"]: row["short_description"] for row in read("hcpcs_level2_2019.csv")}


@cache
def _drgs() -> dict[str, dict[str, str]]:
    return {row["code"]: row for row in read("ms_drg.csv")}
