"""Lines of files that gave several rows: each row goes and counts once, and none by mistake."""

from __future__ import annotations

import pytest

from etl.contracts import senders
from etl.contracts.feeds import FEEDS
from etl.contracts.sender import SenderContract
from etl.contracts.value import constant, join, numbered, of, repeat
from tests.support.feeds import write_batch
from tests.support.retention import rebuild_gives_the_same, retain
from tests.support.tables import draw
from tests.support.warehouse import Warehouse, failed_critical

FAMILIES = SenderContract(
    "families",
    FEEDS["enrollments"],
    "The subscriber's coverage and that of a dependent in a line.",
    columns={"plan_id": constant("P1")},
    repeat=repeat(
        enrollment_id=[join("CASE", name, separator="-") for name in ("SELF", "OTHER")],
        member_id=["SELF", "OTHER"],
        start_date=["FROM", "OTHER_FROM"],
        end_date=["TO", "OTHER_TO"],
    ),
    not_sent=("premium_paid", "aptc_amount"),
)
CODES = SenderContract(
    "codes",
    FEEDS["claim_diagnoses"],
    "Three diagnoses next to each other.",
    columns={"claim_id": of("claim"), "service_date": of("day")},
    repeat=repeat("position", diagnosis_code=numbered("dx{}", 3)),
)
PAIRS = SenderContract(
    "pairs",
    FEEDS["claim_diagnoses"],
    "The diagnoses of two claims in a line.",
    columns={"position": constant("1")},
    repeat=repeat(
        claim_id=["A", "B"], service_date=["A_DAY", "B_DAY"], diagnosis_code=["A_DX", "B_DX"]
    ),
)
# With YEARS=1 the newest batch puts the horizon at 2024-01-01. The dependent of the second line is
# covered beyond it, and so is the subscriber of the third.
COVERAGES = """CASE,SELF,FROM,TO,OTHER,OTHER_FROM,OTHER_TO
1,M1,2023-01-01,2023-06-30,M2,2023-02-01,2023-05-31
2,M3,2023-01-01,2023-06-30,M4,2023-02-01,2024-05-31
3,M5,2023-01-01,2024-06-30,M6,2023-02-01,2023-05-31
"""
DIAGNOSES = """claim,day,dx1,dx2,dx3
OLD,2023-03-03,E11,I10,I11
NEW,2024-03-03,E11,I10,
WAITS,2023-03-04,E11,,I10
"""


@pytest.fixture
def sent(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A warehouse whose first batch has a line of several rows for everything."""
    for contract in (FAMILIES, CODES):
        monkeypatch.setitem(senders.SENDERS, contract.name, contract)
    said = {
        "enrollments.csv": {"contract": FAMILIES.name},
        "claim_diagnoses.csv": {"contract": CODES.name},
    }
    folder = warehouse.send("2023-12-01", {"files": said})
    (folder / "enrollments.csv").write_text(COVERAGES)
    (folder / "claim_diagnoses.csv").write_text(DIAGNOSES)
    for batch_id in ("2024-04-01", "2025-03-01"):
        write_batch(
            warehouse.inbox,
            batch_id,
            claims=draw("""
                claim_id | member_id | plan_id | service_date | paid_amount
                OLD      | M1        | P1      | 2023-03-03   | 10.01
                NEW      | M1        | P1      | 2024-03-03   | 20.02
            """),
        )
    warehouse.incremental(1)
    return warehouse


def test_rows_of_a_line_go_once_and_together(sent: Warehouse) -> None:
    retain(sent)
    assert sent.column("select enrollment_id from staging.enrollments_raw order by 1") == [
        "2-M3",
        "2-M4",
        "3-M5",
        "3-M6",
    ]
    assert sent.column("select distinct claim_id from staging.claim_diagnoses_raw") == ["NEW"]
    assert sent.rows(
        "select feed, rows_read + rows_added, rows_loaded, rows_expired from ledger.load_file "
        "where feed <> 'claims' order by 1"
    ) == [("claim_diagnoses", 7, 2, 5), ("enrollments", 6, 4, 2)]
    assert failed_critical(sent.connection) == set()


def test_a_rebuild_takes_out_the_same(sent: Warehouse) -> None:
    retain(sent)
    rebuild_gives_the_same(sent)


PAIRED = "A,A_DAY,A_DX,B,B_DAY,B_DX\n"
# The first line keeps OLD, and the third LONE: the claim next to it comes later. The second goes.
FIRST_PAIRS = """OLD,2023-03-03,E11,NEW,2024-03-03,I10
GONE,2023-03-04,E11,GONE2,2023-03-05,I10
LONE,2023-03-06,E11,LATER,2024-03-06,I10
"""
# GONE and WAITS have no claim by then.
LATER_PAIRS = """GONE,2023-03-04,I11,NEW2,2024-03-07,I12
GONE2,2023-03-05,I11,WAITS,2023-03-08,I12
"""


@pytest.fixture
def paired(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A warehouse whose lines of diagnoses are of two claims each, after retention."""
    monkeypatch.setitem(senders.SENDERS, PAIRS.name, PAIRS)

    def send(batch_id: str, lines: str, claims: list[tuple[str, str]]) -> None:
        said = {"claim_diagnoses.csv": {"contract": PAIRS.name}}
        folder = warehouse.send(batch_id, {"files": said})
        (folder / "claim_diagnoses.csv").write_text(PAIRED + lines)
        drawn = [
            {"claim_id": c, "member_id": "M1", "plan_id": "P1", "service_date": d, "paid_amount": 1}
            for c, d in claims
        ]
        write_batch(warehouse.inbox, f"{batch_id}-claims", claims=drawn)

    days = {
        **{"OLD": "2023-03-03", "NEW": "2024-03-03", "GONE": "2023-03-04"},
        **{"GONE2": "2023-03-05", "LONE": "2023-03-06"},
    }
    send("2024-04-01", FIRST_PAIRS, list(days.items()))
    write_batch(
        warehouse.inbox,
        "2025-03-01",
        claims=draw("""
            claim_id | member_id | plan_id | service_date | paid_amount
            NEWEST   | M1        | P1      | 2025-02-03   | 10.01
        """),
    )
    warehouse.incremental(1)
    retain(warehouse)
    send("2025-03-02", LATER_PAIRS, [("NEW2", "2024-03-07"), ("LATER", "2024-03-06")])
    warehouse.incremental(1)
    return warehouse


STAGED = """
    select l.batch_id, d.source_line, d.claim_id
    from staging.claim_diagnoses_raw as d
    join ledger.load as l using (load_id)
    order by 1, 2, 3
"""


def test_claims_stay_with_a_claim_whose_diagnoses_are_in_the_same_line(paired: Warehouse) -> None:
    assert paired.column("select distinct claim_id from staging.claims_raw order by 1") == [
        *("LATER", "LONE", "NEW", "NEW2", "NEWEST", "OLD"),
    ]
    assert paired.rows(STAGED) == [
        ("2024-04-01", 2, "NEW"),
        ("2024-04-01", 2, "OLD"),
        ("2024-04-01", 4, "LATER"),
        ("2024-04-01", 4, "LONE"),
        ("2025-03-02", 2, "GONE"),
        ("2025-03-02", 2, "NEW2"),
    ]
    assert failed_critical(paired.connection) == set()


def test_a_rebuild_takes_out_no_row_of_a_line_that_stays(paired: Warehouse) -> None:
    staged = paired.rows(STAGED)
    rebuild_gives_the_same(paired)
    assert paired.rows(STAGED) == staged
