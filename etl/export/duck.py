"""All tables as one file of DuckDB, which can be moved: the rows are in it.

Views over Parquet files would name these by a path, and break with the folder's next place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ENOSPC
from pathlib import Path

import duckdb
import pyarrow as pa
from psycopg import sql

from etl.db.statements import statement
from etl.export.formats import FileRows, Written
from etl.export.tables import MARTS_SHOWN, Table, is_instant
from etl.files.checksums import sync

FILE = "warehouse.duckdb"
_MEMORY = "512MB"
_GIVEN = "rows_given"
# What DuckDB says where a disk is full; it has no code for it.
_FULL = "No space left"


class DuckFile:
    """A file of DuckDB, one transaction a table."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        with _full_disk():
            self.connection = duckdb.connect(
                str(self.path), config={"memory_limit": _MEMORY, "temp_directory": str(folder)}
            )

    def open(self, _: Path, table: Table) -> DuckTable:
        """A writer of a table."""
        return DuckTable(self, table)

    def close(self, as_of: str | None, tables: list[Table]) -> None:
        """Give reports the names that they ask by; every row is on disk then."""
        with _full_disk():
            self.run("make_mart")
            self.run("as_of", day=sql.Literal(as_of))
            for table in tables:
                if table.name in MARTS_SHOWN:
                    self.run("show_as_mart", name=sql.Identifier(table.name))
            self.connection.close()
        self.path.chmod(0o600)
        sync(self.path)

    def run(self, name: str, /, **parts: sql.Composable) -> None:
        """Run a statement of ``sql/export/duckdb.sql``."""
        self.connection.execute(statement(f"export/duckdb.{name}", **parts).as_string())


class DuckTable:
    """A table of the file. Instants are in UTC, without a zone, as the warehouse compares them."""

    def __init__(self, file: DuckFile, table: Table) -> None:
        self.file, self.table, self.rows = file, table, 0
        kinds = [
            pa.field(f.name, pa.timestamp("us") if is_instant(f.type) else f.type)
            for f in table.arrow
        ]
        self.schema = pa.schema(kinds)
        self.parts = {"name": sql.Identifier(table.name), "taken": sql.Identifier(_GIVEN)}
        with _full_disk():
            file.connection.begin()
            self._given("create", self.schema.empty_table())
            self._describe()

    def _describe(self) -> None:
        name = self.parts["name"]
        self.file.run("describe_table", name=name, comment=sql.Literal(self.table.description))
        for column in self.table.columns:
            said = sql.Literal(column.description)
            column_name = sql.Identifier(column.name)
            self.file.run("describe_column", name=name, column=column_name, comment=said)

    def _given(self, statement_name: str, rows: pa.Table) -> None:
        self.file.connection.register(_GIVEN, rows)
        self.file.run(statement_name, **self.parts)
        self.file.connection.unregister(_GIVEN)

    def write(self, batch: pa.RecordBatch) -> None:
        """Take in some rows."""
        with _full_disk():
            self._given("take_in", pa.Table.from_batches([batch]).cast(self.schema))
        self.rows += batch.num_rows

    def end(self) -> Written:
        """Every row is in the file."""
        with _full_disk():
            self.file.connection.commit()
        return Written([FileRows(FILE, self.rows)])

    def give_up(self) -> None:
        """Let go of the file; the folder goes."""
        with suppress(duckdb.Error):
            self.file.connection.close()


@contextmanager
def _full_disk() -> Iterator[None]:
    """Say of a full disk what everything else here says of it."""
    try:
        yield
    except duckdb.Error as error:
        if _FULL in str(error):
            raise OSError(ENOSPC, "No space left on device") from error
        raise
