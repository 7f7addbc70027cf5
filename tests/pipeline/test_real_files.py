"""Files as they are found in practice: each is loaded or refused with its reason, never in part."""

from __future__ import annotations

import gzip
import io
import random
import time
import zipfile
from typing import Any

import pytest

from etl.errors import BatchError
from etl.pipeline import commands
from etl.stages.stage.staged import Staged
from tests.support.warehouse import Warehouse

HEAD = b"provider_id,name,specialty,street,city,state,zip,phone"
ROW = b"P%d,Dr %d,Family,Oak St,Madison,WI,53703,555"
ROWS = [ROW % (n, n) for n in range(60)]
PLAIN = b"\n".join([HEAD, *ROWS, b""])
BIG = b"x" * (5 << 20)


def put(warehouse: Warehouse, data: bytes, name: str = "providers.csv") -> Staged:
    folder = warehouse.send(f"2025-01-{1 + len(list(warehouse.inbox.iterdir())):02d}")
    (folder / name).write_bytes(data)
    with warehouse.pipeline(reject_share=0.2) as pipeline:
        commands.run_stages(pipeline, ("stage",))
        return pipeline.summary.files[-1]


def staged_rows(warehouse: Warehouse, columns: str) -> list[tuple[Any, ...]]:
    return warehouse.rows(f"select {columns} from staging.providers_raw order by source_line")


def emptied(warehouse: Warehouse) -> None:
    """Rename the refused batches, so that they are no longer batches."""
    for folder in list(warehouse.inbox.iterdir()):
        folder.rename(warehouse.inbox / f"_{folder.name}")


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("providers.csv", data)
    return out.getvalue()


LOADED: dict[str, tuple[bytes, int, dict[str, Any]]] = {
    "plain": (PLAIN, 60, {}),
    "byte-order mark": (b"\xef\xbb\xbf" + PLAIN, 60, {"byte_order_mark": True}),
    "carriage returns": (PLAIN.replace(b"\n", b"\r\n"), 60, {"crlf": True}),
    "no line end at the end": (PLAIN.rstrip(), 60, {}),
    "the end mark of old systems": (PLAIN + b"\x1a", 60, {}),
    "line feeds in quotes": (PLAIN.replace(b"Oak St", b'"Oak\nSt"'), 60, {}),
    "trailing blanks": (PLAIN.replace(b"Dr 7,", b"Dr 7  ,"), 60, {"trimmed_rows": 1}),
    "blanks in quotes": (PLAIN.replace(b"Dr 7,", b'" Dr 7 ",'), 60, {"trimmed_rows": 1}),
    "blanks everywhere": (PLAIN.replace(b",", b" ,"), 60, {"trimmed_rows": 60}),
    "empty lines": (PLAIN.replace(b"\nP", b"\n\n\nP"), 60, {}),
    "a line of 5 MB": (PLAIN.replace(b"Dr 7,", BIG + b","), 59, {}),
    "a line of 5 MB in quotes": (PLAIN.replace(b"Dr 7,", b'"' + BIG + b'\n",'), 59, {}),
    "an end of data in quotes": (PLAIN.replace(b"Dr 7,", b'"\n\\.\n",'), 60, {}),
    "an end of data": (PLAIN.replace(b"\nP7", b"\n\\.\nP7"), 60, {}),
    "mixed encodings": (
        PLAIN.replace(b"Dr 7,", "Núñez,".encode()).replace(b"Dr 9,", "Núñez,".encode("cp1252")),
        59,
        {
            "first_bad_byte": PLAIN.index(b"Dr 9,") + 4,
            "encoding": "a mix of UTF-8 and Windows-1252",
        },
    ),
    "windows-1252": (
        PLAIN.replace(b"Dr 9,", "Núñez,".encode("cp1252")),
        59,
        {"first_bad_byte": PLAIN.index(b"Dr 9,") + 1, "encoding": "Windows-1252"},
    ),
    "a NUL": (
        PLAIN.replace(b"Dr 9,", b"Dr\0 9,"),
        59,
        {"first_bad_byte": PLAIN.index(b"Dr 9,") + 2, "encoding": "binary data"},
    ),
    "a header alone": (HEAD + b"\n", 0, {"rows_expected": [1, 10_000_000]}),
    "a header alone without a line end": (HEAD, 0, {"rows_expected": [1, 10_000_000]}),
    "a header in quotes": (PLAIN.replace(HEAD, HEAD.replace(b"name", b' "NAME" ')), 60, {}),
}
MESSAGES = {
    "a NUL": "is not UTF-8, it looks like binary data",
    "a header alone": "0 rows where 1 to 10,000,000 are expected",
}


