"""The forms of an export, each a writer of one table at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq

from etl.export.tables import Table

# A table of more rows than these has a file a month where its rows are of days.
_LARGE = 1_000_000
# By which column.
_DAY = "service_date"
# So many rows are kept until they are a part of a file, of all months together.
_ROWS_AT_ONCE = 1 << 17
# Spreadsheets run a text that begins with one of these (OWASP, CSV injection).
_RUN_BY_SPREADSHEETS = "^[=+@\\-\t\r]"


@dataclass(slots=True)
class FileRows:
    """A file that was written, by its path in the export, and how many rows it has."""

    path: str
    rows: int = 0


@dataclass(slots=True)
class Written:
    """What became of a table: its files, and how many texts got an apostrophe."""

    files: list[FileRows] = field(default_factory=list)
    texts_changed: int = 0


class Writer(Protocol):
    """Writes one table of an export."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Take in some rows."""

    def end(self) -> Written:
        """Every row is written, and on disk."""

    def give_up(self) -> None:
        """Let go of what is open; the folder goes."""


def private(path: Path) -> Any:
    """A new file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


class _ParquetFile:
    """A Parquet file whose rows come in small batches and are kept until they are a row group."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.file = private(path)
        self.writer = pq.ParquetWriter(self.file, schema, compression="zstd")
        self.waiting: list[pa.RecordBatch] = []
        self.rows = self.rows_waiting = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self.waiting.append(batch)
        self.rows += batch.num_rows
        self.rows_waiting += batch.num_rows

    def flush(self) -> None:
        if self.waiting:
            self.writer.write_table(pa.Table.from_batches(self.waiting))
            self.waiting, self.rows_waiting = [], 0

    def close(self) -> None:
        self.flush()
        self.writer.close()
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()


class ParquetTable:
    """A table as Parquet, compressed with zstd: one file, or where it is large a file a month."""

    def __init__(self, folder: Path, table: Table) -> None:
        self.folder, self.table = folder, table
        self.is_by_month = table.rows > _LARGE and _DAY in table.arrow.names
        self.files: dict[str, _ParquetFile] = {}
        if not self.is_by_month:
            self._file("")

    def _file(self, month: str) -> _ParquetFile:
        if month not in self.files:
            self.files[month] = _ParquetFile(self.folder / self._path(month), self.table.arrow)
        return self.files[month]

    def _path(self, month: str) -> str:
        name = self.table.name
        return f"{name}/{name}-{month}.parquet" if month else f"{name}.parquet"

    def write(self, batch: pa.RecordBatch) -> None:
        """Take in some rows."""
        if self.is_by_month:
            for month, rows in _by_month(batch):
                self._file(month).add(rows)
        else:
            self._file("").add(batch)
        while sum(file.rows_waiting for file in self.files.values()) >= _ROWS_AT_ONCE:
            max(self.files.values(), key=lambda file: file.rows_waiting).flush()

    def end(self) -> Written:
        """Every row is written, and on disk."""
        if not self.files:
            self._file("")
        written = []
        for month, file in sorted(self.files.items()):
            file.close()
            written.append(FileRows(self._path(month), file.rows))
        return Written(written)

    def give_up(self) -> None:
        """Let go of what is open."""
        for file in self.files.values():
            file.file.close()


def _by_month(batch: pa.RecordBatch) -> list[tuple[str, pa.RecordBatch]]:
    """The rows of each month of service."""
    days = batch.column(_DAY)
    months = pc.fill_null(pc.add(pc.multiply(pc.year(days), 100), pc.month(days)), 0)
    found = pc.unique(months).to_pylist()
    if len(found) == 1:
        return [(_month(found[0]), batch)]
    return [(_month(month), batch.filter(pc.equal(months, month))) for month in found]


def _month(number: int) -> str:
    return f"{number // 100:04}-{number % 100:02}" if number else "without-date"


class CsvTable:
    """A table as CSV (RFC 4180) in UTF-8: texts in quotes, so that an empty one is not missing.

    A text that a spreadsheet would run begins with an apostrophe.
    """

    def __init__(self, folder: Path, table: Table) -> None:
        self.path = f"{table.name}.csv"
        self.file = private(folder / self.path)
        self.written = Written([FileRows(self.path)])
        options = pv.WriteOptions(eol="\r\n", quoting_style="needed", quoting_header="needed")
        # Instants as PostgreSQL writes them, which every program reads.
        kinds = [
            pa.field(f.name, pa.string() if pa.types.is_timestamp(f.type) else f.type)
            for f in table.arrow
        ]
        self.schema = pa.schema(kinds)
        self.writer = pv.CSVWriter(self.file, self.schema, write_options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        """Take in some rows."""
        columns = [self._column(column) for column in batch.columns]
        self.writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self.schema))
        self.written.files[0].rows += batch.num_rows

    def _column(self, values: pa.Array) -> pa.Array:
        if pa.types.is_timestamp(values.type):
            return pc.strftime(values, format="%Y-%m-%d %H:%M:%S+00")
        if not pa.types.is_string(values.type):
            return values
        runs = pc.match_substring_regex(values, _RUN_BY_SPREADSHEETS)
        changed = pc.sum(runs).as_py() or 0
        if not changed:
            return values
        self.written.texts_changed += changed
        return pc.if_else(runs, pc.binary_join_element_wise("'", values, ""), values)

    def end(self) -> Written:
        """Every row is written, and on disk."""
        self.writer.close()
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        return self.written

    def give_up(self) -> None:
        """Let go of what is open."""
        self.file.close()


Opened = Callable[[Path, Table], Writer]
