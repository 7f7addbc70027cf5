"""The archive: a folder a run of retention, with a Parquet file a feed and year and a manifest.

A folder gets its name only when its files are written, on disk and read back. Nothing is deleted
from the warehouse before that, and a folder that is there is never written over: a run that was
killed before it deleted anything finds the same files and takes them.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import run, statement
from etl.errors import AcaError, UsageError
from etl.files.checksums import sha256_of, sync
from etl.retention import expire, horizon, parquet
from etl.retention.expire import Going, Kept
from etl.retention.parquet import Counted

MANIFEST = "manifest.json"
# Folders that are being written; what a killed run left of them has nothing that is not elsewhere.
_WRITING = ".writing-"


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file of the archive; ``totals``: US dollars by money column, as text."""

    file_name: str
    feed: str
    year: int
    rows: int
    totals: dict[str, str]
    first_day: str
    last_day: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Archive:
    """A complete folder of the archive; ``manifest_sha256``: the checksum of its manifest."""

    folder: Path
    manifest_sha256: str
    files: list[ArchivedFile]


def write(
    connection: psycopg.Connection[Any],
    root: Path,
    before: date,
    taken: Collection[str],
    on_file: Callable[[], None] = lambda: None,
) -> Archive:
    """Write the rows that were found, read them back and give the folder its name.

    ``root``: of the archive. ``taken``: folders of other runs. Raises ``UsageError`` where it
    cannot be written to.
    """
    try:
        made = _make_folder(root)
        try:
            files = []
            for fact in expire.ALL:
                for year in _years(connection, fact):
                    files.append(_write_year(connection, made, fact, before, year))
                    on_file()
            manifest = _write_manifest(made, before, files)
            sync(made)
            folder = _put_in_place(root, made, before, taken)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UsageError(
            f"The archive {root} cannot be written to ({error.strerror or type(error).__name__}).",
            "Nothing was deleted. Let the user who runs make write to that folder, or name "
            "another place in DATA_DIR.",
        ) from error
    return Archive(folder, manifest, files)


def _years(connection: psycopg.Connection[Any], fact: Kept) -> list[int]:
    found = run(connection, "retention/archive.years", **expire.parts(fact))
    return [year for (year,) in found]


def _make_folder(root: Path) -> Path:
    """A folder to write into, that only the owner of the process may enter."""
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o700)
    for left in root.glob(f"{_WRITING}*"):
        shutil.rmtree(left)
    return Path(tempfile.mkdtemp(prefix=_WRITING, dir=root))


def _write_year(
    connection: psycopg.Connection[Any], folder: Path, fact: Kept, before: date, year: int
) -> ArchivedFile:
    """Write the rows of a year and compare what the file says with what the database does."""
    feed = fact.feed
    going = expire.measure(connection, fact, before, year)
    path = folder / f"{feed.name}-{year}.parquet"
    query = statement(
        "retention/archive.rows",
        columns=parquet.columns(feed),
        year=sql.Literal(year),
        **expire.parts(fact),
    )
    with connection.cursor() as cursor, cursor.copy(query) as rows:
        parquet.write(rows, feed, path)
    _compare(path.name, parquet.count(path, feed), fact, going)
    return ArchivedFile(
        path.name,
        feed.name,
        year,
        going.rows,
        going.totals,
        str(going.first_day),
        str(going.last_day),
        path.stat().st_size,
        sha256_of(path),
    )


def _compare(name: str, found: Counted, fact: Kept, going: Going) -> None:
    """Raise ``AcaError`` where a file does not contain what goes."""
    columns = (column.name for column in fact.feed.staged)
    expected = Counted(
        going.rows,
        {column: Decimal(total) for column, total in going.totals.items()},
        dict(zip(columns, going.values, strict=True)),
    )
    if found != expected:
        raise AcaError(
            f"{name} of the archive reads back as {found.rows:,} rows, and {expected.rows:,} were "
            "to go; or their sums or columns differ.",
            "Nothing was deleted. Look at the disk's health, then run again.",
        )


def _write_manifest(folder: Path, before: date, files: list[ArchivedFile]) -> str:
    """Write what the folder contains; the checksum of that."""
    said = {"horizon": str(before), "files": [asdict(file) for file in files]}
    path = folder / MANIFEST
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(said, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    return sha256_of(path)


def _put_in_place(root: Path, made: Path, before: date, taken: Collection[str]) -> Path:
    """Give a complete folder its name, or find the same one that a killed run left.

    Folders of other runs, and of other warehouses that share the archive, stay as they are.
    """
    number = 1
    while True:
        folder = root / horizon.folder_of(before, number)
        if folder.name not in taken:
            if is_same(folder, made):
                return folder
            with suppress(FileExistsError, NotADirectoryError):
                if not folder.exists():
                    made.rename(folder)
                    sync(root)
                    return folder
        number += 1


def is_same(folder: Path, made: Path) -> bool:
    """Whether a folder of the archive has the manifest of another, and the files that it names."""
    try:
        text = (folder / MANIFEST).read_bytes()
        return text == (made / MANIFEST).read_bytes() and not damaged(folder)
    except (FileNotFoundError, NotADirectoryError):
        return False


def damaged(folder: Path) -> list[str]:
    """Files of a folder of the archive that are not as its manifest says."""
    said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return [
        file["file_name"]
        for file in said["files"]
        if not (folder / file["file_name"]).is_file()
        or sha256_of(folder / file["file_name"]) != file["sha256"]
    ]
