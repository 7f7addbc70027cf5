"""The rows of the cubes on small drawn tables, worked out by hand."""

from datetime import date

from psycopg import sql

from etl.contracts.feeds import FEEDS
from etl.render import claim_status
from tests.support.cubes import (
    DAILY,
    HIGH_COST,
    METAL,
    SPECIALTY,
    assert_cube,
    claims,
    enrollments,
    rows_of,
)


def test_daily_counts_pending_separately_and_denied_as_unpaid(tables):
    claims(
        tables,
        """
        member_sk | service_date | status   | claim_amount | allowed_amount | paid_amount
        1         | 2025-01-10   | approved | 100.00       | 80.00          | 60.10
        1         | 2025-01-10   | Denied   | 50.00        | 40.00          | 40.00
        1         | 2025-01-10   | PENDING  | 30.00        | 20.00          | 10.00
        1         | 2025-01-11   | reversed | -100.00      | -80.00         | -60.10
        2         | 2025-01-10   | pending  | 7.00         | null           | null
        2         | 2025-01-12   | null     | 9.00         | 9.00           | 9.00
        """,
    )
    assert_cube(
        tables,
        DAILY,
        """
        member_id | service_date | claims | pending_claims | denied_claims | billed_usd
        ann       | 2025-01-10   | 2      | 1              | 1             | 150.00
        ann       | 2025-01-11   | 1      | 0              | 0             | -100.00
        bob       | 2025-01-10   | 0      | 1              | 0             | 0.00
        bob       | 2025-01-12   | 1      | 0              | 0             | 9.00
        """,
    )
    assert_cube(
        tables,
        DAILY,
        """
        member_id | service_date | pending_billed_usd | allowed_usd | paid_usd
        ann       | 2025-01-10   | 30.00              | 120.00      | 60.10
        ann       | 2025-01-11   | 0.00               | -80.00      | -60.10
        bob       | 2025-01-10   | 7.00               | 0.00        | 0.00
        bob       | 2025-01-12   | 0.00               | 9.00        | 9.00
        """,
    )


def test_daily_gathers_versions_of_a_member_and_keeps_unknown_ones(tables):
    claims(
        tables,
        """
        member_sk | plan_sk | provider_sk | service_date | paid_amount
        1         | 1       | 1           | 2025-02-20   | 1
        4         | 1       | 1           | 2025-02-20   | 2
        -1        | -1      | -1          | 2025-02-20   | 4
        """,
    )
    assert_cube(
        tables,
        DAILY,
        """
        member_id | claims | paid_usd
        (unknown) | 1      | 4.00
        ann       | 2      | 3.00
        """,
    )


def test_metal_prorates_member_months_by_covered_days(tables):
    # Three whole months; 16 of 31 and 14 of 28 days; one day of 28.
    enrollments(
        tables,
        """
        member_sk | plan_sk | start_date | end_date
        1         | 1       | 2025-01-01 | 2025-03-31
        2         | 1       | 2025-01-16 | 2025-02-14
        3         | 2       | 2025-02-28 | 2025-02-28
        """,
    )
    assert_cube(
        tables,
        METAL,
        """
        metal_tier | month      | covered_days | member_months
        Gold       | 2025-02-01 | 1            | 0.035714
        Silver     | 2025-01-01 | 47           | 1.516129
        Silver     | 2025-02-01 | 42           | 1.500000
        Silver     | 2025-03-01 | 31           | 1.000000
        """,
        where="covered_days <> 0",
    )


def test_metal_counts_a_day_once_that_two_spans_of_a_member_include(tables):
    enrollments(
        tables,
        """
        plan_sk | start_date | end_date
        1       | 2025-01-01 | 2025-01-31
        2       | 2025-01-22 | 2025-01-31
        """,
    )
    assert_cube(
        tables,
        METAL,
        """
        metal_tier | covered_days
        Gold       | 10
        Silver     | 21
        """,
        where="covered_days <> 0",
    )


