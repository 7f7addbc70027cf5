"""Batches with bad rows and what was right, a person who corrects exports, and what comes of it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from etl.access.classification import cube_columns
from etl.contracts.feeds import FEEDS
from etl.contracts.reasons import Reason
from etl.pipeline import commands
from etl.quarantine.export import export as export_rows
from etl.warehouse.tables import CUBES
from tests.support.feeds import fill, write_batch
from tests.support.warehouse import Warehouse

SNAPSHOT = {"kind": "snapshot"}
Rows = dict[str, str]


def member(number: int, **more: Any) -> dict[str, Any]:
    return {"member_id": f"M{number}", "last_name": f"n{number}", "state": "TX", **more}


def claim(number: int, of: int, **more: Any) -> dict[str, Any]:
    return {
        "claim_id": f"C{number}",
        "member_id": f"M{of}",
        "provider_id": "R1",
        "plan_id": "P1",
        "service_date": f"2025-01-{1 + number % 28:02d}",
        "claim_amount": "30.00",
        "allowed_amount": "20.00",
        "paid_amount": f"{number}.10",
        **more,
    }


def line(of: int, number: int, **more: Any) -> dict[str, Any]:
    return {"claim_id": f"C{of}", "line_number": number, "service_date": "2025-01-05", **more}


def diagnosis(of: int, position: int, code: str) -> dict[str, Any]:
    place = {"claim_id": f"C{of}", "position": position, "service_date": "2025-01-05"}
    return {**place, "diagnosis_code": code}


def enrollment(number: int, of: int, **more: Any) -> dict[str, Any]:
    return {
        "enrollment_id": f"E{number}",
        "member_id": f"M{of}",
        "plan_id": "P1",
        "start_date": "2025-01-01",
        **more,
    }


# Batches in the order of arrival. A value that is a pair is bad as sent and right as corrected.
BATCHES: list[tuple[str, dict[str, Any], dict[str, list[dict[str, Any]]]]] = [
    (
        "2025-01-10",
        {"members.csv": SNAPSHOT},
        {
            "members": [member(n) for n in range(1, 7)],
            "plans": [
                {"plan_id": "P1", "monthly_premium": ("$9", "9.00"), "effective_year": 2025},
                {"plan_id": "P2", "effective_year": 2025},
            ],
            "providers": [{"provider_id": "R1", "name": ("caf@e9@", "café")}],
            "enrollments": [
                enrollment(1, 1, end_date=("2015-12-01", "2025-12-01")),
                enrollment(2, 2),
                enrollment(3, 3, premium_paid=("ten", "10.50")),
            ],
            "claims": [
                claim(1, 1),
                claim(2, 2, paid_amount=("2.105", "2.10")),
                claim(3, 9, service_date=("soon", "2026-07-03")),
                claim(4, 3, diagnosis_code=("a@comma@b", "a,b")),
                claim(5, 4, status="pending"),
            ],
            # Claims 6 and 8 come later, and what is late of claim 1 changes nothing.
            "claim_lines": [line(1, 1), line(1, 2), line(2, 1), line(6, 1), line(8, 1)],
            "claim_diagnoses": [diagnosis(1, 1, "E119"), diagnosis(6, 1, "I10")],
        },
    ),
    (
        "2025-02-10",
        {"members.csv": SNAPSHOT},
        {
            "members": [
                member(1, dob=("1990-13-01", "1990-12-01")),  # lacking, it is gone
                *(member(n) for n in (2, 3)),
                member(4, state="FL", fpl_ratio=("much", "2.5")),
                member(5),
                # Member 6 is gone in truth; 7 is new and 8 is named by claims before it comes.
                member(7, year=("MMXXV", "2025"), region=("caf@e9@", "Gulf")),
                member(8, call_count=("1.5", "2")),
            ],
            "claims": [
                claim(6, 8),
                claim(5, 4, status="approved", paid_amount=("5,5", "5.50")),
                claim(1, 1, service_date="2025-02-01"),
                claim(7, 7, member_id=("M7@comma@", "M7")),
            ],
            "claim_lines": [line(1, 1, line_paid="1.10"), line(7, 1), line(7, 2)],
            "enrollments": [
                enrollment(4, 1, start_date=("2025-02-30", "2025-02-01")),
                enrollment(2, 2, premium_paid=("x", "77.00")),
            ],
        },
    ),
    (
        "2025-01-20",  # late
        {},
        {
            "members": [member(2, last_name="late", dob=("01/02/1990", "1990-02-01"))],
            "claims": [
                claim(8, 2),
                claim(5, 4, status="denied", paid_amount=("none", "0.00")),
                claim(2, 3, paid_amount="1.10"),
            ],
            "claim_lines": [line(1, 3), line(8, 1), line(8, 2)],
            "claim_diagnoses": [diagnosis(1, 1, "I10"), diagnosis(2, 1, "Z00")],
        },
    ),
    (
        "2025-03-10",
        {},
        {
            "members": [
                member(1, last_name="new", source_updated_at="2025-03-01T00:00:00Z"),
                member(7, broker_name="b"),
                member(
                    5,
                    state="OH",
                    source_updated_at=("2025-02-31T00:00:00Z", "2025-02-03T00:00:00Z"),
                ),
            ],
            "plans": [{"plan_id": "P1", "effective_year": 2025, "metal_tier": "Gold"}],
            "claims": [claim(2, 2, paid_amount="9.99"), claim(9, 1, service_date="2025-02-20")],
            "enrollments": [enrollment(5, 1, start_date="2025-02-01")],
        },
    ),
]


def send(inbox: Path, number: int, which: int) -> None:
    """Write a batch as it was sent (0) or as it had been right (1)."""
    batch_id, files, feeds = BATCHES[number]
    rows = {
        feed: [{k: v[which] if isinstance(v, tuple) else v for k, v in r.items()} for r in of_feed]
        for feed, of_feed in feeds.items()
    }
    folder = write_batch(inbox, batch_id, {"files": files} if files else None, **rows)
    for path in folder.glob("*.csv"):
        # Bytes that no CSV writer writes.
        data = path.read_bytes().replace(b"@e9@", b"\xe9").replace(b"@comma@", b",")
        path.write_bytes(data)


def corrected_values(number: int, feed: str, line: int) -> Rows:
    """What a person puts into a row of the export: the values of the columns that are bad."""
    row = BATCHES[number][2][feed][line - 2]
    return {k: v[1] for k, v in row.items() if isinstance(v, tuple)} | (
        {k: str(v) for k, v in row.items() if not isinstance(v, tuple)}
    )


def export(warehouse: Warehouse, batch_id: str, feed: str | None = None) -> list[Path]:
    folder = warehouse.data / "quarantine" / batch_id
    return [path for path, _ in export_rows(warehouse.url, folder, batch_id, feed)]


def rewrite(path: Path, correction: Callable[[Rows], Rows | None], **how: Any) -> None:
    """Edit the rows of an export as a person would; ``None`` removes a row."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        names = list(reader.fieldnames or ())
        rows = [row for row in map(correction, reader) if row is not None]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, how.pop("names", names), extrasaction="ignore", **how)
        writer.writeheader()
        writer.writerows(rows)


