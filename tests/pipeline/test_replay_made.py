"""Corrected rows of files whose contract makes values, and the rows whose place they take."""

from __future__ import annotations

import pytest

from etl.contracts import senders
from etl.contracts.feeds import FEEDS
from etl.contracts.reasons import Reason
from etl.contracts.sender import SenderContract
from etl.contracts.value import constant, join, of
from etl.errors import BatchError
from tests.support.corrections import everything, export, open_rows, replay, rewrite
from tests.support.warehouse import Warehouse, failed_critical

CLAIMS = FEEDS["claims"]
MADE = SenderContract(
    "made",
    CLAIMS,
    "Claims with a number of two fields.",
    columns={
        "claim_id": join("CLAIM", "PART", separator="-"),
        "member_id": of("MEMBER").part(3),
        "provider_id": constant("R1"),
        "plan_id": constant("P1"),
        "service_date": of("DAY").date("YYYYMMDD"),
        **{name: of("CENTS").scale("0.01") for name in CLAIMS.money},
        "status": constant("approved"),
        "diagnosis_code": of("CODE").map({"old": "I10"}, others="keep"),
        "procedure_code": constant("99213"),
    },
    sends_more=True,
)
HEADER = "CLAIM,PART,MEMBER,DAY,CENTS,CODE,NOTE"
FIRST = 'C1,1,m-M1,20250105,1050,old,"a, note"'
SENT = [FIRST, "C1,1,m-M1,soon,2050,E119,", "C2,1,m-M2,20250106,3050,old,"]


@pytest.fixture
def sent(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    monkeypatch.setitem(senders.SENDERS, MADE.name, MADE)
    folder = warehouse.send("2025-01-10", {"files": {"claims.csv": {"contract": MADE.name}}})
    (folder / "claims.csv").write_text("\n".join([HEADER, *SENT, ""]))
    warehouse.incremental(reject_share=1)
    return warehouse


def open_texts(warehouse: Warehouse) -> list[tuple[object, ...]]:
    return warehouse.rows(
        "select line, reason, raw_line from quality.rejected_row where closed_at is null order by 1"
    )


def test_a_row_whose_place_is_taken_keeps_all_its_fields(sent: Warehouse) -> None:
    (path,) = export(sent, "2025-01-10")
    rewrite(path, lambda row: row | {"day": "20250107"})
    replay(sent, path)
    assert open_texts(sent) == [(2, Reason.CONFLICT.text, FIRST)]
    # It can be corrected like any other, here to be a claim of its own.
    path.unlink()
    (path,) = export(sent, "2025-01-10")
    rewrite(path, lambda row: row | {"part": "2"})
    replay(sent, path)
    assert open_rows(sent) == 0
    assert sent.rows(
        "select claim_id, (paid_amount * 100)::integer from staging.claims_raw order by 1"
    ) == [
        ("C1-1", 2050),
        ("C1-2", 1050),
        ("C2-1", 3050),
    ]
    state = everything(sent)
    sent.rebuild()
    assert everything(sent) == state
    assert failed_critical(sent.connection) == set()


def test_a_row_corrected_before_stays_as_it_was_corrected(sent: Warehouse) -> None:
    folder = sent.send("2025-01-11", {"files": {"claims.csv": {"contract": MADE.name}}})
    bad = ["C5,1,m-M1,never,100,old,x", "C5,1,m-M1,20250109,bad,old,y"]
    (folder / "claims.csv").write_text("\n".join([HEADER, *bad, ""]))
    sent.incremental(reject_share=1)
    for line, corrected in (("2", {"day": "20250108"}), ("3", {"cents": "300"})):
        (path,) = export(sent, "2025-01-11")
        rewrite(path, lambda row, c=corrected, n=line: row | c if row["_line"] == n else None)
        replay(sent, path)
        path.unlink()
    assert (2, Reason.CONFLICT.text, "C5,1,m-M1,20250108,100,old,x") in open_texts(sent)


def test_without_the_file_nothing_is_changed(sent: Warehouse) -> None:
    before = open_texts(sent)
    (path,) = export(sent, "2025-01-10")
    rewrite(path, lambda row: row | {"day": "20250107"})
    file = sent.inbox / "2025-01-10" / "claims.csv"
    text = file.read_text()
    file.write_text(text + "C3,1,m-M3,20250108,4050,old,\n")
    with pytest.raises(BatchError, match="replaces one that is loaded"):
        replay(sent, path)
    assert open_texts(sent) == before
    assert sent.value("select count(*) from staging.claims_raw") == 2
    file.write_text(text)
    replay(sent, path)
    assert open_texts(sent) == [(2, Reason.CONFLICT.text, FIRST)]