def test_metal_counts_a_leap_day_and_a_span_over_the_year_end(tables):
    enrollments(
        tables,
        """
        start_date | end_date
        2023-12-31 | 2024-02-29
        """,
    )
    assert_cube(
        tables,
        METAL,
        """
        month      | covered_days
        2023-12-01 | 1
        2024-01-01 | 31
        2024-02-01 | 29
        """,
        where="metal_tier = 'Silver'",
    )


def test_metal_shows_every_tier_in_every_month_without_a_gap(tables):
    claims(
        tables,
        """
        service_date | claim_amount | allowed_amount | paid_amount
        2025-01-10   | 10           | 10             | 10
        2025-04-10   | 10           | 10             | 10
        """,
    )
    months = [str(date(2025, m, 1)) for m in (1, 2, 3, 4)]
    # Plan 3 is inferred: its tier is not known.
    tiers = ["(unknown)", "Expanded Bronze", "Gold", "Silver"]
    # Without coverage nothing is paid for a member and month: the cell is empty.
    assert rows_of(tables, METAL, "metal_tier, month, claims, paid_pmpm_usd") == [
        {
            "metal_tier": tier,
            "month": month,
            "claims": "1" if tier == "Silver" and month in (months[0], months[3]) else "0",
        }
        for tier in tiers
        for month in months
    ]


def test_metal_pmpm_members_pending_and_denied(tables):
    enrollments(
        tables,
        """
        member_sk | start_date | end_date
        1         | 2025-02-01 | 2025-02-28
        2         | 2025-02-01 | 2025-02-14
        3         | 2025-02-01 | 2025-02-28
        """,
    )
    # Member 4 is a later version of member 1.
    claims(
        tables,
        """
        member_sk | plan_sk | service_date | status   | claim_amount | allowed_amount | paid_amount
        1         | 1       | 2025-02-10   | approved | 100          | 80             | 70
        4         | 1       | 2025-02-20   | approved | 100          | 80             | 55
        2         | 1       | 2025-02-10   | denied   | 10           | 5              | 5
        3         | 1       | 2025-02-10   | pending  | 1000         | 500            | 400
        2         | 2       | 2025-02-10   | approved | 8            | 8              | 8
        -1        | -1      | 2025-02-10   | approved | 3            | 2              | 1
        -1        | 3       | 2025-02-11   | approved | 3            | 2              | 1
        """,
    )
    assert_cube(
        tables,
        METAL,
        """
        metal_tier      | claims | pending_claims | denied_claims | members | member_months
        (unknown)       | 2      | 0              | 0             | 1       | 0.000000
        Expanded Bronze | 0      | 0              | 0             | 0       | 0.000000
        Gold            | 1      | 0              | 0             | 1       | 0.000000
        Silver          | 3      | 1              | 1             | 2       | 2.500000
        """,
    )
    assert_cube(
        tables,
        METAL,
        """
        metal_tier      | billed_usd | pending_billed_usd | allowed_usd | paid_usd | paid_pmpm_usd
        (unknown)       | 6.00       | 0.00               | 4.00        | 2.00     |
        Expanded Bronze | 0.00       | 0.00               | 0.00        | 0.00     |
        Gold            | 8.00       | 0.00               | 8.00        | 8.00     |
        Silver          | 210.00     | 1000.00            | 165.00      | 125.00   | 50.00
        """,
    )