def correct(number: int, path: Path, **how: Any) -> None:
    """Correct every row of an export."""
    feed = path.stem.split("-")[0]

    def correction(row: Rows) -> Rows:
        clean = {k: "" if k.startswith("_field") else v for k, v in row.items()}
        # A row whose fields had moved is corrected in all its fields.
        whole = row["_reason"] == Reason.FIELD_COUNT.text
        if whole:
            known = [k for k in row if not k.startswith("_")]
            straight = next(iter_rows(number, feed, int(row["_line"])))
            return clean | {k: straight[k] for k in known}
        return clean | {
            k: v for k, v in corrected_values(number, feed, int(row["_line"])).items() if k in row
        }

    rewrite(path, correction, **how)


def iter_rows(number: int, feed: str, line: int) -> Iterator[Rows]:
    """The whole row of a file that was right at first."""
    row = BATCHES[number][2][feed][line - 2]
    yield fill(FEEDS[feed], {k: v[1] if isinstance(v, tuple) else v for k, v in row.items()})


def replay(warehouse: Warehouse, path: Path) -> list[str]:
    warehouse.run(commands.replay_export, path)
    return warehouse.watcher.said


def cubes(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every cube, surrogate keys apart."""
    found = {}
    for name in CUBES:
        columns = ", ".join(c for c in cube_columns(name) if not c.endswith("_sk"))
        found[name] = sorted(warehouse.rows(f"select {columns} from cubes.{name}"), key=repr)
    return found


def everything(warehouse: Warehouse) -> dict[str, Any]:
    """All that a reader can see, keys and loads apart, and what the ledger counts."""
    return {
        **warehouse.contents(keys=False),
        **cubes(warehouse),
        "linked": warehouse.rows(
            "select f.claim_id, m.member_id, m.validity_start_ts, p.provider_id, p.name, "
            "n.plan_id, n.validity_start_ts from warehouse.fact_claim f "
            "join warehouse.dim_member m using (member_sk) "
            "join warehouse.dim_provider p using (provider_sk) "
            "join warehouse.dim_plan n using (plan_sk) order by 1"
        ),
        "states": sorted(
            warehouse.rows(
                "select claim_id, as_of, status, paid_amount, is_latest "
                "from warehouse.fact_claim_history"
            ),
            key=repr,
        ),
        "ledger": warehouse.rows(
            "select l.as_of, f.feed, f.status, rows_read, rows_loaded, rows_rejected, "
            "rows_duplicate, totals::text, latest_effective_ts, distinct_keys, columns "
            "from ledger.load_file f join ledger.load l using (load_id) "
            "where l.status = 'loaded' order by 1, 2"
        ),
    }


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Compare the contents of two warehouses, table by table."""
    for name, rows in wanted.items():
        assert found[name] == rows, name


def open_rows(warehouse: Warehouse) -> int:
    found = warehouse.rows("select coalesce(sum(rows_open), 0) from quality.quarantine_open")
    return int(found[0][0])


def load(warehouse: Warehouse, batch_id: str, **feeds: Any) -> None:
    """Write a batch and load it."""
    warehouse.send(batch_id, **feeds)
    warehouse.incremental(1)


def put(**values: str) -> Callable[[Rows], Rows]:
    return lambda row: row | values
