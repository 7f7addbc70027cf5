"""Values that COPY types directly become the same rows as those that land as text."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from etl.contracts.feeds.claims import claims
from etl.contracts.file_form import FileForm
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.value import Value, of, total, where, where_not
from etl.stages.stage import landing
from tests.support.staged_files import rows_of, staged_of
from tests.support.warehouse import Warehouse

DAYS, MONTHS = ("1", "01", "9", "12", "13", "29", "31", "32", "0"), ("1", "02", "6", "12", "13")
YEARS = ("2024", "2025", "0001", "1899", "9999", "24")
# Dates with the year last, in every shape, of which some are no dates.
LAST = [
    f"{first}{mark}{second}{mark}{year}"
    for first, second, mark, year in product(DAYS, MONTHS, "/.-", YEARS[:2])
]
FIRST = ["2025-01-31"] + [
    f"{year}-{month}-{day}" for year, month, day in product(YEARS, MONTHS, DAYS)
]
DIGITS = [text.replace("-", "") for text in FIRST] + ["2025013", "202501311", "2025-01-31", "x"]
AMOUNTS = (
    *("12.50", "-3", "+3", "0", "", "1.", ".5", "-.5", "1.005", "99999999.99", "100000000", "1e2"),
    *(
        "-",
        "1-",
        "--1",
        "1.2.3",
        "\u0661",
        "1 0",
        "000000000001",
        "0000000000001",
        "NR",
        "nr",
        "12,50",
    ),
)
WORDS = ("1", "2", "3", "", "NR", "x", "Ünlü", "İ", "K", "a,b", 'say "so"', "MEDICAL", "y" * 70)
CODES = {
    "1": "pending",
    "2": "approved",
    "medical": "denied",
    "i": "adjusted",
    "k": "reversed",
}


PLAIN = Parsing()


@dataclass(frozen=True)
class Case:
    """A contract, and the values of fields that matter to it."""

    columns: dict[str, Value] = field(default_factory=dict)
    parsing: Parsing = PLAIN
    values: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)


NR = Parsing(null_words=("NR",))
CASES = {
    "dates, day first": Case(
        parsing=Parsing(date_order="dmy"), values={"service_date": LAST, "claim_from": LAST[::-1]}
    ),
    "dates, month first": Case(
        parsing=Parsing(date_order="mdy"),
        values={"service_date": LAST + FIRST, "paid_date": LAST[::-1]},
    ),
    "dates in digits": Case(
        {"service_date": of("service_date").date("YYYYMMDD")}, NR, {"service_date": DIGITS}
    ),
    "decimal commas": Case(
        parsing=Parsing(decimal=","),
        values={
            "paid_amount": [amount.replace(".", ",") for amount in AMOUNTS] + ["1.5"],
            "utilization": ["1,5", "2", "", "1e3", ",5", "-1,"],
            "member_id": ["M,1", "M2"],
        },
    ),
    "cents": Case(
        {"paid_amount": of("paid_amount").scale("0.01")},
        NR,
        {"paid_amount": ["1250", *AMOUNTS, "9999999999", "10000000000", "-9999999999"]},
    ),
    "a minus behind": Case(
        parsing=Parsing(minus=("after",)), values={"paid_amount": [*AMOUNTS, "5.00-", "5 -"]}
    ),
    "words that say nothing": Case(
        parsing=NR,
        values={
            "paid_amount": AMOUNTS,
            "status": WORDS,
            "member_id": ["NR"],
            "is_oon": ["nr", "Y"],
        },
    ),
    "words, others rejected": Case({"status": of("status").map(CODES)}, NR, {"status": WORDS}),
    "words, others kept": Case(
        {"status": of("status").map({**CODES, "": "none"}, "keep")}, NR, {"status": WORDS}
    ),
    "words, others nothing": Case(
        {"status": of("status").map(CODES, "nothing"), "is_oon": of("is_oon").yes_no("1", "2")},
        values={"status": WORDS, "is_oon": ["1", "2", ""]},
    ),
    "rows of some words": Case(
        parsing=NR,
        values={"status": WORDS, "paid_amount": AMOUNTS, "service_date": FIRST},
        more={"where": (where("status", "1", "2", "", "İ"),)},
    ),
    "rows of other words": Case(
        values={"status": WORDS[1:], "claim_type": ["B", "a", "", "c"], "paid_amount": AMOUNTS},
        more={"where": (where_not("status", "1", "K"), where("claim_type", "b", "C", ""))},
    ),
}


def text_of(case: Case, delimiter: str) -> str:
    """A file with a row for each value of each field, in which all others are sound."""
    sound = {"service_date": "2025-01-31", **dict.fromkeys(claims.money, "7")}
    if case.parsing.date_order != "ymd":
        sound["service_date"] = "1/2/2025"
    sound |= {name: values[0] for name, values in case.values.items()}
    names = [*dict.fromkeys([*claims.required, *case.values])]
    written = io.StringIO()
    writer = csv.DictWriter(written, names, restval="x", delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    each = ((name, value) for name, values in case.values.items() for value in values)
    for number, (name, value) in enumerate(each):
        writer.writerow({**sound, "claim_id": f"C{number}", name: value})
    return written.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("name", CASES)
def test_values_typed_directly_are_the_same_as_those_that_land_as_text(
    name: str,
    delimiter: str,
    module_warehouse: Warehouse,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = CASES[name]
    contract = SenderContract(
        "direct",
        claims,
        "Direct.",
        columns=case.columns,
        parsing=case.parsing,
        form=FileForm(delimiter=delimiter),
        **case.more,
    )
    text = text_of(case, delimiter)

    def made() -> tuple[Any, ...]:
        with staged_of(module_warehouse, contract, text, tmp_path) as staged:
            rejected = sorted((r.line, r.column, r.reason) for r in staged.rejected)
            rows = rows_of(module_warehouse.connection, claims)
            counted = {k: {n: Decimal(v) for n, v in t.items()} for k, t in staged.totals.items()}
            return rows, rejected, staged.counts(), counted

    direct = made()
    with monkeypatch.context() as patched:
        patched.setattr(landing, "plan", landing.plan_as_text)
        as_text = made()
    for made_directly, made_of_text in zip(direct, as_text, strict=True):
        assert made_directly == made_of_text
    assert len(direct[0]) > 0


def test_amounts_that_a_contract_makes_are_read_from_rejected_rows(
    module_warehouse: Warehouse, tmp_path: Path
) -> None:
    contract = SenderContract(
        "direct",
        claims,
        "Direct.",
        columns={
            "paid_amount": of("cents").scale("0.01"),
            "allowed_amount": total("paid_amount", "copay"),
        },
    )
    names = (
        "claim_id,member_id,provider_id,plan_id,service_date,claim_amount,cents,paid_amount,copay"
    )
    rows = (
        "C1,M,P,L,2025-01-31,7,1250,12.50,1",
        "C2,M,P,L,2025-02-30,7,250,2.50,2",  # no date
        "C3,M,P,L,2025-02-30,7,,,",
        "C4,M,P,L,2025-02-30,7,1.5,1,x",  # amounts that are none as well
        "C5,M,P,L,2025-01-31,7,1,1",  # a value too few
    )
    more = "status,diagnosis_code,procedure_code"
    text = "\n".join([f"{names},{more}", *(f"{row},a,b,c" for row in rows), ""])
    with staged_of(module_warehouse, contract, text, tmp_path) as staged:
        assert sorted(r.line for r in staged.rejected) == [3, 4, 5, 6]
        paid, allowed = staged.totals["paid_amount"], staged.totals["allowed_amount"]
    for found, amounts in ((paid, ("12.50", "2.50")), (allowed, ("13.50", "4.50"))):
        assert [Decimal(found[kind]) for kind in ("loaded", "rejected")] == [*map(Decimal, amounts)]
        assert found["unread"] == 2
