"""What people do with the quarantine: see what is open, take rows out to correct, bring them back.

Looking and exporting read only, and wait for no run. What a corrected file asks for is worked out
here; ``etl.pipeline.commands`` does it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from etl.contracts.feeds import FEEDS
from etl.db.connection import connect, set_search_path
from etl.db.statements import run
from etl.errors import SchemaError, UsageError
from etl.quarantine import correction_csv
from etl.quarantine import store as stage
from etl.quarantine.correction_csv import Entry
from etl.schema import revisions
from etl.warehouse.tables import LIVE

_EXPORT = "make quarantine-export BATCH=... writes them again."


@dataclass(slots=True)
class ReplayRequest:
    """What a corrected file asks for: rows by line of the file that they belong to.

    ``untouched``: rows left as they were. ``escaped``: rows that still contain escaped bytes.
    ``closed``: rows that were dealt with before.
    """

    file: stage.File
    rows: dict[int, bytes] = field(default_factory=dict)
    untouched: int = 0
    escaped: int = 0
    closed: int = 0


@contextmanager
def _reader(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection for who only reads; ``SchemaError`` where the tables are not there as asked."""
    with connect(url, "aca-warehouse quarantine") as connection:
        revisions.refuse_of_before(connection)
        set_search_path(connection, LIVE.schemas.path, is_local=False)
        try:
            yield connection
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            raise SchemaError(
                "This database has no quarantine yet.", "Run make migrate, then again."
            ) from None


def open_rows(url: str) -> list[tuple[Any, ...]]:
    """What is open: (batch, file, refused, reason, column, rows, first line, since)."""
    with _reader(url) as connection:
        return run(connection, "quarantine/quarantine.open_rows").fetchall()


def export(url: str, folder: Path, batch_id: str, feed: str | None) -> list[tuple[Path, int]]:
    """Write the open rows of a batch, a file a feed; the files with their counts of rows."""
    if not batch_id:
        raise UsageError(
            "Which batch is meant?",
            "Name one that make quarantine lists: make quarantine-export BATCH=2025-01-10",
        )
    if feed is not None and feed not in FEEDS:
        raise UsageError(f"There is no feed {feed!r}.", f"Name one of {', '.join(FEEDS)}.")
    with _reader(url) as connection:
        found = run(
            connection,
            "quarantine/quarantine.open_files",
            {"batch_id": batch_id, "feed": feed},
        ).fetchall()
        if not found:
            if not stage.batch_is_known(connection, batch_id):
                raise UsageError(
                    f"No batch {batch_id!r} was ever loaded.", "make quarantine lists what is open."
                )
            of_feed = f" of {feed}" if feed else ""
            raise UsageError(
                f"Nothing{of_feed} of batch {batch_id} is open.",
                "make quarantine lists what is open.",
            )
        written = []
        often = Counter(name for _, name, _ in found)
        for load_id, name, header in found:
            if not header:
                raise UsageError(
                    f"{name} of batch {batch_id} was loaded before headers were kept.",
                    "Run make full-load, which reads it again.",
                )
            entries = _entries(connection, load_id, name)
            path = folder / (f"{name}-{load_id}.csv" if often[name] > 1 else f"{name}.csv")
            correction_csv.write(path, header, entries)
            written.append((path, len(entries)))
    return written


def folder_of(data: Path, batch_id: str) -> Path:
    """Where a batch's rows are written, whatever signs its name has."""
    return data / "quarantine" / re.sub(r"[^\w-]", "_", batch_id)


def _entries(connection: psycopg.Connection[Any], load_id: int, feed: str) -> list[Entry]:
    rows = run(
        connection, "quarantine/quarantine.entries_of_file", {"load_id": load_id, "feed": feed}
    ).fetchall()
    if any(raw is None for *_, raw in rows):
        raise UsageError(
            "The raw lines of the quarantine are for data stewards alone.",
            "Ask the owner of the database to make you a member of aca_data_steward.",
        )
    by_line: dict[int, list[tuple[Any, ...]]] = {}
    for row in rows:
        by_line.setdefault(row[1], []).append(row)
    return [_entry(of_line) for of_line in by_line.values()]


def _entry(rows: Iterable[tuple[Any, ...]]) -> Entry:
    """An entry from (number, line, file, line of it, column, reason, raw line) of one line."""
    listed = list(rows)
    number, _, file, line, *_, raw = listed[0]
    return Entry(
        number,
        line,
        tuple(dict.fromkeys(reason for *_, reason, _ in listed)),
        tuple(dict.fromkeys(column for *_, column, _, _ in listed if column)),
        raw,
        file,
    )


def replay_request(connection: psycopg.Connection[Any], path: Path) -> ReplayRequest:
    """What a corrected file asks for; ``UsageError`` if it is no file to replay."""
    columns, rows = correction_csv.read(path)
    if not rows:
        raise UsageError(f"{path.name} contains no rows.", _EXPORT)
    entries = {
        number: rest
        for number, *rest in run(
            connection,
            "quarantine/quarantine.entries_named",
            {"ids": [row.rejected_row_id for row in rows]},
        )
    }
    unknown = [row for row in rows if row.rejected_row_id not in entries]
    if unknown:
        raise UsageError(
            f"{path.name} names {len(unknown):,} rows that the quarantine does not have, the first "
            f"as number {unknown[0].rejected_row_id}.",
            f"Is it of this warehouse? {_EXPORT}",
        )
    files = {(load_id, feed) for load_id, feed, *_ in entries.values()}
    if len(files) > 1:
        raise UsageError(
            f"{path.name} contains rows of several files.", "Replay the export of each by itself."
        )
    found = ReplayRequest(stage.file_of(connection, *files.pop()))
    header = found.file.header
    if set(columns) != set(header):
        odd = sorted(set(columns) ^ set(header))[0]
        raise UsageError(
            f"{path.name} has not the columns of its export: {odd[:63]!a} is missing or new.",
            f"Put it right and replay it again; {_EXPORT}",
        )
    for row in rows:
        _, _, line, reason, raw, closed_at = entries[row.rejected_row_id]
        if closed_at is not None:
            found.closed += 1
            continue
        # Text that is not in the quarantine cannot have been left alone.
        entry = Entry(row.rejected_row_id, line, (reason,), (), raw or "")
        if correction_csv.is_untouched(row, header, entry):
            found.untouched += 1
        elif correction_csv.is_escaped(row, header, entry):
            found.escaped += 1
        else:
            found.rows[line] = correction_csv.record(row, header, entry)
    return found
