"""Parquet files of staged rows: written from COPY, and read back to be counted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg import sql

from etl.contracts.feed import Feed
from etl.db.arrow_copy import INSTANT, arrow_type, batches
from etl.render import staged_rows

# Where a row came from; the columns of its feed follow.
_LINEAGE = (
    ("load_id", pa.int64(), "The load that brought the row."),
    ("batch_id", pa.string(), "The batch of that load."),
    ("as_of", INSTANT, "When the batch's facts became true, UTC."),
    ("source_line", pa.int64(), "Line of the file on which the row begins; the header is line 1."),
    ("load_timestamp", INSTANT, "When the row was loaded, UTC."),
)


@dataclass(frozen=True, slots=True)
class Counted:
    """What a file or a query comes to.

    ``totals``: US dollars by money column. ``values``: by column of the feed, how many rows have
    a value in it.
    """

    rows: int
    totals: dict[str, Decimal]
    values: dict[str, int]


def schema(feed: Feed) -> pa.Schema:
    """The columns of a feed's file, each with its meaning."""
    columns = [(c.name, arrow_type(c.type.stored), c.description) for c in feed.staged]
    return pa.schema(
        pa.field(name, kind, metadata={"description": said})
        for name, kind, said in (*_LINEAGE, *columns)
    )


def columns(feed: Feed) -> sql.Composable:
    """The columns of a feed's file as a query of staged rows ``s`` and their loads ``l`` has them.

    Instants are in UTC, without a zone.
    """
    instants = {field.name for field in schema(feed) if field.type == INSTANT}
    lineage = [
        sql.Identifier("l" if name in ("batch_id", "as_of") else "s", name) for name, *_ in _LINEAGE
    ]
    values = [staged_rows.stored(feed, column.name) for column in feed.staged]
    return sql.SQL(", ").join(
        sql.SQL("{} at time zone 'UTC'").format(value) if field.name in instants else value
        for field, value in zip(schema(feed), [*lineage, *values], strict=True)
    )


def write(blocks: Iterable[bytes | bytearray | memoryview], feed: Feed, path: Path) -> None:
    """Write rows, CSV as COPY sends it in the columns of ``schema``; on disk when it ends.

    Only the owner of the process may read the file.
    """
    wanted = schema(feed)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with pq.ParquetWriter(file, wanted, compression="zstd") as writer:
            for batch in batches(blocks, wanted):
                writer.write_batch(batch)
        file.flush()
        os.fsync(file.fileno())


def count(path: Path, feed: Feed) -> Counted:
    """Read a file back and count what is in it, a block of rows at a time."""
    rows = 0
    totals = dict.fromkeys(feed.money, Decimal(0))
    values = {column.name: 0 for column in feed.staged}
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            rows += batch.num_rows
            for name in values:
                column = batch.column(name)
                values[name] += len(column) - column.null_count
            for name in totals:
                totals[name] += pc.sum(batch.column(name)).as_py() or 0
    return Counted(rows, totals, values)
