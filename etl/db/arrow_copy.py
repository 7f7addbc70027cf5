"""Rows from COPY as Arrow batches in the types that the warehouse stores.

PostgreSQL writes the rows as CSV, which pyarrow parses by the block. So no row is handled in
Python, and memory is that of a few blocks.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.csv as pv

BLOCK_BYTES = 8 << 20
INSTANT = pa.timestamp("us", tz="UTC")
_TYPES = {
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "smallint": pa.int16(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamptz": INSTANT,
    "timestamp with time zone": INSTANT,
    "timestamp without time zone": INSTANT,
}
_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")


def arrow_type(stored: str) -> pa.DataType:
    """The Arrow type of a type of PostgreSQL; what has none of its own comes as text.

    Instants are in UTC; the query has to give them without a zone.
    """
    if found := _NUMERIC.fullmatch(stored):
        return pa.decimal128(int(found[1]), int(found[2]))
    return _TYPES.get(stored, pa.string())


class _Rows(io.RawIOBase):
    """The bytes of a COPY as a file."""

    def __init__(self, blocks: Iterable[bytes | bytearray | memoryview]) -> None:
        self.blocks = iter(blocks)
        self.left = memoryview(b"")
        self.reading = Lock()

    def stop(self) -> None:
        """Read no more: a thread of the parser may be ahead of whoever takes its rows."""
        with self.reading:
            self.blocks, self.left = iter(()), memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self.reading:
            return self._read(buffer)

    def _read(self, buffer: Any) -> int:
        while not self.left:
            block = next(self.blocks, None)
            if block is None:
                return 0
            self.left = memoryview(block)
        size = min(len(buffer), len(self.left))
        buffer[:size] = self.left[:size]
        self.left = self.left[size:]
        return size


def batches(
    blocks: Iterable[bytes | bytearray | memoryview], wanted: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The rows of a COPY, CSV without a header in the columns of a schema.

    What is empty without quotes is missing. Raises ``pyarrow.ArrowInvalid`` where a value is not
    of its type.
    """
    # What has no zone is parsed as it is; it is in UTC.
    parsed = {
        field.name: pa.timestamp("us") if field.type == INSTANT else field.type for field in wanted
    }
    rows = _Rows(blocks)
    try:
        yield from _parsed(io.BufferedReader(rows, BLOCK_BYTES), parsed, wanted)
    finally:
        rows.stop()


def _parsed(
    source: io.BufferedReader, types: dict[str, pa.DataType], wanted: pa.Schema
) -> Iterator[pa.RecordBatch]:
    # The reader takes a file without a row for none at all.
    if not source.peek(1):
        return
    reader = pv.open_csv(
        source,
        read_options=pv.ReadOptions(column_names=wanted.names, block_size=BLOCK_BYTES),
        parse_options=pv.ParseOptions(newlines_in_values=True),
        convert_options=pv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    for batch in reader:
        yield from pa.Table.from_batches([batch]).cast(wanted).to_batches()
