"""Parquet files of staged rows: written from COPY, read back to be counted or to be staged again.

A value has the type in which the warehouse stores it. ``exact``: rows are to come back as they
were, so a number whose digits staging does not bound is text.
"""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq
from psycopg import sql

from etl.contracts.column import Column as FeedColumn
from etl.contracts.feed import Feed
from etl.contracts.types import Type
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


def schema(feed: Feed, *, exact: bool = False) -> pa.Schema:
    """The columns of a feed's file, each with its meaning."""
    columns = [
        (c.name, pa.string() if _as_text(c, exact) else arrow_type(c.type.stored), c.description)
        for c in feed.staged
    ]
    return pa.schema(
        pa.field(name, kind, metadata={"description": said})
        for name, kind, said in (*_LINEAGE, *columns)
    )


def _as_text(column: FeedColumn, exact: bool) -> bool:
    return exact and column.type is Type.RATIO


def columns(feed: Feed, *, exact: bool = False) -> sql.Composable:
    """The columns of a feed's file as a query of staged rows ``s`` and their loads ``l`` has them.

    Instants are in UTC, without a zone.
    """
    instants = {field.name for field in schema(feed) if field.type == INSTANT}
    lineage = [
        sql.Identifier("l" if name in ("batch_id", "as_of") else "s", name) for name, *_ in _LINEAGE
    ]
    values = [
        sql.Identifier("s", column.name)
        if _as_text(column, exact)
        else staged_rows.stored(feed, column.name)
        for column in feed.staged
    ]
    return sql.SQL(", ").join(
        sql.SQL("{} at time zone 'UTC'").format(value) if field.name in instants else value
        for field, value in zip(schema(feed), [*lineage, *values], strict=True)
    )


def write(
    blocks: Iterable[bytes | bytearray | memoryview],
    feed: Feed,
    path: Path,
    *,
    exact: bool = False,
) -> None:
    """Write rows, CSV as COPY sends it in the columns of ``schema``; on disk when it ends.

    Only the owner of the process may read the file.
    """
    wanted = schema(feed, exact=exact)
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


def columns_of(path: Path) -> list[str]:
    """The columns of a file."""
    return list(pq.read_schema(path).names)


def values_among(path: Path, column: str, wanted: pa.Array) -> bool:
    """Whether a file has one of some values in a column; what is missing is no value."""
    with pq.ParquetFile(path) as file:
        return any(
            pc.any(pc.is_in(batch.column(0), value_set=wanted)).as_py()
            for batch in file.iter_batches(columns=[column])
        )


def keys_of(
    path: Path,
    column: str,
    within: tuple[str, Collection[tuple[date, date]]] | None = None,
) -> set[str]:
    """Values of a column; ``within``: of rows with a date in one of some periods.

    That is the date's column and the first day of each period, and the first after it.
    """
    found: set[str] = set()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=[column, *(within or ())[:1]]):
            if within is not None:
                batch = batch.filter(_is_within(batch.column(within[0]), within[1]))
            found.update(batch.column(column).to_pylist())
    return found


def _is_within(days: pa.Array, periods: Collection[tuple[date, date]]) -> pa.Array:
    """Whether each day is in one of some periods; a missing one is in none."""
    found = pa.nulls(len(days), pa.bool_())
    for first, end in periods:
        after = pc.greater_equal(days, pa.scalar(first, pa.date32()))
        found = pc.or_kleene(found, pc.and_(after, pc.less(days, pa.scalar(end, pa.date32()))))
    return found


def as_csv(
    path: Path, columns: list[str], among: tuple[str, pa.Array] | None = None
) -> Iterator[bytes]:
    """Rows of a file as COPY reads them: what is missing is empty, an empty text is in quotes.

    ``among``: only rows with one of these values in a column.
    """
    options = pv.WriteOptions(include_header=False)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=[*dict.fromkeys([*columns, *(among or ())[:1]])]):
            if among is not None:
                batch = batch.filter(pc.is_in(batch.column(among[0]), value_set=among[1]))
            block = io.BytesIO()
            pv.write_csv(batch.select(columns), block, options)
            yield block.getvalue()
