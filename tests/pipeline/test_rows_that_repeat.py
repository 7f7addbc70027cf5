"""Rows that a contract filters, and lines that give several rows: counted, rejected, corrected."""

from __future__ import annotations

import csv
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from etl.contracts import senders
from etl.contracts.column import Breach, Matches
from etl.contracts.feeds import FEEDS
from etl.contracts.file_form import FileForm
from etl.contracts.sender import SenderContract
from etl.contracts.value import batch_date, manifest, numbered, of, repeat, total, where, where_not
from etl.errors import BatchError
from etl.pipeline import commands
from etl.quarantine import export
from etl.stages.stage.staged import Staged
from tests.support.warehouse import Warehouse

HEAD = "claim,day,kind,dx1,dx2,dx3"
CODES = SenderContract(
    "codes",
    FEEDS["claim_diagnoses"],
    "Three diagnoses next to each other.",
    files=("codes_*.csv",),
    columns={"claim_id": of("claim"), "service_date": of("day")},
    where=(where_not("kind", "dental", ""),),
    repeat=repeat("position", diagnosis_code=numbered("dx{}", 3)),
    checks={"diagnosis_code": Matches("[A-Z][0-9]+")},
    on_breach={"diagnosis_code": Breach.REJECT_ROW},
    reject_share=1,
)
BILLS = SenderContract(
    "bills",
    FEEDS["claims"],
    "Amounts in two fields, of one kind.",
    files=("bills*.csv",),
    columns={
        "provider_id": manifest("provider"),
        "paid_amount": total("paid", "interest"),
        "claim_amount": of("billed").scale("0.01"),
    },
    where=(where("kind", "medical"),),
    not_sent=("allowed_amount", "diagnosis_code", "procedure_code"),
    reject_share=1,
)


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    for contract in (CODES, BILLS):
        monkeypatch.setitem(senders.SENDERS, contract.name, contract)


def put(warehouse: Warehouse, day: str, name: str, *lines: str, **said: Any) -> Staged:
    folder = warehouse.send(day, {"files": {name: said}} if said else None)
    (folder / name).write_text("\n".join([*lines, ""]))
    with warehouse.pipeline() as pipeline:
        commands.run_stages(pipeline, ("stage",))
        return pipeline.summary.files[-1]


def counts(warehouse: Warehouse, name: str) -> tuple[int, ...]:
    """Read, added, loaded, rejected, duplicate and filtered rows of the latest file of a name."""
    (found,) = warehouse.rows(
        "select rows_read, rows_added, rows_loaded, rows_rejected, rows_duplicate, rows_filtered "
        f"from ledger.load_file where file_name = '{name}' order by load_id desc limit 1"
    )
    return found