def test_high_cost_tracking_begins_at_fifty_thousand_and_ends_after_twelve_months(tables):
    # In March exactly the threshold, in June the next band; the last claim is the last month.
    claims(
        tables,
        """
        member_sk | service_date | status   | paid_amount
        1         | 2024-01-05   | approved | 30000.00
        1         | 2024-03-05   | approved | 20000.00
        1         | 2024-06-05   | approved | 50000.00
        1         | 2024-06-06   | denied   | 900000.00
        1         | 2024-06-07   | pending  | 900000.00
        2         | 2024-03-05   | approved | 49999.99
        3         | 2025-12-05   | approved | 1.00
        """,
    )
    # January 2024 leaves the window of January 2025, March that of March; June that of June.
    assert_cube(
        tables,
        HIGH_COST,
        """
        member_id | month      | paid_12_months_usd | band   | first_month_over
        ann       | 2024-03-01 | 50000.00           | $50k+  | 2024-03-01
        ann       | 2024-04-01 | 50000.00           | $50k+  | 2024-03-01
        ann       | 2024-05-01 | 50000.00           | $50k+  | 2024-03-01
        ann       | 2024-06-01 | 100000.00          | $100k+ | 2024-03-01
        ann       | 2024-07-01 | 100000.00          | $100k+ | 2024-03-01
        ann       | 2024-08-01 | 100000.00          | $100k+ | 2024-03-01
        ann       | 2024-09-01 | 100000.00          | $100k+ | 2024-03-01
        ann       | 2024-10-01 | 100000.00          | $100k+ | 2024-03-01
        ann       | 2024-11-01 | 100000.00          | $100k+ | 2024-03-01
        ann       | 2024-12-01 | 100000.00          | $100k+ | 2024-03-01
        ann       | 2025-01-01 | 70000.00           | $50k+  | 2024-03-01
        ann       | 2025-02-01 | 70000.00           | $50k+  | 2024-03-01
        ann       | 2025-03-01 | 50000.00           | $50k+  | 2024-03-01
        ann       | 2025-04-01 | 50000.00           | $50k+  | 2024-03-01
        ann       | 2025-05-01 | 50000.00           | $50k+  | 2024-03-01
        """,
    )


def test_high_cost_begins_at_exactly_fifty_thousand_dollars(tables):
    claims(
        tables,
        """
        member_sk | service_date | paid_amount
        1         | 2025-01-15   | 50000.00
        2         | 2025-01-15   | 49999.99
        3         | 2025-01-15   | 99999.99
        """,
    )
    assert_cube(
        tables,
        HIGH_COST,
        """
        member_id | paid_12_months_usd | band
        ann       | 50000.00           | $50k+
        cid       | 99999.99           | $50k+
        """,
    )


def test_high_cost_ends_with_the_last_month_of_claims(tables):
    # The claim in April is of the unknown member, who is never tracked.
    claims(
        tables,
        """
        member_sk | service_date | status   | paid_amount
        4         | 2025-03-31   | approved | 1000000.00
        2         | 2025-05-01   | pending  | 1.00
        -1        | 2025-04-01   | approved | 60000.00
        """,
    )
    assert_cube(
        tables,
        HIGH_COST,
        """
        member_id | month      | band
        ann       | 2025-03-01 | $1M+
        ann       | 2025-04-01 | $1M+
        ann       | 2025-05-01 | $1M+
        """,
    )


def test_high_cost_reversal_takes_a_member_out_and_keeps_the_first_month(tables):
    claims(
        tables,
        """
        service_date | status   | paid_amount
        2025-01-15   | approved | 250000.00
        2025-02-15   | reversed | -240000.00
        2025-04-15   | approved | 45000.00
        """,
    )
    assert_cube(
        tables,
        HIGH_COST,
        """
        month      | paid_12_months_usd | band   | first_month_over
        2025-01-01 | 250000.00          | $250k+ | 2025-01-01
        2025-04-01 | 55000.00           | $50k+  | 2025-01-01
        """,
    )


