"""An export: every table of one state of the database, in a folder that is there whole or not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from etl.access.roles import Right, Role
from etl.db.arrow_copy import batches
from etl.db.connection import reading
from etl.db.statements import run, scalar, statement
from etl.errors import AcaError, ServerError, UsageError
from etl.export import sheets, tables
from etl.export.duck import DuckFile
from etl.export.formats import CsvTable, FileRows, Opened, ParquetTable, Writer, Written
from etl.export.sheets import SheetTable
from etl.export.tables import Table
from etl.files.checksums import sha256_of, sync
from etl.files.whole import may_write, whole_folder
from etl.warehouse.tables import LIVE

MANIFEST = "manifest.json"
PARQUET, CSV, XLSX, DUCKDB = "parquet", "csv", "xlsx", "duckdb"
COMMAND = "make export TO=folder"
_OPENED: dict[str, Opened] = {PARQUET: ParquetTable, CSV: CsvTable, XLSX: SheetTable}
_MIB = 2**20
# Rows and their length are the planner's guess, and a file may have more around them.
_ROOM_AT_LEAST = 16 * _MIB


class Watcher(Protocol):
    """Who is shown how far an export is."""

    def begin(self, stage: str, what: str, total: int | None = None) -> None:
        """A table begins, of about so many rows."""

    def advance(self, amount: int) -> None:
        """So many rows are written."""

    def end(self) -> None:
        """The table is written."""


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for.

    ``asked``: tables, with commas between; none are the marts. ``as_known``: the load after which
    they are to be as they were known. ``to``: the folder to write, or ``None`` for one in
    ``root``. ``kept_out``: folders in which it may not be, each with what is so of it.
    """

    role: Role
    file_format: str
    root: Path
    asked: str = ""
    as_known: int | None = None
    to: Path | None = None
    kept_out: Mapping[Path, str] = field(default_factory=dict)


class Load(NamedTuple):
    """The load whose state is exported; ``as_of``: the day that the data speaks of."""

    load_id: int | None
    batch_id: str | None
    as_of: str | None


@dataclass(slots=True)
class Exported:
    """A table that was written; ``totals``: US dollars by column."""

    table: Table
    written: Written
    rows: int
    totals: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class Export:
    """A whole export."""

    folder: Path
    load: Load
    tables: list[Exported]
    size_bytes: int


def export(connection: psycopg.Connection[Any], request: Request, watcher: Watcher) -> Export:
    """Write the tables that are asked for, and what they come to.

    The session reads as the role already. Raises ``UsageError`` for what cannot be: a table that is
    not there or not for the role, a load that is not kept, a folder that may not be written, a
    disk without room, a table too long for a sheet.
    """
    with reading(connection, request.role.path):
        schemas = _schemas(connection, request)
        found = tables.chosen(
            connection,
            request.role,
            schemas,
            request.asked,
            is_known=request.as_known is not None,
            keeps_end=request.file_format == DUCKDB,
        )
        if request.file_format == XLSX:
            _require_sheets(connection, found)
        load = _load(connection, request.as_known)
        to = _folder(request, load)
        may_write(to, request.kept_out, COMMAND)
        _require_room(to, found)
        with whole_folder(to, COMMAND) as partial:
            done = _write(connection, partial, request.file_format, found, load, watcher)
            _require_same(connection, found)
            size = _write_manifest(partial, request, load, done)
    return Export(to, load, done, size)


def _schemas(connection: psycopg.Connection[Any], request: Request) -> list[str]:
    """Where the tables are; of what was known, the session is put there first."""
    role = request.role
    if request.as_known is None:
        return [schema for schema in role.path if schema in LIVE.schemas.names]
    kept = (LIVE.schemas.as_known, LIVE.schemas.limited_as_known)
    schemas = [s for s in kept if role.rights.get(s, Right.REFUSED) is not Right.REFUSED]
    if not schemas:
        raise UsageError(
            f"The role {role.short} sees nothing as it was known after a load.",
            "Leave AS_KNOWN= out, or name a role that does: ROLE=analyst, phi, steward or auditor.",
        )
    try:
        run(connection, "export/export.as_known_at", {"load_id": request.as_known})
    except (psycopg.errors.NoDataFound, psycopg.errors.ObjectNotInPrerequisiteState) as error:
        said = error.diag.message_primary or "this load is not known"
        raise UsageError(
            f"Nothing can be exported as known after load {request.as_known}: {said}.",
            error.diag.message_hint or "ledger.load lists the loads.",
        ) from error
    return schemas


def _load(connection: psycopg.Connection[Any], as_known: int | None) -> Load:
    if as_known is None:
        row = run(connection, "export/export.newest_load").fetchone()
    else:
        row = run(connection, "export/export.load", {"load_id": as_known}).fetchone()
    if row is None:
        return Load(None, None, None)
    load_id, batch_id, as_of = row
    return Load(load_id, batch_id, str(as_of) if as_of else None)


def _folder(request: Request, load: Load) -> Path:
    if request.to is not None:
        return request.to.resolve()
    known = "-as-known" if request.as_known is not None else ""
    name = f"load-{load.load_id or 0}{known}-{request.role.short}-{request.file_format}"
    return request.root / name


def _require_sheets(connection: psycopg.Connection[Any], found: Sequence[Table]) -> None:
    for table in found:
        values, relation = {"most": sheets.MOST_ROWS}, table.parts["relation"]
        if scalar(connection, "export/export.more_than", values, relation=relation):
            raise sheets.too_long(table)


