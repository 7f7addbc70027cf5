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
from psycopg import sql

from etl.access import logins
from etl.access.roles import Right, Role
from etl.db.arrow_copy import batches
from etl.db.connection import reading
from etl.db.statements import run, scalar, statement
from etl.errors import AcaError, ServerError, UsageError
from etl.export import sheets, tables
from etl.export.duck import DuckFile
from etl.export.formats import CsvTable, FileRows, Opened, ParquetTable, Writer, Written
from etl.export.sheets import SheetTable
from etl.export.tables import Found, Table
from etl.files.checksums import sha256_of, sync
from etl.files.whole import may_write, whole_folder
from etl.schema import layout
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
    """A whole export; ``left_out``: tables that a cluster does not read, each with the reason."""

    folder: Path
    load: Load
    tables: list[Exported]
    size_bytes: int
    left_out: dict[str, str]


def export(connection: psycopg.Connection[Any], request: Request, watcher: Watcher) -> Export:
    """Write the tables that are asked for, and what they come to.

    The session reads as the role already. Raises ``UsageError`` for what cannot be: a table that is
    not there or not for the role, a load that is not kept, a folder that may not be written, a
    disk without room, a table too long for a sheet.
    """
    path = logins.path_of(connection, request.role)
    is_on_nodes = layout.found(connection, LIVE.schemas).has_history
    found, left_out = _answered(connection, request, path) if is_on_nodes else ([], {})
    with reading(connection, path):
        if not is_on_nodes:
            asked = _asked_for(connection, request, path)
            found = tables.described(connection, asked, keeps_end=request.file_format == DUCKDB)
        if request.file_format == XLSX:
            _require_sheets(connection, found)
        load = _load(connection, request.as_known)
        to = _folder(request, load)
        may_write(to, request.kept_out, COMMAND)
        _require_room(to, found)
        with whole_folder(to, COMMAND) as partial:
            done = _write(connection, partial, request.file_format, found, load, watcher)
            _require_same(connection, found)
            size = _write_manifest(partial, request, load, done, left_out)
    return Export(to, load, done, size, left_out)


def _schemas(
    connection: psycopg.Connection[Any], request: Request, path: Sequence[str]
) -> list[str]:
    """Where the tables are; of what was known, the session is put there first."""
    role = request.role
    if request.as_known is None:
        known = (*LIVE.schemas.names, LIVE.schemas.history)
        return [schema for schema in path if schema in known]
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


def _asked_for(
    connection: psycopg.Connection[Any], request: Request, path: Sequence[str]
) -> dict[str, Found]:
    schemas = _schemas(connection, request, path)
    is_known = request.as_known is not None
    return tables.asked_for(connection, request.role, schemas, request.asked, is_known=is_known)


def _answered(
    connection: psycopg.Connection[Any], request: Request, path: Sequence[str]
) -> tuple[list[Table], dict[str, str]]:
    """The tables that a cluster reads for the role, and of the others the reason why not.

    Before the transaction of the export: once a plan was shown in one, Citus asks the coordinator
    as it asks nodes, where no login has their secret. Raises ``UsageError`` where one of the others
    is named, or none is left.
    """
    with reading(connection, path):
        found = _asked_for(connection, request, path)
    refused = {name: _refusal(connection, request.role, name, found[name]) for name in found}
    left_out = {name: why for name, why in refused.items() if why}
    named = [name for name in left_out if request.asked not in ("", tables.ALL)]
    if named or (left_out and len(left_out) == len(found)):
        name = (named or list(left_out))[0]
        raise UsageError(
            f"{name} cannot be exported: {left_out[name]}.",
            "docs/cluster.md says what a cluster does not read. Nothing was exported.",
        )
    left = {name: found[name] for name in found if name not in left_out}
    with reading(connection, path):
        return tables.described(connection, left, keeps_end=request.file_format == DUCKDB), left_out


def _refusal(
    connection: psycopg.Connection[Any], role: Role, name: str, found: Found
) -> str | None:
    """Why a cluster does not read a relation for the role; nothing where it does."""
    try:
        run(connection, "export/export.first_row", relation=sql.Identifier(found.schema, name))
    except psycopg.errors.FeatureNotSupported as error:
        return (error.diag.message_primary or "Citus refuses it").rstrip(".")
    except psycopg.errors.InsufficientPrivilege:
        return f"the role {role.short} has no right on the nodes where its rows lie"
    except psycopg.errors.ConnectionFailure:
        if connection.closed:
            raise
        return f"Citus would connect to a node in the name of the role {role.short}, and cannot"
    return None


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


def _write_manifest(
    folder: Path,
    request: Request,
    load: Load,
    done: Sequence[Exported],
    left_out: Mapping[str, str],
) -> int:
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
        **({"left_out": left_out} if left_out else {}),
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
    """Let a session read with the rights of a role; ``UsageError`` where its login has none.

    On a cluster nodes are asked in the name of who acts, and no role logs in there: the login has
    to be one of the role.
    """
    if layout.found(connection, LIVE.schemas).has_history:
        if scalar(connection, "export/export.has_role", {"role": role.name}):
            return
        raise UsageError(
            f"The login {connection.info.user} has not got the role {role.short}, and on a cluster "
            "it cannot act as it: nodes are asked in the name of a login.",
            "make db-url ROLE= prints the address of a login that has the role: name it in "
            "DATABASE_URL.",
        )
    try:
        run(connection, "export/export.act_as", {"role": role.name})
    except psycopg.errors.InsufficientPrivilege as error:
        raise UsageError(
            f"The login {connection.info.user} has not got the role {role.short}.",
            "Leave ROLE= out to read as the role that it has, or let the owner run make role-add.",
        ) from error