def test_specialty_rates_are_per_1000_member_months_of_everybody(tables):
    # 1.5 member-months in April, none in May.
    enrollments(
        tables,
        """
        member_sk | plan_sk | start_date | end_date
        1         | 1       | 2025-04-01 | 2025-04-30
        2         | 2       | 2025-04-01 | 2025-04-15
        """,
    )
    claims(
        tables,
        """
        member_sk | provider_sk | service_date | status   | allowed_amount | paid_amount
        1         | 1           | 2025-04-10   | approved | 90             | 60
        1         | 1           | 2025-04-11   | denied   | 30             | 30
        2         | 1           | 2025-04-12   | pending  | 90             | 60
        2         | -1          | 2025-04-12   | approved | 3              | 3
        1         | 2           | 2025-05-12   | approved | 5              | 5
        """,
    )
    assert_cube(
        tables,
        SPECIALTY,
        """
        specialty   | claims | pending_claims | denied_claims | members | member_months
        (unknown)   | 1      | 0              | 0             | 1       | 1.500000
        Cardiology  | 2      | 1              | 1             | 1       | 1.500000
        Dermatology | 1      | 0              | 0             | 1       | 0
        """,
    )
    assert_cube(
        tables,
        SPECIALTY,
        """
        specialty   | allowed_usd | paid_usd | claims_per_1000 | members_per_1000
        (unknown)   | 3.00        | 3.00     | 666.67          | 666.67
        Cardiology  | 120.00      | 60.00    | 1333.33         | 666.67
        Dermatology | 5.00        | 5.00     |                 |
        """,
    )
    assert_cube(
        tables,
        SPECIALTY,
        """
        specialty   | allowed_per_1000_usd | paid_per_1000_usd
        (unknown)   | 2000.00              | 2000.00
        Cardiology  | 80000.00             | 40000.00
        Dermatology |                      |
        """,
    )


UNKNOWN = ("D", "Paid", "VOID", "Rejected", "BILLED", "approved ", "")


def test_claims_of_an_unknown_status_are_counted_apart_and_never_paid(tables):
    day = {"service_date": "2025-02-10"}
    amounts = ("claim_amount", "allowed_amount", "paid_amount")
    approved = day | dict(zip(amounts, ("100.00", "80.00", "70.00"), strict=True))
    much = day | dict.fromkeys(amounts, "60000.00")
    unknown = [much | {"status": word} for word in UNKNOWN]
    claims(tables, [approved, *unknown, much | {"member_sk": "2", "status": "VOID"}])
    assert_cube(
        tables,
        DAILY,
        """
        member_id | claims | unknown_status_claims | billed_usd | unknown_status_billed_usd
        ann       | 1      | 7                     | 100.00     | 420000.00
        bob       | 0      | 1                     | 0.00       | 60000.00
        """,
    )
    assert_cube(
        tables,
        DAILY,
        """
        member_id | allowed_usd | paid_usd
        ann       | 80.00       | 70.00
        bob       | 0.00        | 0.00
        """,
    )
    for cube in (METAL, SPECIALTY):
        assert_cube(
            tables,
            cube,
            """
            claims | unknown_status_claims | billed_usd | unknown_status_billed_usd | members
            1      | 8                     | 100.00     | 480000.00                 | 1
            """,
            where="unknown_status_claims > 0",
        )
        paid = rows_of(tables, cube, "allowed_usd, paid_usd", where="unknown_status_claims > 0")
        assert paid == [{"allowed_usd": "80.00", "paid_usd": "70.00"}]
    assert rows_of(tables, HIGH_COST, "member_id") == []


def test_status_words_of_the_cubes_are_those_of_the_contract(tables):
    words = [*FEEDS["claims"].column("status").check.values, None, "void"]
    tables.execute("create temporary table said (status text)")
    with tables.cursor() as cursor:
        cursor.executemany("insert into said values (%s)", [(word,) for word in words])
    found = tables.execute(
        sql.SQL(
            "select s.status, is_pending, is_denied, is_unknown, is_adjudicated, is_paid"
            " from said as s cross join lateral ({}) as state"
        ).format(claim_status.state())
    ).fetchall()
    # Pending, denied, unknown, adjudicated, paid.
    assert {word: "".join("-+"[flag] for flag in flags) for word, *flags in found} == {
        "pending": "+----",
        "denied": "-+-+-",
        "approved": "---++",
        "adjusted": "---++",
        "reversed": "---++",
        None: "---++",
        "void": "--+--",
    }
