"""Files of a batch with a fault, as a sender might deliver them: well formed, and wrong."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from etl.contracts.feeds import FEEDS
from etl.inbox.manifest import MANIFEST

Row = dict[str, str]
Change = Callable[[Iterable[Row]], Iterator[Row]]


def rewrite(batch: Path, feed: str, change: Change, source: Path | None = None) -> None:
    """Replace a feed's file by its rows, or those of another batch, after a change.

    The manifest names the batch and its day, and says no more of the file: a sender who is wrong
    counts what was sent.
    """
    name = FEEDS[feed].file_name
    with ((source or batch) / name).open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or ())
        rows = list(change(reader))
    with (batch / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    _say_less(batch, name)


def _say_less(batch: Path, name: str) -> None:
    file = batch / MANIFEST
    said = json.loads(file.read_text(encoding="utf-8"))
    kind = said["files"].get(name, {}).get("kind", "delta")
    said["files"][name] = {"kind": kind}
    file.write_text(json.dumps(said), encoding="utf-8")


def many_times(key: str, times: int) -> Change:
    """Each row so many times, each under a key of its own."""

    def change(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            for number in range(times):
                yield {**row, key: f"{row[key]}-{number}"}

    return change


def too_big(feed: str, factor: int) -> Change:
    """Every amount so many times as big."""
    money = FEEDS[feed].money

    def change(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            amounts = {name: row[name] for name in money if row.get(name)}
            yield row | {name: str(Decimal(text) * factor) for name, text in amounts.items()}

    return change


def days_first(column: str) -> Change:
    """Dates as day, month and year."""

    def change(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            yield {**row, column: date.fromisoformat(row[column]).strftime("%d/%m/%Y")}

    return change


def decimal_commas(column: str) -> Change:
    """Numbers with a comma where the point should be."""

    def change(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            yield {**row, column: row[column].replace(".", ",")}

    return change


def covered_twice(rows: Iterable[Row]) -> Iterator[Row]:
    """Every coverage once more from the day after on: what joins by member and day fans out."""
    for row in rows:
        start = date.fromisoformat(row["start_date"]) + timedelta(days=1)
        again = {"enrollment_id": f"{row['enrollment_id']}-2", "start_date": str(start)}
        if not row.get("end_date") or row["end_date"] > str(start):
            yield row | again
