"""Several enrollments in a line of a file: each is a fact, and none of them twice."""

from __future__ import annotations

import pytest

from etl.contracts import senders
from etl.contracts.feeds import FEEDS
from etl.contracts.reasons import Reason
from etl.contracts.sender import SenderContract
from etl.contracts.value import constant, join, of, repeat
from tests.support.warehouse import Warehouse, failed_critical

FAMILIES = SenderContract(
    "families",
    FEEDS["enrollments"],
    "The subscriber and a dependent in a line.",
    columns={"plan_id": constant("P1"), "start_date": of("FROM")},
    repeat=repeat(
        enrollment_id=[join("CASE", name, separator="-") for name in ("SELF", "OTHER")],
        member_id=["SELF", "OTHER"],
    ),
    not_sent=("premium_paid", "aptc_amount"),
)
SPELLS = SenderContract(
    "spells",
    FEEDS["enrollments"],
    "Two identifiers of a member's coverage in a line.",
    columns={"plan_id": constant("P1"), "start_date": of("FROM"), "member_id": of("WHO")},
    repeat=repeat(enrollment_id=["ONE", "TWO"]),
    not_sent=("premium_paid", "aptc_amount"),
)
LINES = """CASE,SELF,OTHER,FROM
1,M1,M2,2025-01-01
2,M3,,2025-01-01
3,M4,M4,2025-01-01
4,M5,M6,2025-02-01
4,M5,M7,2025-02-01
"""


@pytest.mark.parametrize("is_rebuild", [False, True])
def test_each_enrollment_of_a_line_is_loaded_once(
    is_rebuild: bool, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(senders.SENDERS, FAMILIES.name, FAMILIES)
    said = {"files": {"enrollments.csv": {"contract": FAMILIES.name}}}
    (warehouse.send("2025-01-10", said) / "enrollments.csv").write_text(LINES)
    warehouse.rebuild(reject_share=1) if is_rebuild else warehouse.incremental(reject_share=1)
    # A line that names one member twice is rejected; of two that are equal the last one is kept.
    rejected = "select line, reason from quality.rejected_row order by 1"
    assert warehouse.rows(rejected) == [(4, Reason.CONFLICT.text)]
    facts = "select enrollment_id from warehouse.fact_enrollment order by 1"
    assert warehouse.column(facts) == ["1-M1", "1-M2", "2-M3", "4-M5", "4-M6", "4-M7"]
    counted = "select rows_read + rows_added, rows_loaded, rows_duplicate from ledger.load_file"
    assert warehouse.rows(counted) == [(8, 6, 1)]
    assert failed_critical(warehouse.connection) == set()


@pytest.mark.parametrize("is_rebuild", [False, True])
def test_of_one_coverage_twice_on_a_line_the_greatest_identifier_stays(
    is_rebuild: bool, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(senders.SENDERS, SPELLS.name, SPELLS)
    said = {"files": {"enrollments.csv": {"contract": SPELLS.name}}}
    rows = [f"{a},{b},M{n},2025-01-01" for n, (a, b) in enumerate(["AB", "DC", "EF", "HG"])]
    text = "\n".join(["ONE,TWO,WHO,FROM", *rows, ""])
    (warehouse.send("2025-01-10", said) / "enrollments.csv").write_text(text)
    warehouse.rebuild() if is_rebuild else warehouse.incremental()
    facts = "select enrollment_id from warehouse.fact_enrollment order by 1"
    assert warehouse.column(facts) == ["B", "D", "F", "H"]
    assert failed_critical(warehouse.connection) == set()
