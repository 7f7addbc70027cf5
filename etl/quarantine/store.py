"""Quarantine: corrected rows enter the staging of the load that had rejected them.

They take the lines of the rows that they replace, under the load that brought the file, so that
they rank as if they had been right at first. What the ledger says of the file follows, and the
entries close.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from etl.access.erasure import Door
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.reasons import Reason
from etl.db.statements import equal, names, run, scalar, statement
from etl.inbox import header
from etl.inbox.amounts import Amounts
from etl.inbox.batch import Batch, Expected, FeedFile
from etl.inbox.copy_stream import NO_ROWS
from etl.inbox.header import Header
from etl.stages import tables
from etl.stages.stage import load_file, parts, rejects, validate
from etl.stages.stage.staged import NOT_COMPARED, PartRead, Rejected, Staged
from etl.warehouse.tables import Build


@dataclass(frozen=True, slots=True)
class File:
    """A file of a load, as the ledger has it."""

    load_id: int
    batch_id: str
    as_of: datetime
    feed_name: str
    file_name: str
    kind: str
    contract: str | None
    status: str
    xxh3_128: UUID
    header: list[str]
    rows_read: int
    rows_rejected: int
    rows_duplicate: int
    rows_expired: int
    rows_filtered: int
    rows_added: int
    totals: dict[str, dict[str, str]]
    findings: dict[str, Any]
    part_names: list[str]
    part_lines: list[int]

    @property
    def feed(self) -> Feed:
        """The feed's contract."""
        return FEEDS[self.feed_name]

    @property
    def head(self) -> Header:
        """Its columns, as the contract under which it came reads them."""
        return header.of_names(self.feed, self.contract, self.header, self.findings)


@dataclass(slots=True)
class Outcome:
    """What became of corrected rows: lines that came in, by load; those that are bad again."""

    lines: dict[int, list[int]] = field(default_factory=dict)
    again: set[int] = field(default_factory=set)
    displaces: bool = False


# What gives the records on lines of a file as its sender wrote them.
Originals = Callable[[File, set[int]], Mapping[int, bytes]]


def file_of(connection: psycopg.Connection[Any], load_id: int, feed: str) -> File:
    """What the ledger says of a file."""
    with connection.cursor(row_factory=class_row(File)) as cursor:
        found = cursor.execute(
            statement("quarantine/quarantine.file"), {"load_id": load_id, "feed": feed}
        ).fetchone()
    assert found is not None  # every entry of the quarantine has its file
    return found


def kept(
    connection: psycopg.Connection[Any], feed: str, checksum: str, before: int | None
) -> dict[int, bytes]:
    """The corrected rows of files of these bytes by line, as known before a load."""
    values = {"feed": feed, "xxh3_128": checksum, "before": before}
    found = run(connection, "quarantine/quarantine.kept", values)
    return {line: record.encode() for line, record in found}


def kept_by(
    connection: psycopg.Connection[Any], load_id: int
) -> dict[tuple[str, str], dict[int, bytes]]:
    """The corrected rows that a load brought, by feed and checksum of the file and by line."""
    found: dict[tuple[str, str], dict[int, bytes]] = {}
    values = {"load_id": load_id}
    for feed, checksum, line, record in run(connection, "quarantine/quarantine.kept_by", values):
        found.setdefault((feed, checksum), {})[line] = record.encode()
    return found


def keep(
    connection: psycopg.Connection[Any], file: File, rows: Mapping[int, bytes], load_id: int
) -> None:
    """Keep corrected rows by the checksum of their file: a full load finds the bad ones there."""
    with connection.cursor() as cursor:
        cursor.executemany(
            statement("quarantine/quarantine.keep"),
            [
                {
                    "feed": file.feed_name,
                    "xxh3_128": file.xxh3_128,
                    "line": line,
                    "load_id": load_id,
                    "columns": file.header,
                    "record": record.decode(),
                }
                for line, record in sorted(rows.items())
            ],
        )


