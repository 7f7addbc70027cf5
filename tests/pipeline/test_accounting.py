"""Rows and cents of a hostile file are each loaded, rejected or duplicate."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from etl.errors import AcaError
from etl.inbox.batch import read_batch
from etl.pipeline import commands
from etl.pipeline.session import RunContext
from tests.support import rfc4180
from tests.support.warehouse import Warehouse

HEADER = [
    *("claim_id", "member_id", "provider_id", "plan_id", "service_date"),
    *("claim_amount", "allowed_amount", "paid_amount"),
    *("status", "diagnosis_code", "procedure_code"),
]
MONEY = ("claim_amount", "allowed_amount", "paid_amount")
AMOUNT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)", re.ASCII)
DATES = ["2025-01-31", "2025-02-30", "15-JAN-25", "31.01.2025", ""]
AMOUNTS = ["10.00", "-3.5", ".25", "7", "", "1_000", "$5", "0x64", "2.500", "2.505", "1e2"]
AMOUNTS += ["999999999999.99", "99999999999999999999", "12,5", " 4.00 "]
TEXTS = ["x", 'Tape 2" x 5 yd', '"quoted"', "a,b", "two\nlines", " padded ", "é", "", '"', "\x00"]

Stage = Callable[[bytes], dict[str, Any]]
Drawn = list[tuple[list[str], str, str]]
numbers = itertools.count()


def escaped(value: str, how: str) -> str:
    """A value quoted as CSV asks for, or wrongly."""
    if how == "raw" or (how == "minimal" and not any(mark in value for mark in '",\n')):
        return value
    return '"' + (value if how == "undoubled" else value.replace('"', '""')) + '"'


def row(text: str) -> list[str]:
    return ["C1", "M1", "R1", "P1", "2025-01-31", "10.00", "8.00", "6.00", "paid", text, "x"]


def last(text: str) -> list[str]:
    return [*row("x")[:-1], text]


def read_despite(line: str) -> list[str] | None:
    """The values of a rejected line; none if its fields cannot be divided."""
    if "\0" in line or rfc4180.record([line + "\n"], len(HEADER))[1] is not None:
        return None
    return rfc4180.apart(line, len(HEADER))


STRAY_QUOTES = [('5" pipe', "raw"), ("x", "minimal"), ('2" tape', "raw")]
values = st.tuples(
    st.integers(0, 6).map(lambda n: f"C{n}"),
    st.just("M1"),
    st.just("R1"),
    st.just("P1"),
    st.sampled_from(DATES[:1] * 9 + DATES),
    *(st.sampled_from(AMOUNTS) for _ in MONEY),
    st.just("paid"),
    st.sampled_from(TEXTS),
    st.sampled_from(TEXTS),
)
ends = st.sampled_from(["\n"] * 8 + ["\r\n", "\n\n", ",\n"])
records = st.tuples(values, st.sampled_from(["minimal"] * 6 + ["all", "raw", "undoubled"]), ends)
# Neighboring rows with quotes that open, go on and close, which must not be read as one row.
ODD_TEXTS = [
    '"Tape 2',
    'x 5 yd"',
    '5"" pipe',
    '"5"" pipe"',
    '"12 Main, 3',
    'Unit 5"',
    "x",
    "two, 3",
]
neighbors = st.lists(
    st.builds(
        lambda drawn, text, at, end: ([*drawn[:at], text, *drawn[at + 1 :]], "raw", end),
        values,
        st.sampled_from(ODD_TEXTS),
        st.sampled_from([9, 10, 10, 10]),
        ends,
    ),
    min_size=2,
    max_size=6,
)
rows = st.lists(records.map(lambda drawn: [drawn]) | neighbors, max_size=12).map(
    lambda groups: [drawn for group in groups for drawn in group][:40]
)


@pytest.fixture(scope="module")
def stage(module_warehouse: Warehouse) -> Iterator[Stage]:
    """Stage a file of claims; what the ledger and staging say of it."""
    with module_warehouse.pipeline(reject_share=1) as pipeline:
        yield partial(send, module_warehouse, pipeline)


def send(warehouse: Warehouse, pipeline: RunContext, data: bytes) -> dict[str, Any]:
    folder = warehouse.inbox / f"2025-01-01-{next(numbers)}"
    folder.mkdir(parents=True)
    (folder / "claims.csv").write_bytes(data)
    batch = read_batch(folder)
    try:
        commands.stage_files(pipeline, batch, list(batch.files))
    except AcaError as error:
        return {"refused": str(error)}
    return counted(warehouse)


def counted(warehouse: Warehouse) -> dict[str, Any]:
    names = "load_id, rows_read, rows_loaded, rows_rejected, rows_duplicate, lines_read, totals"
    values = warehouse.rows(f"select {names} from ledger.load_file order by load_id desc limit 1")
    found = dict(zip(names.split(", "), values[0], strict=True))
    sums = ", ".join(f"coalesce(sum({column}), 0)" for column in MONEY)
    (staged,) = warehouse.rows(
        f"select count(*), {sums} from staging.claims_raw where load_id = {found['load_id']}"
    )
    return found | {"staged": staged}


def amount(value: str) -> Decimal | None:
    """US dollars to the cent; none where it is not one."""
    if not value:
        return Decimal(0)
    if not AMOUNT.fullmatch(value) or Decimal(value) != round(Decimal(value), 2):
        return None
    return Decimal(value)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows, st.booleans())
@example([(row(text), how, "\n") for text, how in STRAY_QUOTES], False)
@example([(last(text), "raw", "\n") for text in ODD_TEXTS[:2] * 20], False)
@example(
    [(last(text), "raw", "\n") for text in [ODD_TEXTS[0], *ODD_TEXTS[3:4] * 4, ODD_TEXTS[1]]], False
)
def test_rows_and_cents_of_a_hostile_file_are_loaded_rejected_or_duplicate(
    stage: Stage, drawn: Drawn, mark: bool
) -> None:
    body = "".join(
        ",".join(escaped(value, how) for value in fields) + end for fields, how, end in drawn
    ).encode()
    head = ",".join(HEADER).encode() + b"\n"
    found = stage((b"\xef\xbb\xbf" if mark else b"") + head + body)
    if "refused" in found:
        # Nothing of a refused file is staged.
        assert "cut short" in found["refused"]
        return
    by_letter = rfc4180.read(body, HEADER)
    if found["lines_read"] is None:  # the same bytes as the file before
        return
    assert found["lines_read"] == 1 + body.count(b"\n") + (not body.endswith(b"\n") and body != b"")
    assert found["rows_read"] == len(by_letter.rows) + len(by_letter.rejected)
    assert found["rows_read"] == sum(
        found[name] for name in ("rows_loaded", "rows_rejected", "rows_duplicate")
    )
    assert found["staged"][0] == found["rows_loaded"]
    lines = [line.removesuffix("\r") for line in body.decode().split("\n")]
    # No line with all the commas of a row becomes part of another row.
    assert found["rows_read"] >= sum(line.count(",") >= len(HEADER) - 1 for line in lines)
    rejected = [read_despite(lines[number - 2]) for number in by_letter.rejected]
    for at, column in enumerate(MONEY):
        total = found["totals"][column]
        # A record with a NUL cannot be divided into fields.
        read = [
            None if any("\0" in value for value in row) else amount(row[HEADER.index(column)])
            for _, row in by_letter.rows
        ]
        read += [amount(row[HEADER.index(column)]) if row else None for row in rejected]
        assert Decimal(total["in_file"]) == sum(a for a in read if a is not None)
        assert total["unread"] == read.count(None)
        parts = (total[name] for name in ("loaded", "rejected", "duplicate"))
        assert Decimal(total["in_file"]) == sum(map(Decimal, parts))
        assert Decimal(total["loaded"]) == found["staged"][1 + at]
