"""Hand-written files with what no generator would write, and what has to become of them.

The expected rows were worked out by hand from the files in tests/pipeline/hand.
"""

from __future__ import annotations

import shutil
from datetime import date, datetime
from pathlib import Path

import pytest

from etl.contracts.feeds import FEEDS
from etl.errors import RejectThresholdError
from tests.support.warehouse import CopyOf, Warehouse

HAND = Path(__file__).parent / "hand"
EARLIEST, OPEN = datetime(1900, 1, 1), datetime(9999, 12, 31)


def load_hand_written(warehouse: Warehouse) -> None:
    shutil.copytree(HAND, warehouse.inbox, dirs_exist_ok=True)
    warehouse.incremental(reject_share=0.5)


@pytest.fixture
def loaded(copy_of: CopyOf) -> Warehouse:
    return copy_of(load_hand_written)


def test_rows_of_hand_written_files_are_loaded_rejected_or_duplicate(loaded: Warehouse) -> None:
    found = loaded.rows(
        "select batch_id, feed, rows_read, rows_loaded, rows_rejected, rows_duplicate "
        "from ledger.load_file join ledger.load using (load_id) order by load_id, feed"
    )
    assert found == [
        ("2025-01-10", "claims", 9, 5, 4, 0),
        ("2025-01-10", "enrollments", 4, 3, 1, 0),
        ("2025-01-10", "members", 11, 6, 4, 1),
        ("2025-01-10", "plans", 2, 2, 0, 0),
        ("2025-01-10", "providers", 2, 2, 0, 0),
        ("2025-02-01", "claims", 3, 3, 0, 0),
        ("2025-02-01", "members", 2, 2, 0, 0),
    ]


def test_bad_rows_are_rejected_with_line_column_and_reason(loaded: Warehouse) -> None:
    found = loaded.rows(
        "select feed, line, column_name, reason from quality.rejected_row order by feed, line"
    )
    same = "conflicting row of the same key and time; the last in the file is valid"
    assert found == [
        ("claims", 3, "claim_id", same),
        ("claims", 6, "claim_amount", "not a valid amount"),
        ("claims", 7, "claim_amount", "not a valid amount"),
        ("claims", 8, "service_date", "a word of the clock where a date is due"),
        ("enrollments", 4, "end_date", "dates in the wrong order"),
        ("members", 9, "dob", "not a valid date"),
        ("members", 10, None, "wrong number of fields"),
        ("members", 11, "member_id", "a key that is empty"),
        ("members", 12, "fpl_ratio", "not a valid number"),
    ]
    (raw,) = loaded.rows("select raw_line from quality.rejected_row where reason like 'wrong n%'")
    assert raw == ("M8,Too,Few,1980-01-01",)


def test_members_become_versions(loaded: Warehouse) -> None:
    found = loaded.rows(
        "select member_id, first_name, last_name, gender, call_count, validity_start_ts, "
        "validity_end_ts, current_flag, is_inferred from warehouse.dim_member "
        "where member_sk > 0 order by member_id, validity_start_ts"
    )
    change = datetime(2025, 1, 21)  # 19:00 in New York on the 20th
    assert found == [
        ("M1", "Ann", "Lee", "F", 7, EARLIEST, change, False, False),
        ("M1", "Ann", "Smith", "F", 7, change, OPEN, True, False),
        ("M2", 'José "Pepe"', "O'Neil, Jr", "M", None, EARLIEST, OPEN, True, False),
        ("M3", "Mary\r\nJane", "Line", "F", None, EARLIEST, OPEN, True, False),
        ("M4", "Padded", "Spaces", "F", None, EARLIEST, OPEN, True, False),
        ("M5", None, "Empty", "X", None, EARLIEST, OPEN, True, False),
        ("M6", None, "Null", "X", None, EARLIEST, OPEN, True, False),
        ("M9", None, None, None, None, EARLIEST, OPEN, True, True),
        ("MX", "Late", "Comer", "F", 1, EARLIEST, OPEN, True, False),
    ]