def correct(
    connection: psycopg.Connection[Any],
    build: Build,
    feed: str,
    checksum: str,
    rows: Mapping[int, bytes],
    made_by: int,
    originals: Originals,
    door: Door,
) -> Outcome:
    """Put corrected rows into staging, in every load of the build whose file has these bytes.

    ``door``: who was erased. ``BatchError`` if the file, now whole, is not what its manifest says,
    or is needed for the text of a row and gone.
    """
    outcome = Outcome()
    values = {"feed": feed, "xxh3_128": checksum, **build.values}
    for (load_id,) in run(connection, "quarantine/quarantine.loads_of_file", values).fetchall():
        file = file_of(connection, load_id, feed)
        _correct_file(connection, file, rows, made_by, outcome, originals, door)
        twins = run(
            connection, "quarantine/quarantine.twin_skipped", {**values, "load_id": load_id}
        )
        for twin_id, as_of in twins.fetchall():
            load_file.repeat_file(connection, file.feed, twin_id, as_of, load_id)
            outcome.lines[twin_id] = outcome.lines.get(load_id, [])
    return outcome


def _correct_file(
    connection: psycopg.Connection[Any],
    file: File,
    given: Mapping[int, bytes],
    made_by: int,
    outcome: Outcome,
    originals: Originals,
    door: Door,
) -> None:
    """Put corrected rows into the staging of one load, as far as they are open there."""
    of_file = {"load_id": file.load_id, "feed": file.feed_name}
    entries = run(
        connection, "quarantine/quarantine.open_entries", {**of_file, "lines": list(given)}
    ).fetchall()
    is_open = {line for _, line, *_ in entries}
    rows = {line: record for line, record in given.items() if line in is_open}
    if not rows:
        return
    batch = Batch(file.batch_id, file.as_of, ())
    staged = _staged(file, door)
    load_file.add_rows(connection, file.load_id, staged, file.head, rows)
    rivals = _rivals(connection, file, list(rows))
    load_file.settle(connection, file.load_id, batch, file.head.contract, staged)

    bad = {r.line: r for r in staged.rejected}
    displaced = [r for line, r in bad.items() if line not in rows]
    _close(connection, file, entries, rows, bad, made_by)
    staged.rejected = displaced
    if displaced and not _stands_in_staging(file.head):
        rivals = _as_sent(connection, file, {r.line for r in displaced}, originals)
    rejects.write_rejects(connection, file.load_id, staged, sorted(rivals.items()))
    _recount(connection, file, batch, staged, len(bad) - len(rows))

    came = sorted(rows.keys() - bad.keys())
    if came:
        outcome.lines[file.load_id] = came
    outcome.again |= rows.keys() & bad.keys()
    outcome.displaces |= bool(displaced) or staged.duplicate > 0


def _stands_in_staging(head: Header) -> bool:
    """Whether the fields of a row can be read from staging: none of it was made of them."""
    return not head.made and head.contract.repeat is None


def _as_sent(
    connection: psycopg.Connection[Any], file: File, lines: set[int], originals: Originals
) -> dict[int, str]:
    """The text of rows by line, as they were corrected before or as the sender wrote them."""
    corrected = kept(connection, file.feed_name, file.xxh3_128.hex, None)
    found = {line: corrected[line] for line in lines & corrected.keys()}
    if left := lines - found.keys():
        found |= originals(file, left)
    return {line: rejects.as_text(record) for line, record in found.items()}


def _staged(file: File, door: Door) -> Staged:
    """A file of the ledger as the stage knows files; nothing of it is read from the disk."""
    expected = {c: Decimal(t["expected"]) for c, t in file.totals.items() if "expected" in t}
    said = Expected(file.kind, totals=expected)
    feed_file = FeedFile(file.feed, Path(file.file_name), said, 0, 0)
    staged = Staged(feed_file, file.xxh3_128.hex, door=door)
    staged.parts = [
        PartRead(FeedFile(file.feed, Path(name), said, 0, 0), line)
        for name, line in zip(file.part_names, file.part_lines, strict=True)
    ]
    return staged


