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
"""
THIRD = """
    claim_id     | service_date | status   | claim_amount | allowed_amount | paid_amount
    second state | 2025-01-02   | reversed | -9           | -8             | -7
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
