"""Zip files and workbooks of a batch: loaded, counted and masked as plain files are."""

from __future__ import annotations

import json
import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import xxhash

from etl.contracts import senders
from etl.contracts.feeds import FEEDS
from etl.contracts.file_form import FileForm
from etl.contracts.reasons import Reason
from etl.contracts.refusals import Refusal
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.value import of
from etl.errors import BatchError
from etl.inbox import header
from etl.inbox.batch import read_batch
from etl.masked_inbox import copy
from etl.pipeline import commands
from etl.quarantine import export
from etl.stages.stage.byte_count import Seen
from tests.support.warehouse import Warehouse
from tests.support.workbooks import archive, workbook

CLAIMS = FEEDS["claims"]
HEADER = ("claim_id", "member_id", "service_date", "claim_amount", "allowed_amount", "paid_amount")
NOT_SENT = tuple(name for name in CLAIMS.required if name not in HEADER)
PAYER = SenderContract(
    "payer",
    CLAIMS,
    "A payer that sends workbooks.",
    columns={"claim_id": of("Claim"), "member_id": of("Member"), "service_date": of("From")},
    form=FileForm(before=2, after="Total", sheet="Claims *"),
    parsing=Parsing(date_order="mdy", thousands=",", currency=("$",), null_words=("#N/A",)),
    not_sent=NOT_SENT,
    reject_share=0.9,
    files=("payer_*",),
)
TITLE = ["Paid claims of January 2025"]
NAMES = ["Claim", "Member", "From", "claim_amount", "allowed_amount", "paid_amount", "Note"]
DAY = date(2025, 1, 31)
ROWS: list[list[Any]] = [
    ["00017", 12, DAY, 0.1 + 0.2, 10, 5.5, "a,\nb"],  # 4
    ["00018", "07", "1/31/2025", "$1,000.00", 12.34, 0, None],  # 5
    ["00019", "08", DAY, 1, 1, "#N/A"],  # 6: nothing, by the contract's word
    ["00020", "08", "#REF!", 1, 1, 1],  # 7
    ["00021", "08", DAY, 1.005, 1, 1],  # 8
    [],
    ["00022", "08", 45688, 1, 1, 1],  # 10
    ["00023", "08", DAY, 1, 1, 1, "#N/A", "too much"],  # 11
    ["00024", "08", DAY, 2, 2, 2, "#REF!"],  # 12: in a column that is not used
    ["Total", None, None, 1009.34],  # 13
]


def put(
    warehouse: Warehouse, day: str, files: dict[str, bytes], said: dict[str, Any] | None = None
) -> None:
    folder = warehouse.send(day, None if said is None else {"files": said})
    for name, data in files.items():
        (folder / name).write_bytes(data)


def refused(warehouse: Warehouse, refusal: Refusal) -> str:
    with pytest.raises(BatchError) as error:
        warehouse.incremental()
    assert error.value.refusal is refusal
    return error.value.message


@pytest.fixture
def payer(monkeypatch: pytest.MonkeyPatch) -> SenderContract:
    monkeypatch.setitem(senders.SENDERS, PAYER.name, PAYER)
    return PAYER


def of_payer(*, is_1904: bool = True) -> bytes:
    def hide(book: Any) -> None:
        book["Lists"].sheet_state = "hidden"
        book["Claims Jan"].row_dimensions[4].hidden = True
        book["Claims Jan"].merge_cells("A1:F1")

    sheets = {"Lists": [["x"]], "Summary": [["y"]], "Claims Jan": [TITLE, [], NAMES, *ROWS]}
    return workbook(sheets, hide, is_1904=is_1904)


LOADED = [
    (4, "00017", "12", DAY, Decimal("0.3"), 10, Decimal("5.5")),
    (5, "00018", "07", DAY, 1000, Decimal("12.34"), 0),
    (6, "00019", "08", DAY, 1, 1, None),
    (12, "00024", "08", DAY, 2, 2, 2),
]
REJECTED = [
    (7, "service_date", Reason.CELL_ERROR.text),
    (8, "claim_amount", Reason.NOT_AN_AMOUNT.text),
    (10, "service_date", Reason.NOT_A_DATE.text),
    (11, None, Reason.FIELD_COUNT.text),
]


@pytest.mark.slow
@pytest.mark.parametrize("is_1904", [False, True])
def test_a_workbook_of_a_payer_is_loaded_by_the_rows_of_its_sheet(
    warehouse: Warehouse, payer: SenderContract, *, is_1904: bool
) -> None:
    put(warehouse, "2025-02-01", {"payer_jan.xlsx": of_payer(is_1904=is_1904)})
    warehouse.incremental()
    assert (
        warehouse.rows(
            "select source_line, claim_id, member_id, service_date, claim_amount, allowed_amount, "
            "paid_amount from staging.claims_raw order by 1"
        )
        == LOADED
    )
    assert (
        warehouse.rows("select line, column_name, reason from quality.rejected_row order by line")
        == REJECTED
    )
    assert warehouse.rows(
        "select rows_read, rows_loaded, rows_rejected, lines_read, lines_blank, "
        "findings ->> 'lines_around_rows' from ledger.load_file"
    ) == [(8, 4, 4, 13, 1, "3")]
    ((path, _),) = export.export(warehouse.url, warehouse.data, "2025-02-01", "claims")
    path.write_text(path.read_text("utf-8").replace("#REF!", "1/30/2025", 1), "utf-8")
    warehouse.run(commands.replay_export, path)
    corrected = "select service_date from staging.claims_raw where source_line = 7"
    assert warehouse.column(corrected) == [date(2025, 1, 30)]
    before = warehouse.contents(keys=False)
    warehouse.rebuild()
    assert warehouse.contents(keys=False) == before
    (left_out,) = copy.make(warehouse.inbox, warehouse.data / "copy").left_out
    assert "is a workbook, in which no masked copy can be written" in left_out.message


