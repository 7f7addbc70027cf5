"""Sets of codes that facts name: dimensions without history, one row per code.

What a code means comes from published tables (``etl/reference/codes.py``); a code gets its row when
a load names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import LiteralString, NamedTuple

from etl.reference import codes


class Naming(NamedTuple):
    """A column of a feed that names codes of a set."""

    feed: str
    column: str


@dataclass(frozen=True, slots=True)
class CodeSet:
    """A dimension of codes.

    ``code``: its natural key, the column in which facts have the code itself. ``form``: the
    statement of ``sql/render/code_sets.sql`` by which a value of a feed becomes a code.
    ``attributes``: what each column of ``describe`` means, in order. ``known_by``: the one of these
    that says whether a code is of the set at all. ``named_by``: where feeds name codes.
    """

    name: str
    code: str
    description: str
    code_description: str
    attributes: Mapping[str, str]
    describe: Callable[[str], codes.Diagnosis | codes.Procedure | codes.Drg | codes.CsrVariant]
    named_by: tuple[Naming, ...]
    known_by: str = "title"
    form: LiteralString = "as_written"

    @property
    def table(self) -> str:
        """Name of the table."""
        return f"dim_{self.name}"

    @property
    def sk(self) -> str:
        """Name of the surrogate key."""
        return f"{self.name}_sk"


DIM_DIAGNOSIS = CodeSet(
    "diagnosis",
    "diagnosis_code",
    "Diagnoses: one row per ICD-10-CM code that a claim names, plus -1 for none.",
    "ICD-10-CM code without the point.",
    {
        "title": "What it is; Unknown where no table of reference says.",
        "category": "First three characters of the code.",
        "chapter": "Chapter of ICD-10-CM, by the category.",
    },
    codes.diagnosis,
    (Naming("claims", "diagnosis_code"), Naming("claim_diagnoses", "diagnosis_code")),
    known_by="chapter",
    form="without_point",
)
DIM_PROCEDURE = CodeSet(
    "procedure",
    "procedure_code",
    "Procedures: one row per code that a claim or a line names, plus -1 for none.",
    "Code of a procedure or supply.",
    {
        "title": "What it is: CMS's short description of HCPCS level II, else Unknown.",
        "code_system": "HCPCS (45 CFR 162.1002), local or unknown, by the form of the code.",
    },
    codes.procedure,
    (Naming("claims", "procedure_code"), Naming("claim_lines", "procedure_code")),
    known_by="code_system",
)
DIM_DRG = CodeSet(
    "drg",
    "ms_drg",
    "MS-DRGs: one row per group that a claim names, plus -1 for none.",
    "MS-DRG of an inpatient stay, three digits.",
    {
        "title": "What it is; Unknown where CMS's table does not name it.",
        "mdc": "Major diagnostic category, two digits; empty where it is of none or of any.",
        "drg_type": "Medical or Surgical.",
        "is_planned": "Whether a stay of it is planned and so no readmission.",
    },
    codes.drg,
    (Naming("claims", "ms_drg"),),
)
DIM_CSR_VARIANT = CodeSet(
    "csr_variant",
    "csr_variant",
    "Cost-sharing variants: one row per variant that coverage names, plus -1 for none.",
    "Cost-sharing reduction variant, two digits (45 CFR 156.420).",
    {
        "title": "Who has it.",
        "actuarial_value": "Share of costs that the silver plan pays; empty where the metal says.",
    },
    codes.csr_variant,
    (Naming("enrollments", "csr_variant"),),
)

CODE_SETS: dict[str, CodeSet] = {
    s.name: s for s in (DIM_DIAGNOSIS, DIM_PROCEDURE, DIM_DRG, DIM_CSR_VARIANT)
}

# The dimensions without history, whose rows come once and stay as they are.
GROWING = ("dim_date", "dim_geography", *(s.table for s in CODE_SETS.values()))
