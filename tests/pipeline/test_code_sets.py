"""Dimensions of codes: each code that a feed names has one row, also one that no table knows."""

from __future__ import annotations

from etl.pipeline import commands
from tests.support.tables import draw, drawn
from tests.support.warehouse import Warehouse

CLAIMS = """
    claim_id | diagnosis_code | procedure_code | ms_drg
    C1       | E11.9          | A0021          | 470
    C2       | e119           | a0021          |
    C3       | ZZZ99          | 99213          | 000
"""
LINES = """
    claim_id | line_number | procedure_code
    C1       | 1           | Z0001
    C1       | 2           |
"""
DIAGNOSES = """
    claim_id | position | diagnosis_code
    C1       | 1        | E119
    C1       | 2        | I10
"""
DIAGNOSIS = """
    diagnosis_code | title                                          | category | is_inferred
    E119           | Type 2 diabetes mellitus without complications | E11      | false
    I10            | Essential (primary) hypertension               | I10      | false
    ZZZ99          | Unknown                                        | Unknown  | true
                   | Unknown                                        | Unknown  | true
"""
PROCEDURE = """
    procedure_code | title                        | code_system
    99213          | Unknown                      | HCPCS
    A0021          | Outside state ambulance serv | HCPCS
    Z0001          | Unknown                      | local
                   | Unknown                      | unknown
"""
DRG = """
    ms_drg | title     | mdc | drg_type | is_inferred
    000    | Unknown   |     | Unknown  | true
    470    | MAJOR HIP | 08  | Surgical | false
           | Unknown   |     | Unknown  | true
"""


def test_each_code_that_a_load_names_has_one_row(warehouse: Warehouse) -> None:
    warehouse.send("2025-01-10", claims=CLAIMS, claim_lines=LINES)
    warehouse.send("2025-01-11", claim_diagnoses=DIAGNOSES)
    warehouse.send("2025-01-12", enrollments="enrollment_id | csr_variant\nE1 | 06")
    warehouse.run(commands.incremental)

    def codes(table: str, columns: str) -> list[dict[str, str]]:
        return drawn(
            warehouse.connection, f"select {columns} from warehouse.{table} order by 1 nulls last"
        )

    columns = "diagnosis_code, title, category, is_inferred"
    assert codes("dim_diagnosis", columns) == draw(DIAGNOSIS)
    assert codes("dim_procedure", "procedure_code, title, code_system") == draw(PROCEDURE)
    columns = "ms_drg, left(title, 9) as title, mdc, drg_type, is_inferred"
    assert codes("dim_drg", columns) == draw(DRG)
    assert codes("dim_csr_variant", "csr_variant, actuarial_value") == [
        {"csr_variant": "06", "actuarial_value": "0.94"},
        {},
    ]
    before = warehouse.contents()
    warehouse.run(commands.full_load)
    assert warehouse.contents() == before
