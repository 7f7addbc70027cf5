"""Reads a batch with csv, Decimal and date, and nothing of the generator."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from datetime import date
from decimal import Decimal
from pathlib import Path

FEEDS = (
    *("members", "plans", "providers", "enrollments", "claims"),
    *("claim_lines", "claim_diagnoses"),
)
Row = dict[str, str]


def read(folder: Path) -> dict[str, list[Row]]:
    """The rows of each feed of a batch; a feed that is not there has none."""
    feeds: dict[str, list[Row]] = {}
    for name in FEEDS:
        path = folder / f"{name}.csv"
        feeds[name] = []
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                feeds[name] = list(csv.DictReader(file, strict=True))
    return feeds


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def rows_of(path: Path) -> list[Row]:
    return list(csv.DictReader(io.StringIO(content(path).decode("utf-8"), newline="")))


def fingerprint(inbox: Path) -> dict[str, str]:
    """A checksum of every file below an inbox, by its path there."""
    return {
        str(p.relative_to(inbox)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(inbox.rglob("*"))
        if p.is_file()
    }


def last_covered_day(enrollment: Row) -> date:
    if enrollment["end_date"]:
        return date.fromisoformat(enrollment["end_date"])
    return date(int(enrollment["start_date"][:4]), 12, 31)


def total(rows: list[Row], column: str) -> Decimal:
    return sum((Decimal(r[column]) for r in rows), Decimal(0))