def csv_of(rows: list[list[str]]) -> bytes:
    return "".join(",".join(row) + "\n" for row in [list(HEADER), *rows]).encode()


def test_zip_files_are_parts_of_a_feed_like_others(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = SenderContract("few", CLAIMS, "", not_sent=NOT_SENT)
    monkeypatch.setitem(senders.SENDERS, own.name, own)
    rows = [[f"C{n}", "zq", "2025-01-31", "10.00", "8.00", f"{n}.00"] for n in range(3)]
    files = {
        "claims_1.csv.zip": archive({"export/claims.csv": csv_of(rows[:1]), "README": b"for zq"}),
        "claims_2.zip": archive({"x.csv": csv_of(rows[1:2]), "y.csv": b"zq"}, zipfile.ZIP_STORED),
        "claims_3.csv": csv_of(rows[2:]),
    }
    said = {
        name: {
            "rows": 1,
            "totals": {"paid_amount": f"{n}"},
            "xxh3_128": xxhash.xxh3_128_hexdigest(d),
        }
        for n, (name, d) in enumerate(files.items())
    }
    said["claims_2.zip"]["member"] = "x.csv"
    put(warehouse, "2025-02-01", files, said)
    warehouse.incremental()
    assert warehouse.column("select claim_id from staging.claims_raw order by source_line") == [
        "C0",
        "C1",
        "C2",
    ]
    copied = warehouse.data / "copy"
    assert copy.make(warehouse.inbox, copied).left_out == []
    for name in ("claims_1.csv.zip", "claims_2.zip"):
        with zipfile.ZipFile(copied / "2025-02-01" / name) as packed:
            ((inner, data),) = [(name, packed.read(name)) for name in packed.namelist()]
        assert inner in ("export/claims.csv", "x.csv")
        assert data.startswith(b"claim_id,")
        assert b"zq" not in data
    manifest = json.loads((copied / "2025-02-01" / "manifest.json").read_text("utf-8"))
    assert manifest["files"]["claims_2.zip"]["member"] == "x.csv"


def test_packed_files_that_are_not_clear_are_refused_with_a_sentence(tmp_path: Path) -> None:
    plain = csv_of([])
    refusals = [
        ("claims.zip", archive({"a.csv": plain, "b.csv": plain}), Refusal.NOT_CSV, "of 2 files"),
        ("claims.zip", archive({"a.zip": archive({"a": plain})}), Refusal.NOT_CSV, "ZIP archive"),
        ("claims.xlsx", plain, Refusal.UNREADABLE_FILE, "it is damaged"),
        ("claims.xlsx", workbook({"A": [[1]], "B": [[2]]}), Refusal.NOT_CSV, "has 2 sheets"),
        ("claims.csv", workbook({"A": [[1]]}), Refusal.NOT_CSV, "a ZIP archive or a spreadsheet"),
        ("claims.zip", archive({"a.csv": _bomb()}), Refusal.TOO_LARGE, "more than 65 MiB"),
        ("claims.xls", b"", Refusal.UNEXPECTED_FILE, "of the old kind: save it as .xlsx"),
        ("claims.xlsm", b"", Refusal.UNEXPECTED_FILE, "with macros: save it as .xlsx"),
    ]
    for number, (name, data, refusal, said) in enumerate(refusals, 1):
        folder = tmp_path / f"2025-02-{number:02}"
        folder.mkdir()
        (folder / name).write_bytes(data)
        with pytest.raises(BatchError) as error:
            read(folder)
        assert error.value.refusal is refusal
        assert said in error.value.message
        assert folder.name in error.value.message


def read(folder: Path) -> None:
    """Read a batch of one file to its end."""
    batch = read_batch(folder)
    (file,) = batch.files
    _, records = header.read(batch, file, Seen(file).through(lambda _: None))
    for _ in records:
        pass


def _bomb() -> bytes:
    columns = b",".join(name.encode() for name in CLAIMS.required)
    return columns + b"\n" + bytes(70 << 20)


def test_a_title_above_the_header_is_named_and_a_sheet_taken_by_the_manifest(
    warehouse: Warehouse, payer: SenderContract
) -> None:
    rows = [[name, *["x"] * 2] for name in "abc"]
    named = workbook({"Jan": [[*CLAIMS.required]], "Feb": [TITLE, [*CLAIMS.required], *rows]})
    put(warehouse, "2025-02-01", {"claims.xlsx": named}, {"claims.xlsx": {"sheet": "Feb"}})
    assert "its header is on line 2" in refused(warehouse, Refusal.WRONG_HEADER)
    said = {"claims.xlsx": {"sheet": "Jan"}}
    (warehouse.inbox / "2025-02-01" / "manifest.json").write_text(json.dumps({"files": said}))
    warehouse.incremental()
    assert warehouse.rows(
        "select rows_read, lines_read from ledger.load_file where status = 'loaded'"
    ) == [(0, 1)]