def codes(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.rows(
        "select claim_id, position, diagnosis_code, source_line from staging.claim_diagnoses_raw "
        "order by load_id, claim_id, position"
    )


def test_a_line_is_rejected_as_a_whole(warehouse: Warehouse) -> None:
    put(
        warehouse,
        "2025-02-01",
        "codes_1.csv",
        HEAD,
        "A,2025-01-01,medical,E11,,I10",
        "B,2025-01-01,medical,E11,oops,I10",  # one code of three is none
        "C,2025-01-01,Dental,E11,I10,",
        "D,2025-01-01,,E11,I10,",
        "E,2025-01-01,medical,,,",  # gives no row
        "F,soon,medical,E11,I10,",
        "A,2025-01-01,medical,E11,,I10",  # the same again
        "G,2025-01-01,medical,E11,I10,",
        "G,2025-01-01,medical,E11,I11,",  # of two that differ the later is valid
    )
    assert codes(warehouse) == [
        ("A", 1, "E11", 8),
        ("A", 3, "I10", 8),
        ("G", 1, "E11", 10),
        ("G", 2, "I11", 10),
    ]
    assert counts(warehouse, "codes_1.csv") == (9, 3, 4, 3, 2, 3)
    assert warehouse.rows(
        "select line, column_name, reason from quality.rejected_row order by line"
    ) == [
        (3, "diagnosis_code", "outside what the contract allows"),
        (7, "service_date", "not a valid date"),
        (9, "claim_id", "conflicting row of the same key and time; the last in the file is valid"),
    ]


def test_parts_whose_lines_give_several_rows_are_refused(warehouse: Warehouse) -> None:
    """By the feed's own name a file may be a part, and the manifest says its contract."""
    names = ("claim_diagnoses_1.csv", "claim_diagnoses_2.csv")
    folder = warehouse.send("2025-02-01", {"files": {n: {"contract": "codes"} for n in names}})
    for number, name in enumerate(names):
        (folder / name).write_text(f"{HEAD}\nA{number},2025-01-01,medical,E11,I10,\n")
    with (
        pytest.raises(BatchError, match=r"comes in 2 parts, and under its contract codes"),
        warehouse.pipeline() as pipeline,
    ):
        commands.run_stages(pipeline, ("stage",))
    assert warehouse.value("select count(*) from staging.claim_diagnoses_raw") == 0


def test_parts_without_a_header_are_refused(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which part a first line is, nothing in it says."""
    bare = replace(
        BILLS, name="bare", files=(), form=FileForm(names=("claim_id", "member_id", "paid"))
    )
    values = {**bare.columns, "paid_amount": of("paid"), "service_date": batch_date()}
    not_sent = (*bare.not_sent, "plan_id", "status", "claim_amount", "provider_id")
    sent = {name: value for name, value in values.items() if name not in not_sent}
    bare = replace(bare, columns=sent, not_sent=not_sent, where=())
    monkeypatch.setitem(senders.SENDERS, bare.name, bare)
    names = ("claims_1.csv", "claims_2.csv")
    folder = warehouse.send("2025-02-01", {"files": {n: {"contract": "bare"} for n in names}})
    for number, name in enumerate(names):
        (folder / name).write_text(f"C{number},M,5\n")
    with (
        pytest.raises(BatchError, match="are parts without a header"),
        warehouse.pipeline() as pipeline,
    ):
        commands.run_stages(pipeline, ("stage",))
    assert warehouse.value("select count(*) from staging.claims_raw") == 0


def test_a_pattern_that_the_server_does_not_know_is_said(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {**CODES.columns, "claim_id": of("claim").part(pattern="(A{300})")}
    monkeypatch.setitem(senders.SENDERS, "codes", replace(CODES, columns=made))
    with pytest.raises(BatchError, match="contract codes has a pattern that PostgreSQL does not"):
        put(warehouse, "2025-02-01", "codes_1.csv", HEAD, "A,2025-01-01,medical,E11,I10,")


def test_a_corrected_line_gives_all_its_rows(warehouse: Warehouse) -> None:
    lines = [HEAD, "A,2025-01-01,medical,E11,,I10", "B,2025-01-01,medical,E11,oops,I10"]
    put(warehouse, "2025-02-01", "codes_1.csv", *lines)
    ((path, count),) = export.export(warehouse.url, warehouse.data, "2025-02-01", "claim_diagnoses")
    assert count == 1
    correct(path, "3", dx2="I11")
    warehouse.run(commands.replay_export, path)
    assert [row[:3] for row in codes(warehouse)] == [
        *(("A", 1, "E11"), ("A", 3, "I10")),
        *(("B", 1, "E11"), ("B", 2, "I11"), ("B", 3, "I10")),
    ]
    assert counts(warehouse, "codes_1.csv") == (2, 3, 5, 0, 0, 0)
    before = codes(warehouse)
    warehouse.rebuild()
    assert codes(warehouse) == before


def test_amounts_of_rows_that_are_not_meant_are_part_of_the_file(warehouse: Warehouse) -> None:
    head = "claim_id,member_id,plan_id,service_date,status,kind,billed,paid,interest"
    lines = [
        head,
        "A,M,P,2025-01-01,approved,medical,1000,7.00,0.50",
        "B,M,P,2025-01-01,approved,dental,99,5,",
        "C,M,P,2025-01-01,approved,medical,12x,1,2",
        "D,M,P,2025-01-01,approved,dental,x,many,",
    ]
    said = {"values": {"provider": "P9"}, "rows": 4}
    staged = put(warehouse, "2025-02-01", "bills.csv", *lines, **said)
    assert counts(warehouse, "bills.csv") == (4, 0, 1, 1, 0, 2)
    assert warehouse.rows(
        "select claim_id, provider_id, claim_amount, paid_amount from staging.claims_raw"
    ) == [("A", "P9", 10, 7.5)]
    assert staged.totals["paid_amount"]["filtered"] == "5.00"
    assert staged.totals["claim_amount"]["filtered"] == "0.99"
    ((path, _),) = export.export(warehouse.url, warehouse.data, "2025-02-01", "claims")
    correct(path, "4", billed="120")
    warehouse.run(commands.replay_export, path)
    assert warehouse.rows(
        "select claim_id, provider_id, claim_amount, paid_amount from staging.claims_raw "
        "order by claim_id"
    ) == [("A", "P9", 10, 7.5), ("C", "P9", Decimal("1.2"), 3)]
    assert counts(warehouse, "bills.csv") == (4, 0, 2, 0, 0, 2)
    # The same bytes are other rows where the manifest says otherwise.
    other = put(warehouse, "2025-02-03", "bills.csv", *lines, values={"provider": "P8"})
    assert other.status == "loaded"
    with pytest.raises(BatchError, match=r"manifest says no provider of bills\.csv"):
        put(warehouse, "2025-02-02", "bills.csv", *lines)


def correct(path: Path, line: str, **values: str) -> None:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | values if row["_line"] == line else row for row in rows)
