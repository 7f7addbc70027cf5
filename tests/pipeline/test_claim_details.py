"""Lines and diagnoses of claims in staging: what is taken, what is rejected, and why."""

from __future__ import annotations

from typing import Any

import pytest

from etl.contracts.reasons import Reason
from etl.pipeline import commands
from etl.stages.stage import breaches, look, odd_values, validate
from tests.support.tables import draw
from tests.support.warehouse import Warehouse

LINES = """
    claim_id | line_number | ndc         | line_from  | line_to    | line_paid
    C1       | 1           | 00002143380 |            |            | 10.00
    C1       | 02          |             | 2025-01-03 | 2025-01-03 | 20.00
    C1       | 3           | 0000214338  |            |            | 1.00
    C1       | 4           | 00002-14338 |            |            | 1.00
    C1       | 0           |             |            |            | 1.00
    C1       | -1          |             |            |            | 1.00
    C1       | 1.0         |             |            |            | 1.00
    C1       | 1000000     |             |            |            | 1.00
    C1       | 9999999     |             |            |            | 1.00
    C2       | 7           |             |            |            | 5.00
    C2       | 07          |             |            |            | 6.00
    C3       | 1           |             | 2025-01-03 | 2025-01-02 | 1.00
    C4       | 1           |             |            |            | 1.001
    C5       | 999999      |             |            |            | 7.00
"""
WITHOUT_NUMBER = {"claim_id": "C1", "line_number": None, "line_paid": "1.00"}
DIAGNOSES = """
    claim_id | position | diagnosis_code | present_on_admission
    C1       | 1        | E119           | Y
    C1       | 25       | I10            |
    C1       | 26       | I10            |
    C1       | 0        | I10            |
    C2       | 1        | E119           |
    C2       | 1        | I10            |
    C3       | 2        | Z00            | Q
"""
CONFLICT = Reason.CONFLICT.text
COUNT, BREACH = Reason.NOT_A_COUNT.text, Reason.BREACH.text


@pytest.fixture
def staged(warehouse: Warehouse) -> Warehouse:
    warehouse.send(
        "2025-01-10", claim_lines=[*draw(LINES), WITHOUT_NUMBER], claim_diagnoses=DIAGNOSES
    )
    with warehouse.pipeline(reject_share=1) as pipeline:
        commands.run_stages(pipeline, ("stage",))
    return warehouse


def rejected(warehouse: Warehouse, feed: str) -> dict[int, tuple[Any, ...]]:
    """Column and reason of the rejected rows of a feed, by line."""
    found = warehouse.rows(
        f"select line, column_name, reason from quality.rejected_row where feed = '{feed}'"
    )
    return {line: tuple(said) for line, *said in found}


def test_lines_with_impossible_or_repeated_numbers_are_rejected(staged: Warehouse) -> None:
    assert rejected(staged, "claim_lines") == {
        4: ("ndc", BREACH),
        5: ("ndc", BREACH),
        **dict.fromkeys(range(6, 11), ("line_number", COUNT)),
        11: ("claim_id", CONFLICT),
        13: ("line_to", Reason.OUT_OF_ORDER.text),
        14: ("line_paid", Reason.NOT_AN_AMOUNT.text),
        16: ("line_number", COUNT),
    }
    assert staged.rows(
        "select claim_id, line_number, line_paid::text from staging.claim_lines_raw order by 1, 2"
    ) == [("C1", 1, "10.00"), ("C1", 2, "20.00"), ("C2", 7, "6.00"), ("C5", 999_999, "7.00")]


def test_diagnoses_with_impossible_or_repeated_positions_are_rejected(staged: Warehouse) -> None:
    assert rejected(staged, "claim_diagnoses") == {
        4: ("position", BREACH),
        5: ("position", COUNT),
        6: ("claim_id", CONFLICT),
    }
    # What is no diagnosis code, and no word of the list, is loaded and reported.
    assert staged.rows(
        "select claim_id, position, diagnosis_code, present_on_admission "
        "from staging.claim_diagnoses_raw order by 1, 2"
    ) == [
        ("C1", 1, "E119", "Y"),
        ("C1", 25, "I10", None),
        ("C2", 1, "I10", None),
        ("C3", 2, "Z00", "Q"),
    ]


def test_money_of_lines_is_accounted_for(staged: Warehouse) -> None:
    (paid,) = staged.column(
        "select totals -> 'line_paid' from ledger.load_file where feed = 'claim_lines'"
    )
    assert {k: paid[k] for k in ("loaded", "rejected", "duplicate", "unread")} == {
        "loaded": "43.00",
        "rejected": "14.00",
        "duplicate": "0.00",
        "unread": 1,
    }


def test_rows_of_sound_files_are_read_once_after_they_were_copied(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def noted(ask: Any) -> Any:
        def noting(connection: Any, name: str, *rest: Any, **parts: Any) -> Any:
            asked.append(name)
            return ask(connection, name, *rest, **parts)

        return noting

    for module in (breaches, look, odd_values, validate):
        for name in ("run", "scalar", "rows_of"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, noted(getattr(module, name)))
    warehouse.send(
        "2025-01-10",
        claim_lines=[
            {"claim_id": "C1", "line_number": "1", "line_from": "2025-01-03"},
            {"claim_id": "C1", "line_number": "2", "ndc": "00002143380"},
        ],
        claim_diagnoses=[
            {"claim_id": "C1", "position": "1", "diagnosis_code": "E119"},
            {"claim_id": "C1", "position": "2", "diagnosis_code": "I10"},
        ],
    )
    with warehouse.pipeline() as pipeline:
        commands.run_stages(pipeline, ("stage",))
    assert asked == ["stage/look.look"] * 2
    assert warehouse.rows(
        "select rows_loaded, distinct_keys from ledger.load_file order by feed"
    ) == [(2, 2), (2, 2)]
