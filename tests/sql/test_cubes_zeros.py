"""What a cube has where nothing was counted: zero, and no row less."""

from __future__ import annotations

from tests.support.cubes import BY_MONTH, DAILY, METAL, assert_cube, claims

# A month of each status.
CLAIMS = """
service_date | status   | claim_amount | allowed_amount | paid_amount
2025-01-10   | approved | 1            | 2              | 4
2025-02-10   | pending  | 8            | 16             | 32
2025-03-10   | denied   | 64           | 128            | 256
2025-04-10   | VOID     | 512          | 1024           | 2048
"""
COUNTS = """
claims | pending_claims | denied_claims | unknown_status_claims
1      | 0              | 0             | 0
0      | 1              | 0             | 0
1      | 0              | 1             | 0
0      | 0              | 0             | 1
"""
AMOUNTS = """
billed_usd | pending_billed_usd | unknown_status_billed_usd | allowed_usd | paid_usd
1.00       | 0.00               | 0.00                      | 2.00        | 4.00
0.00       | 8.00               | 0.00                      | 0.00        | 0.00
64.00      | 0.00               | 0.00                      | 128.00      | 0.00
0.00       | 0.00               | 512.00                    | 0.00        | 0.00
"""
MEMBERS = """
members
1
0
1
0
"""


def test_days_of_one_status_have_zeros_in_the_other_measures(tables):
    claims(tables, CLAIMS)
    assert_cube(tables, DAILY, COUNTS)
    assert_cube(tables, DAILY, AMOUNTS)


def test_months_of_one_status_have_zeros_in_the_other_measures(tables):
    claims(tables, CLAIMS)
    for breakdown in ("metal_tier", "specialty"):
        for table in (COUNTS, AMOUNTS, MEMBERS):
            assert_cube(tables, BY_MONTH, table, f"breakdown = '{breakdown}'")


def test_tiers_without_claims_have_zeros_in_months_of_others(tables):
    claims(tables, CLAIMS)
    for table in (COUNTS, AMOUNTS, MEMBERS):
        assert_cube(tables, METAL, table, "metal_tier = 'Silver'")
    assert_cube(
        tables,
        METAL,
        """
        metal_tier | claims | pending_claims | denied_claims | unknown_status_claims | members
        Gold       | 0      | 0              | 0             | 0                     | 0
        """,
        "metal_tier = 'Gold' and month = '2025-01-01'",
    )
    assert_cube(
        tables,
        METAL,
        """
        billed_usd | pending_billed_usd | unknown_status_billed_usd | allowed_usd | paid_usd
        0.00       | 0.00               | 0.00                      | 0.00        | 0.00
        """,
        "metal_tier = 'Gold' and month = '2025-01-01'",
    )
    assert_cube(
        tables,
        METAL,
        """
        covered_days | member_months | paid_pmpm_usd
        0            | 0.000000      |
        """,
        "metal_tier = 'Gold' and month = '2025-01-01'",
    )
