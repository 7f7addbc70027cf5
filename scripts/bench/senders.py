"""The stage of files as senders write them, compared with a plain COPY of the same file.

The claims of a batch are staged under the feed's own contract, under one that makes values of most
columns that they fill, and under one with decimal commas, dates as 31.1.2025 and semicolons. Each
is rolled back. Seconds are those of the clock, the median of three pairs, each next to its COPY.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import median

import psycopg
from measuring import copy_plain, show_table
from psycopg import sql

from etl.contracts.feeds.claims import claims
from etl.contracts.file_form import FileForm
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.senders import SENDERS
from etl.contracts.types import DATES, Type
from etl.contracts.value import Value, of, where_not
from etl.db.connection import connect, set_search_path
from etl.db.statements import run
from etl.inbox.batch import Batch, FeedFile
from etl.inbox.manifest import Expected
from etl.stages.stage import load_file
from etl.warehouse.tables import LIVE

_ROUNDS = 3
_MOST_ROWS = 300_000
# Of no load: what it stages is rolled back.
_LOAD_ID = 0
_DATES = tuple(c.name for c in claims.columns if c.type in (Type.DATE, Type.KEY_DATE))
_MONEY = tuple(c.name for c in claims.columns if c.type is Type.MONEY)
_NUMBERS = (*_MONEY, *(c.name for c in claims.columns if c.type is Type.RATIO))
_STATUS = {"approved": "1", "denied": "2", "pending": "3", "adjusted": "4", "reversed": "5"}

_MAPPED: dict[str, Value] = {
    **{name: of(name).date("YYYYMMDD") for name in _DATES},
    **{name: of(name).scale("0.01") for name in _MONEY},
    "status": of("status").map({code: word for word, code in _STATUS.items()}),
}
Row = dict[str, str]


@dataclass(frozen=True)
class Written:
    """How a sender writes a row of ours. ``contract``: that reads it, ``None`` for the feed's."""

    contract: SenderContract | None = None
    changed: dict[str, Callable[[str], str]] = field(default_factory=dict)
    delimiter: str = ","


def _cents(amount: str) -> str:
    return amount.replace(".", "") if "." in amount else f"{amount}00"


def _day_first(day: str) -> str:
    return ".".join(reversed(day.split("-")))


def _only(names: tuple[str, ...], change: Callable[[str], str]) -> dict[str, Callable[[str], str]]:
    return dict.fromkeys(names, lambda text: change(text) if text else text)


_WRITTEN = {
    "own contract": Written(),
    "own columns, rows filtered": Written(
        SenderContract("bench_filtered", claims, "", where=(where_not("claim_type", "Dental"),))
    ),
    "dates in digits, cents, codes": Written(
        SenderContract("bench_mapped", claims, "", columns=_MAPPED),
        {
            **_only(_DATES, lambda day: day.replace("-", "")),
            **_only(_MONEY, _cents),
            **_only(("status",), lambda word: _STATUS[word.lower()]),
        },
    ),
    "31.1.2025, 12,50, semicolons": Written(
        SenderContract(
            "bench_semicolons",
            claims,
            "",
            parsing=Parsing(date_order="dmy", decimal=","),
            form=FileForm(delimiter=";"),
        ),
        {**_only(_DATES, _day_first), **_only(_NUMBERS, lambda n: n.replace(".", ","))},
        ";",
    ),
}


def measure(url: str, batch: Path, folder: Path) -> dict[str, dict[str, float]]:
    """By way of writing: seconds of the stage and of a plain COPY, and the rows staged."""
    assert all(claims.column(name).type in DATES for name in _DATES)
    with (batch / claims.file_name).open(encoding="utf-8", newline="") as file:
        rows = [r for r in islice(csv.DictReader(file), _MOST_ROWS) if r["status"] in _STATUS]
    found = {}
    with connect(url, "aca-warehouse bench") as connection:
        run(connection, "ledger/session.work_session")
        for name, written in _WRITTEN.items():
            path = folder / claims.file_name
            _write(path, rows, written)
            if written.contract is not None:
                SENDERS[written.contract.name] = written.contract
            pairs = [_pair(connection, path, written) for _ in range(_ROUNDS)]
            stage, floor = sorted(pairs, key=lambda pair: pair[0] / pair[1])[_ROUNDS // 2]
            ratio = median(stage / floor for stage, floor in pairs)
            found[name] = {"rows": len(rows), "stage": stage, "floor": floor, "ratio": ratio}
    return found


def _write(path: Path, rows: list[Row], written: Written) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=written.delimiter, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            changed = {n: change(row[n]) for n, change in written.changed.items() if n in row}
            writer.writerow(row | changed)


def _pair(connection: psycopg.Connection, path: Path, written: Written) -> tuple[float, float]:
    """Seconds of the stage of a file, and of a plain COPY of it."""
    table = sql.Identifier("bench_sender")
    floor = copy_plain(connection, path, table, delimiter=written.delimiter)
    run(connection, "bench/floor.drop_untyped", table=table)
    size = path.stat().st_size
    contract = written.contract.name if written.contract else claims.name
    file = FeedFile(claims, path, Expected(contract=contract), size, path.stat().st_mtime_ns)
    batch = Batch("bench", datetime.now(UTC), (file,))
    with connection.transaction(force_rollback=True):
        run(connection, "ledger/session.work_transaction")
        set_search_path(connection, LIVE.schemas.path)
        started = time.perf_counter()
        load_file.run_file(connection, _LOAD_ID, batch, file, "", None)
        return time.perf_counter() - started, floor


def show(measured: dict[str, dict[str, float]]) -> None:
    """Print each way of writing with its ratio to the plain COPY of the same bytes."""
    rows = next(iter(measured.values()))["rows"]
    show_table(
        f"Stage of {rows:,.0f} claims as senders write them; plain COPY of the file = 1",
        ("written as", "COPY, s", "stage, s", "ratio"),
        (
            (name, f"{m['floor']:.2f}", f"{m['stage']:.2f}", f"{m['ratio']:.2f}")
            for name, m in measured.items()
        ),
    )
