"""Claims that come again below zero: what is left of them, and which are named."""

from __future__ import annotations

from tests.support.tables import draw, drawn
from tests.support.warehouse import Warehouse, found_by

IN_FULL = "fact_claim.reversed_in_full"
FIRST = """
    claim_id     | service_date | status   | claim_amount | allowed_amount | paid_amount
    all          | 2025-01-02   | approved | 9            | 8              | 7
    not allowed  | 2025-01-02   | approved | 9            | 8              | 7
    not billed   | 2025-01-02   | approved | 9            | 8              | 7
    not paid     | 2025-01-02   | approved | 9            | 8              | 7
    nothing paid | 2025-01-02   | approved | 9            | 8              | 7
    second state | 2025-01-02   | approved | 5            | 5              | 5
"""
SECOND = """
    claim_id     | service_date | status   | claim_amount | allowed_amount | paid_amount
    all          | 2025-01-02   | reversed | -9           | -8             | -7
    not allowed  | 2025-01-02   | reversed | -9           | -8.01          | -7
    not billed   | 2025-01-02   | reversed | -9.01        | -8             | -7
    not paid     | 2025-01-02   | reversed | -9           | -8             | -7.01
    nothing paid | 2025-01-02   | approved | 9            | 8              | 0
    second state | 2025-01-02   | approved | 9            | 8              | 7
    never there  | 2025-01-02   | reversed | -9           | -8             | -7
"""
THIRD = """
    claim_id     | service_date | status   | claim_amount | allowed_amount | paid_amount
    second state | 2025-01-02   | reversed | -9           | -8             | -7
    never there  | 2025-01-02   | reversed | -5           | -5             | -5
"""


def test_reversal_is_compared_with_each_amount_of_the_latest_state(warehouse: Warehouse) -> None:
    for day, claims in (("2025-01-10", FIRST), ("2025-01-20", SECOND), ("2025-01-30", THIRD)):
        warehouse.send(day, claims=claims)
        warehouse.incremental()
    assert drawn(
        warehouse.connection,
        "select claim_id, claim_amount, paid_amount from warehouse.fact_claim order by 1",
    ) == draw("""
        claim_id     | claim_amount | paid_amount
        all          | 0.00         | 0.00
        never there  | -5.00        | -5.00
        not allowed  | 0.00         | 0.00
        not billed   | 0.00         | 0.00
        not paid     | 0.00         | 0.00
        nothing paid | 9.00         | 0.00
        second state | 0.00         | 0.00
    """)
    named = [{"claim_id": f"not {what}"} for what in ("allowed", "billed", "paid")]
    key = {"key": lambda row: row["claim_id"]}
    assert sorted(found_by(warehouse.connection, IN_FULL).keys, **key) == named
    [at_the_gate] = warehouse.rows(
        "select failing_keys from quality.check_result"
        f" where check_name = '{IN_FULL}' and rows_failed > 0"
    )
    assert sorted(*at_the_gate, **key) == named
    not_in_full = found_by(warehouse.connection, "fact_claim.not_reversed_by_itself").keys
    assert [row["claim_id"] for row in sorted(not_in_full, **key)] == [
        "all",
        "not allowed",
        "not billed",
        "not paid",
        "second state",
    ]


def test_delete_marker_is_no_state_of_its_claim(warehouse: Warehouse) -> None:
    """What it names besides the claim, a member or a day, makes no two claims of one."""
    claim = {"claim_id": "C", "member_id": "M1", "service_date": "2025-01-02"}
    marker = {"claim_id": "C", "member_id": "M2", "service_date": "2025-01-03", "is_deleted": True}
    for day, row in (("2025-01-10", claim), ("2025-01-20", marker), ("2025-01-30", claim)):
        warehouse.send(day, claims=[row])
        warehouse.incremental()
    for rule in ("one_member", "one_service_date"):
        assert found_by(warehouse.connection, f"fact_claim.{rule}").rows_failed == 0


def test_state_that_a_late_batch_comes_before_is_one_no_more(warehouse: Warehouse) -> None:
    for day, status in (
        ("2025-01-10", "denied"),
        ("2025-01-30", "approved"),
        ("2025-02-10", "adjusted"),
        ("2025-01-20", "approved"),
    ):
        warehouse.send(
            day, claims=[{"claim_id": "C", "service_date": "2025-01-02"} | {"status": status}]
        )
        warehouse.incremental()
    assert drawn(
        warehouse.connection,
        "select l.batch_id, h.status from warehouse.fact_claim_history as h "
        "join ledger.load as l using (load_id) order by 1",
    ) == draw("""
        batch_id   | status
        2025-01-10 | denied
        2025-01-20 | approved
        2025-02-10 | adjusted
    """)
