"""Stays and high-cost years of small drawn tables, worked out by hand."""

from tests.support.cubes import assert_cube, claims, enrollments

STAY, YEAR = "inpatient_stay", "high_cost_year"
HEADER = "provider_sk | service_date | claim_type | admit_date | discharge_date | ms_drg | status\n"


def covered(tables):
    """Coverage over New Year by two enrollments, and the day that the data speaks of."""
    tables.execute(
        "insert into load (batch_id, as_of, status, is_rebuild)"
        " values ('b', '2026-03-01', 'loaded', false)"
    )
    enrollments(
        tables,
        """
        member_sk | plan_sk | start_date | end_date
        1         | 1       | 2025-01-01 | 2025-12-31
        4         | 1       | 2026-01-01 | 2026-12-31
        """,
    )


def inpatient(tables, rows):
    """Inpatient claims of ann; a row is provider, admission, discharge, MS-DRG and status."""
    lines = []
    for row in rows.strip().splitlines():
        provider, admit, discharge, drg, status = (cell.strip() for cell in row.split("|"))
        lines.append(f"{provider}|{admit}|Inpatient|{admit}|{discharge}|{drg}|{status}")
    claims(tables, HEADER + "\n".join(lines))


def test_a_chain_of_readmissions_over_new_year(tables):
    covered(tables)
    # The 30th day is within, the 31st is not; a transfer ends on the day on which the next begins.
    inpatient(
        tables,
        """
        1 | 2025-10-01 | 2025-10-02 | 291 | approved
        1 | 2025-11-01 | 2025-11-02 | 291 | approved
        1 | 2025-12-03 | 2025-12-05 | 291 | approved
        2 | 2025-12-05 | 2025-12-08 | 470 | adjusted
        1 | 2026-01-07 | 2026-01-08 | 291 | approved
        1 | 2026-02-20 | 2026-02-21 | 291 | approved
        """,
    )
    assert_cube(
        tables,
        STAY,
        """
        stay_id | claims | is_transfer | ms_drg | why_not_index     | readmission_stay_id
        c0      | 1      | false           | 291    |                   | c1
        c1      | 1      | false           | 291    |                   |
        c2      | 2      | true           | 470    |                   | c4
        c4      | 1      | false           | 291    |                   |
        c5      | 1      | false           | 291    | days not complete |
        """,
    )
    assert_cube(
        tables,
        "readmission_month",
        """
        month      | stays | index_stays | readmissions | readmission_rate
        2025-10-01 | 1     | 1           | 1            | 1.0000
        2025-11-01 | 1     | 1           | 0            | 0.0000
        2025-12-01 | 1     | 1           | 1            | 1.0000
        2026-01-01 | 1     | 1           | 0            | 0.0000
        2026-02-01 | 1     | 0           | 0            |
        """,
    )


def test_planned_stays_and_births_are_neither_index_nor_readmission(tables):
    covered(tables)
    # A planned stay between hides the unplanned one after it; claims that are not paid are none.
    inpatient(
        tables,
        """
        1 | 2025-03-01 | 2025-03-02 | 291 | approved
        1 | 2025-03-05 | 2025-03-06 | 008 | approved
        1 | 2025-03-10 | 2025-03-11 | 788 | approved
        1 | 2025-03-12 | 2025-03-11 | 291 | approved
        1 | 2025-03-13 | 2025-03-14 | 291 | denied
        1 | 2025-03-13 | 2025-03-14 | 291 | pending
        1 | 2025-03-13 | 2025-03-14 | 291 | reversed
        1 | 2025-03-20 | 2025-03-21 | 291 | approved
        """,
    )
    assert_cube(
        tables,
        STAY,
        """
        stay_id | is_planned | why_not_index | readmission_stay_id
        c0      | false          |               |
        c1      | true          | planned       |
        c2      | true          | planned       |
        c7      | false          |               |
        """,
    )


def test_claims_of_nobody_known_are_never_one_stay(tables):
    covered(tables)
    claims(
        tables,
        """
        member_sk | service_date | claim_type | admit_date | discharge_date
        -1        | 2025-03-01   | Inpatient  | 2025-03-01 | 2025-03-05
        -1        | 2025-03-02   | Inpatient  | 2025-03-02 | 2025-03-05
        2         | 2025-03-01   | inpatient  | 2025-03-01 | 2025-03-05
        1         | 2025-03-01   | INPATIENT  | 2025-03-01 | 2025-03-05
        4         | 2025-03-04   | Inpatient  | 2025-03-04 | 2025-03-09
        """,
    )
    assert_cube(
        tables,
        STAY,
        """
        member_id | stay_id | length_days | why_not_index
        (unknown) | c0      | 4           | member unknown
        (unknown) | c1      | 3           | member unknown
        ann       | c3      | 8           |
        bob       | c2      | 4           | not covered
        """,
    )


def test_a_year_at_the_threshold_and_one_without_parameters(tables):
    claims(
        tables,
        """
        member_sk | service_date | paid_amount | allowed_amount | status
        1         | 2025-12-31   | 1000000.00  | 1000001.00     | approved
        4         | 2026-01-01   | 1000000.01  | 0              | approved
        2         | 2025-05-01   | 1000000.99  | 0              | denied
        2         | 2022-05-01   | 2000000.00  | 0              | approved
        3         | 2025-05-01   | 99999.99    | 0              | approved
        3         | 2024-05-01   | 600000.00   | 0              | approved
        3         | 2024-06-01   | -350000.00  | 0              | adjusted
        -1        | 2025-05-01   | 9000000.00  | 0              | approved
        """,
    )
    assert_cube(
        tables,
        YEAR,
        """
        member_id | benefit_year | paid_usd   | band   | pool_excess_usd | pool_payment_usd
        ann       | 2025         | 1000000.00 | $1M+   | 0.00            | 0.00
        ann       | 2026         | 1000000.01 | $1M+   | 0.01            | 0.01
        bob       | 2022         | 2000000.00 | $1M+   |                 |
        cid       | 2024         | 250000.00  | $250k+ | 0.00            | 0.00
        """,
    )