def _require_room(to: Path, found: Sequence[Table]) -> None:
    needed = sum(table.rows * table.row_bytes for table in found) + _ROOM_AT_LEAST
    place = next(folder for folder in to.parents if folder.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise UsageError(
            f"The disk of {place} has {free / _MIB:,.0f} MiB free, and the export may need "
            f"{needed / _MIB:,.0f} MiB.",
            f"Free some space, or name a folder on a larger disk: {COMMAND}",
        )


def _write(
    connection: psycopg.Connection[Any],
    folder: Path,
    file_format: str,
    found: Sequence[Table],
    load: Load,
    watcher: Watcher,
) -> list[Exported]:
    if file_format != DUCKDB:
        opened = _OPENED[file_format]
        return [_write_table(connection, folder, table, opened, watcher) for table in found]
    file = DuckFile(folder)
    done = [_write_table(connection, folder, table, file.open, watcher) for table in found]
    file.close(load.as_of, list(found))
    return done


def _write_table(
    connection: psycopg.Connection[Any],
    folder: Path,
    table: Table,
    opened: Opened,
    watcher: Watcher,
) -> Exported:
    """Write the rows of a table as they come; what they come to is counted on the way."""
    watcher.begin("export", table.name, table.rows)
    try:
        return _fill(connection, opened(folder, table), table, watcher)
    except pa.ArrowInvalid as error:
        # Its text has the value.
        raise AcaError(
            f"{table.name} has a value that is not of the type of its column.",
            "Nothing was exported. make dq-check shows what is wrong with the warehouse.",
        ) from error
    finally:
        watcher.end()


def _fill(
    connection: psycopg.Connection[Any], writer: Writer, table: Table, watcher: Watcher
) -> Exported:
    rows, totals = 0, dict.fromkeys(table.money, Decimal("0.00"))
    try:
        with connection.cursor() as cursor:
            with cursor.copy(statement("export/export.copy", **table.parts)) as copied:
                for batch in batches(copied, table.arrow):
                    writer.write(batch)
                    rows += batch.num_rows
                    for name in totals:
                        totals[name] += pc.sum(batch.column(name)).as_py() or 0
                    watcher.advance(batch.num_rows)
            sent = cursor.rowcount
        written = writer.end()
    except BaseException:
        with suppress(OSError, ValueError):
            writer.give_up()
        raise
    _require_all(table, sent, rows, written.files)
    return Exported(table, written, rows, totals)


def _require_all(table: Table, sent: int, rows: int, files: Sequence[FileRows]) -> None:
    in_files = sum(file.rows for file in files)
    if not sent == rows == in_files:
        raise AcaError(
            f"The server sent {sent:,} rows of {table.name}, and {in_files:,} are in its files.",
            "Nothing was exported. Run again.",
        )


def _leads_to(connection: psycopg.Connection[Any], table: Table) -> int | None:
    name = table.parts["relation"].as_string(connection)
    found: int | None = scalar(connection, "export/export.leads_to", {"name": name})
    return found


def _require_same(connection: psycopg.Connection[Any], found: Sequence[Table]) -> None:
    """Raise ``ServerError`` where a full load went live meanwhile: names lead to its tables now."""
    if any(_leads_to(connection, table) != table.relation_id for table in found):
        raise ServerError(
            "A full load went live while the export began, so its tables are of two states.",
            "Nothing was exported. Run again.",
        )


def _write_manifest(folder: Path, request: Request, load: Load, done: Sequence[Exported]) -> int:
    """Write what the folder contains, and let it be on disk; bytes of the files."""
    paths = sorted({file.path for one in done for file in one.written.files})
    files = [
        {"path": path, "bytes": (folder / path).stat().st_size, "sha256": sha256_of(folder / path)}
        for path in paths
    ]
    for inner in {(folder / path).parent for path in paths}:
        sync(inner)
    said = {
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "format": request.file_format,
        "role": request.role.short,
        "load": {"load_id": load.load_id, "batch_id": load.batch_id},
        "as_of": load.as_of,
        "as_known_after_load": request.as_known,
        "tables": [_said(one) for one in done],
        "files": files,
    }
    path = folder / MANIFEST
    path.touch(mode=0o600)
    path.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    sync(path)
    return sum(int(str(file["bytes"])) for file in files)


def _said(one: Exported) -> dict[str, Any]:
    return {
        "name": one.table.name,
        "description": one.table.description,
        "rows": one.rows,
        "totals_usd": {name: f"{total:.2f}" for name, total in one.totals.items()},
        "texts_with_apostrophe": one.written.texts_changed,
        "columns": [
            {"name": c.name, "type": str(c.type), "description": c.description}
            for c in one.table.columns
        ],
        "files": [asdict(file) for file in one.written.files],
    }


def act_as(connection: psycopg.Connection[Any], role: Role) -> None:
    """Let a session read with the rights of a role; ``UsageError`` where its login has none."""
    try:
        run(connection, "export/export.act_as", {"role": role.name})
    except psycopg.errors.InsufficientPrivilege as error:
        raise UsageError(
            f"The login {connection.info.user} has not got the role {role.short}.",
            "Leave ROLE= out to read as the role that it has, or let the owner run make role-add.",
        ) from error