def test_staged_rows_know_their_line(loaded: Warehouse) -> None:
    found = loaded.rows(
        "select member_id, source_line from staging.members_raw where load_id = 1 order by 2"
    )
    # M3 runs over two lines, so M4 begins on line 6; the last line repeats M1 of line 2.
    assert found == [("M2", 3), ("M3", 4), ("M4", 6), ("M5", 7), ("M6", 8), ("M1", 14)]


def test_claims_point_at_the_version_of_their_service_date(loaded: Warehouse) -> None:
    found = loaded.rows(
        "select claim_id, service_date, date_key, m.member_id, m.last_name, p.provider_id, "
        "pl.plan_id, pl.effective_year, status, allowed_amount::text "
        "from warehouse.fact_claim join warehouse.dim_member as m using (member_sk) "
        "join warehouse.dim_provider as p using (provider_sk) "
        "join warehouse.dim_plan as pl using (plan_sk) order by claim_id"
    )
    assert found == [
        ("C1", date(2025, 1, 5), 20250105, "M1", "Lee", "D1", "P1", 2025, "approved", "80.00"),
        ("C10", date(2025, 1, 15), 20250115, "M1", "Lee", "D1", "P1", 2025, "approved", "20.00"),
        # Pending on January 6, approved with the day corrected: one row, in its new month.
        (
            "C2",
            date(2025, 3, 6),
            20250306,
            "M2",
            "O'Neil, Jr",
            "D2",
            "P2",
            2025,
            "approved",
            "155.00",
        ),
        # No member is named: the unknown row. The plan of 2024 is another plan: inferred.
        ("C3", date(2024, 12, 30), 20241230, "", None, "D1", "P1", 2024, "approved", "40.00"),
        ("C4", date(2025, 2, 28), 20250228, "MX", "Comer", "D9", "P1", 2025, "Approved", "10.10"),
        ("C8", date(2025, 1, 9), 20250109, "M1", "Lee", "D1", "P1", 2025, "denied", "60.00"),
        ("C9", date(2025, 1, 25), 20250125, "M1", "Smith", "D1", "P1", 2025, "approved", "20.00"),
    ]
    partition = loaded.rows(
        "select tableoid::regclass::text from warehouse.fact_claim where claim_id = 'C2'"
    )
    assert partition == [("internal.fact_claim_2025_03",)]


def test_enrollments_have_covered_days(loaded: Warehouse) -> None:
    found = loaded.rows(
        "select enrollment_id, m.member_id, m.last_name, enrollment_start_date_key, "
        "enrollment_end_date_key, coverage_days, premium_paid::text "
        "from warehouse.fact_enrollment join warehouse.dim_member as m using (member_sk) order by 1"
    )
    assert found == [
        ("E1", "M1", "Lee", 20250101, 20251231, 365, "100.00"),
        ("E2", "M2", "O'Neil, Jr", 20250101, 20250315, 74, "120.50"),
        ("E4", "M9", None, 20250201, 20251231, 334, "90.00"),
    ]


def test_file_with_too_many_rejected_rows_keeps_only_its_quarantine(warehouse: Warehouse) -> None:
    shutil.copytree(HAND, warehouse.inbox, dirs_exist_ok=True)
    with pytest.raises(RejectThresholdError, match=r"members\.csv .* 4 of 11 rows are bad"):
        warehouse.incremental(reject_share=0.05)
    assert warehouse.value("select status from ledger.load where load_id = 1") == "failed"
    for feed in FEEDS:
        assert warehouse.rows(f"select from staging.{feed}_raw where load_id = 1") == []
    assert warehouse.rows(
        "select status, rows_read, rows_rejected from ledger.load_file where load_id = 1"
    ) == [("refused", 11, 4)]
    assert warehouse.rows("select load_id, count(*) from quality.rejected_row group by 1") == [
        (1, 4)
    ]