@pytest.mark.parametrize("kind", LOADED)
def test_real_file_is_loaded(warehouse: Warehouse, kind: str) -> None:
    data, loaded, findings = LOADED[kind]
    for name in ("providers.csv", "providers.csv.gz"):
        staged = put(warehouse, gzip.compress(data, 1) if name.endswith("gz") else data, name)
        assert (staged.file.path.name, staged.loaded) == (name, loaded)
        assert staged.read == staged.loaded + len(staged.rejected) + staged.duplicate
        assert staged.findings == findings
        assert MESSAGES.get(kind, "") in "; ".join(staged.notes)
    rows = staged_rows(warehouse, "load_id, provider_id, length(name)")
    assert [len([r for r in rows if r[0] == load]) for load in (1, 2)] == [loaded] * 2
    if loaded == len(ROWS):
        assert {r[1] for r in rows} == {f"P{n}" for n in range(60)}
        assert all(r[2] < 8 for r in rows)


REFUSED: dict[str, tuple[bytes, str]] = {
    "an empty file": (b"", "is empty: it has no header"),
    "a byte-order mark alone": (b"\xef\xbb\xbf", "is empty: it has no header"),
    "blank lines alone": (b"\n\n\n", "is empty: it has no header"),
    "a zip": (zipped(PLAIN), "is a ZIP archive or a spreadsheet, not a CSV"),
    "gzip": (gzip.compress(PLAIN), "is gzip data, not a CSV"),
    "a web page": (b"\n<!DOCTYPE html><p>404", "is an HTML page, not a CSV"),
    "json": (b'[{"provider_id": 1}]', "is JSON, not a CSV"),
    "rubbish": (
        random.Random(1).randbytes(200_000),
        r"UTF-8 text: byte \d+ is not UTF-8, it looks like binary data",
    ),
    "utf-16": (PLAIN.decode().encode("utf-16"), r"is UTF-16 \(byte 0 begins its mark\)"),
    "utf-16 without a mark": (
        PLAIN.decode().encode("utf-16-be"),
        "byte 0 is not UTF-8, it looks like UTF-16",
    ),
    "utf-32": (PLAIN.decode().encode("utf-32"), r"is UTF-32 \(byte 0"),
    "a header of 5 MB": (BIG + b",a\n", "too long to be a header"),
    "a header of 5 MB in fields": (b"a," * (1 << 20), "names 1,048,577 columns"),
    "cut in a row": (PLAIN[:-20], "is cut short: it ends in the middle of the row on line 61"),
    "cut in quotes": (
        PLAIN.rstrip() + b'\nP61,"Dr',
        "is cut short: it ends in the middle of the row on line 62",
    ),
    "cut in the second line of a row": (
        PLAIN + b'P61,"Dr\nSmi',
        "is cut short: it ends in the middle of the row on line 63",
    ),
    "windows-1252 throughout": (
        PLAIN.replace(b"Dr", "Dœ".encode("cp1252")),
        r"60 of 60 rows are bad .* byte 59 is not UTF-8, it looks like Windows-1252\.",
    ),
    "rubbish behind a header": (HEAD + b"\n" + random.Random(2).randbytes(200_000), "are bad|cut"),
    "columns without end": (
        b",".join([HEAD, *(b"c%d" % n for n in range(1400))])
        + b"\n"
        + b",".join([ROW % (1, 1), *[b"abcdefghijklmnop"] * 1400])
        + b"\n",
        r"does not fit into a table: .* its 1,408 columns are too wide together",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_unusable_file_is_refused_with_its_reason(warehouse: Warehouse, kind: str) -> None:
    data, words = REFUSED[kind]
    for name in ("providers.csv", "providers.csv.gz"):
        packed = gzip.compress(data, 1) if name.endswith("gz") else data
        with pytest.raises(BatchError, match=words) as refused:
            put(warehouse, packed, name)
        assert len(str(refused.value)) < 500
        assert staged_rows(warehouse, "1") == []
        emptied(warehouse)
    assert warehouse.rows("select distinct status, rows_loaded from ledger.load_file") == [
        ("refused", 0)
    ]


@pytest.mark.parametrize("at", [1, 5, 12, 40, -9, -1])
def test_gzip_that_is_cut_short_is_refused(warehouse: Warehouse, at: int) -> None:
    with pytest.raises(BatchError, match=r"to its end: it is (cut short|damaged)"):
        put(warehouse, gzip.compress(PLAIN)[:at], "providers.csv.gz")
    assert staged_rows(warehouse, "1") == []


@pytest.mark.parametrize("first", [b'"Dr\n0"', b'"Dr\r0"', b'"D\r\nr\n0"'])
def test_row_rejected_by_the_server_has_its_line_whatever_the_first_record_contains(
    warehouse: Warehouse, first: bytes
) -> None:
    rows = [ROWS[0].replace(b"Dr 0", first), *ROWS[1:]]
    rows[50] = rows[50].replace(b"Dr 50", b"x" * 300)
    data = b"\n".join([HEAD, *rows, b""])
    staged = put(warehouse, data)
    line = data[: data.index(b"xxx")].count(b"\n") + 1
    assert [(r.line, r.column) for r in staged.rejected] == [(line, "name")]
    assert warehouse.rows("select line, left(raw_line, 4) from quality.rejected_row") == [
        (line, "P50,")
    ]


@pytest.mark.slow
def test_file_with_very_many_rows_rejected_by_the_server_is_loaded(warehouse: Warehouse) -> None:
    # So many notices that the server stops reading until the client has received them.
    rows = [ROW % (n, n) for n in range(60_000)]
    rows += [ROW.replace(b"P%d", b"K" * 70 + b"%d") % (n, n) for n in range(60_000)]
    folder = warehouse.send("2025-01-01")
    (folder / "providers.csv").write_bytes(b"\n".join([HEAD, *rows, b""]))
    with warehouse.pipeline(reject_share=1) as pipeline:
        commands.run_stages(pipeline, ("stage",))
        (staged,) = pipeline.summary.files
    assert (staged.loaded, len(staged.rejected)) == (60_000, 60_000)


def test_a_long_run_of_blanks_takes_no_longer_than_other_text(warehouse: Warehouse) -> None:
    odd = ROWS[7].replace(b"Dr 7", b" a" + b" " * 900_000 + b"b")
    started = time.perf_counter()
    assert put(warehouse, PLAIN.replace(ROWS[7], odd)).loaded == 59
    assert time.perf_counter() - started < 10


def test_amounts_of_any_length_are_added_up_and_rejected(warehouse: Warehouse) -> None:
    claims = [
        {
            "claim_id": f"C{n}",
            "service_date": "2025-01-05",
            "claim_amount": 5 if n > 9 else 10**16 - 1,
            "allowed_amount": 5,
            "paid_amount": 5,
        }
        for n in range(200)
    ]
    warehouse.send("2025-01-01", claims=claims)
    with warehouse.pipeline(reject_share=0.2) as pipeline:
        commands.run_stages(pipeline, ("stage",))
        (staged,) = pipeline.summary.files
    assert (staged.loaded, len(staged.rejected)) == (190, 10)
    assert staged.totals["claim_amount"]["in_file"] == f"{10 * (10**16 - 1) + 950}.00"
