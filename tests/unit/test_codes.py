"""What reference tables say of codes, and what the form of a code says where no table names it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from etl.reference import codes, read


@pytest.mark.parametrize(
    ("code", "chapter"),
    [
        ("A000", "Certain infectious and parasitic diseases"),
        ("C7A00", "Neoplasms"),
        ("D499", "Neoplasms"),
        ("D500", "Diseases of the blood"),
        ("H599", "Diseases of the eye"),
        ("H6000", "Diseases of the ear"),
        ("M1A00X0", "Diseases of the musculoskeletal system"),
        ("O9A111", "Pregnancy"),
        ("T889XXS", "Injury"),
        ("U071", "Codes for special purposes"),
        ("U99", codes.UNKNOWN),
        ("Z3A40", "Factors influencing"),
        ("E11", "Endocrine"),
        ("250.00", codes.UNKNOWN),
        ("E1", codes.UNKNOWN),
        ("E11900000", codes.UNKNOWN),
        ("", codes.UNKNOWN),
    ],
)
def test_a_diagnosis_is_in_the_chapter_of_its_category(code: str, chapter: str) -> None:
    assert codes.diagnosis(code).chapter.startswith(chapter)


def test_every_diagnosis_of_the_tables_has_a_chapter() -> None:
    listed = [row["code"] for row in read("icd10cm_frequency_meps.csv")]
    listed += [row["icd10cm"] for row in read("hhs_hcc_icd10_to_cc_cy2022.csv")]
    assert {code for code in listed if codes.diagnosis(code).chapter == codes.UNKNOWN} == set()


@pytest.mark.parametrize(
    ("code", "system", "title"),
    [
        ("A0021", codes.HCPCS, "Outside state ambulance serv"),
        ("J9999", codes.HCPCS, "Chemotherapy drug"),
        ("A99999", codes.UNKNOWN_SYSTEM, codes.UNKNOWN),
        ("99213", codes.HCPCS, codes.UNKNOWN),
        ("0001A", codes.HCPCS, codes.UNKNOWN),
        ("3074F", codes.HCPCS, codes.UNKNOWN),
        ("U0005", codes.HCPCS, codes.UNKNOWN),
        ("Z0001", codes.LOCAL, codes.UNKNOWN),
        ("F0001", codes.UNKNOWN_SYSTEM, codes.UNKNOWN),
        ("9921", codes.UNKNOWN_SYSTEM, codes.UNKNOWN),
        ("", codes.UNKNOWN_SYSTEM, codes.UNKNOWN),
    ],
)
def test_a_procedure_has_the_code_system_of_its_form(code: str, system: str, title: str) -> None:
    assert codes.procedure(code)[:2] == (title, system)
    assert codes.procedure(code).is_inferred is (title == codes.UNKNOWN)


def test_groups_and_variants_are_described() -> None:
    transplant, birth, none = codes.drg("001"), codes.drg("768"), codes.drg("000")
    assert (transplant.mdc, transplant.drg_type, transplant.is_planned) == (None, "Surgical", True)
    assert (birth.mdc, birth.is_planned) == ("14", True)
    assert none == (codes.UNKNOWN, None, codes.UNKNOWN, False, True)
    assert codes.csr_variant("06").actuarial_value == Decimal("0.94")
    assert codes.csr_variant("01").actuarial_value is None
    assert codes.csr_variant("07") == (codes.UNKNOWN, None, True)