def _rivals(connection: psycopg.Connection[Any], file: File, lines: list[int]) -> dict[int, str]:
    """Text by line of the rows which a corrected row may displace; read before any of them goes."""
    known = [c.name for c in file.feed.staged]
    run(
        connection,
        "quarantine/quarantine.find_rivals",
        {"load_id": file.load_id, "lines": lines},
        table=sql.Identifier(file.feed.table),
        columns=names(known, "r"),
        same_key=equal(file.feed.key, "c", "r"),
    )
    found = [n for (n,) in run(connection, "quarantine/quarantine.rival_lines").fetchall()]
    texts = sql.SQL(", ").join(
        sql.Identifier(target) if target else sql.SQL("null::text") for target in file.head.targets
    )
    rivals: dict[int, str] = {}
    if found:
        with connection.cursor().copy(
            statement("quarantine/quarantine.rival_text", texts=texts)
        ) as copy:
            # COPY sends each row as a message of its own, also one with line ends in it.
            for line, record in zip(found, copy, strict=True):
                rivals[line] = bytes(record).decode().removesuffix("\n")
    tables.drop(connection, "rival")
    return rivals


def _close(
    connection: psycopg.Connection[Any],
    file: File,
    entries: list[tuple[Any, ...]],
    rows: Mapping[int, bytes],
    bad: Mapping[int, Rejected],
    made_by: int,
) -> None:
    """Close the entries of rows that came in; the first of a bad row says what is wrong now."""
    run(
        connection,
        "quarantine/quarantine.close",
        {
            "load_id": file.load_id,
            "feed": file.feed_name,
            "lines": sorted(rows.keys() - bad.keys()),
            "closed_by": made_by,
        },
    )
    changed: set[int] = set()
    for rejected_row_id, line, *_ in entries:
        found = bad.get(line)
        if found is None:
            continue
        values = {"rejected_row_id": rejected_row_id, "closed_by": made_by}
        if line in changed:
            run(connection, "quarantine/quarantine.close_entry", values)
            continue
        changed.add(line)
        values |= {
            "reason": found.reason.text,
            "column_name": found.column,
            "raw_line": rejects.as_text(rows[line]),
        }
        run(connection, "quarantine/quarantine.change_entry", values)


def _recount(
    connection: psycopg.Connection[Any],
    file: File,
    batch: Batch,
    staged: Staged,
    more_rejected: int,
) -> None:
    """Record the file as if its rows had been right at first."""
    of_file = {"load_id": file.load_id, "feed": file.feed_name}
    left = run(connection, "quarantine/quarantine.open_reasons", of_file).fetchall()
    by_text = {reason.text: reason for reason in Reason}
    staged.rejected = [Rejected(line, None, by_text[reason]) for line, reason, _ in left]
    for column, total in file.totals.items():
        staged.duplicate_cents[column] += validate.dollars_to_cents(total["duplicate"])
        staged.expired_cents[column] += validate.dollars_to_cents(total.get("expired", "0"))
        staged.filtered_cents[column] += validate.dollars_to_cents(total.get("filtered", "0"))
    sums = Amounts(rejects.money_fields(file.head))
    rows = (raw for _, reason, raw in left if by_text[reason] not in NO_ROWS)
    records = (None if raw is None else raw.encode() for raw in rows)
    rejects.add_amounts(connection, sums, records, file.head)
    staged.rejected_amounts = sums
    validate.add_up(staged)
    validate.check_expected(batch, staged)
    rejected = file.rows_rejected + more_rejected
    duplicate = file.rows_duplicate + staged.duplicate
    filtered = file.rows_filtered + staged.filtered.total()
    gone = rejected + duplicate + file.rows_expired + filtered
    # Each line is one row but where the contract says that it gives several.
    staged.added = staged.kept + gone - file.rows_read if file.head.contract.repeat else 0
    run(
        connection,
        "quarantine/quarantine.recount_file",
        {
            **of_file,
            "rows_loaded": file.rows_read + staged.added - gone,
            "rows_rejected": rejected,
            "rows_duplicate": duplicate,
            "rows_filtered": filtered,
            "rows_added": staged.added,
            "totals": Jsonb(staged.totals),
            "latest_effective_ts": staged.latest_effective_ts,
            "distinct_keys": staged.distinct_keys,
            "not_compared": staged.findings.get(NOT_COMPARED),
        },
    )
    parts.recount(connection, file.load_id, file.feed_name, staged.parts, staged)


def batch_is_known(connection: psycopg.Connection[Any], batch_id: str) -> bool:
    """Whether a batch of this name was ever loaded, or tried."""
    return bool(scalar(connection, "quarantine/quarantine.batch_is_known", {"batch_id": batch_id}))
