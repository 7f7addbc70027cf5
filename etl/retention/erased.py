"""Members who are erased in the archive: its files are written again with their tokens.

A folder changes from one complete state to the next: new files are written next to the old ones,
then the new manifest. Once that is there, the ledger gets the checksums and everything is put in
its place, by the next run if this one is killed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl.access.erasure import Door
from etl.contracts.column import Identifier
from etl.contracts.feeds import FEEDS
from etl.db.statements import run
from etl.files.checksums import sha256_of
from etl.retention.archive import MANIFEST
from etl.server.home import open_private, write_private

_NEW = ".new"


def erase(connection: psycopg.Connection[Any], root: Path, door: Door) -> Iterator[Path]:
    """Erase in every folder of the archive; the files that changed."""
    for manifest in sorted(root.glob(f"*/{MANIFEST}")):
        folder = manifest.parent
        yield from _put_in_place(connection, folder)
        for left in folder.glob(f"*{_NEW}"):
            left.unlink()
        _write_folder(folder, door)
        yield from _put_in_place(connection, folder)


def _write_folder(folder: Path, door: Door) -> None:
    """Write what is to change next to what there is, the manifest last."""
    said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    is_changed = False
    for file in said["files"]:
        path = folder / file["file_name"]
        draft = path.with_name(path.name + _NEW)
        if path.exists() and _write_file(path, draft, file["feed"], door):
            file["sha256"], file["size_bytes"] = sha256_of(draft), draft.stat().st_size
            is_changed = True
    if is_changed:
        write_private(folder / (MANIFEST + _NEW), json.dumps(said, indent=2) + "\n")


def _write_file(path: Path, draft: Path, feed: str, door: Door) -> bool:
    """Write a file again if it names a member who was erased; whether it does."""
    of_members = Identifier.MEMBER_NUMBER
    column = next((c.name for c in FEEDS[feed].columns if c.identifier is of_members), None)
    if column is None:
        return False
    with pq.ParquetFile(path) as file:
        numbers = {
            number
            for batch in file.iter_batches(columns=[column])
            for number in pc.unique(batch.column(0)).to_pylist()
            if number is not None
        }
        tokens = {number: token for number in numbers if (token := door.token_of(number))}
        if not tokens:
            return False
        at = file.schema_arrow.get_field_index(column)
        with (
            open(draft, "wb", opener=open_private) as out,
            pq.ParquetWriter(out, file.schema_arrow, compression="zstd") as writer,
        ):
            for batch in file.iter_batches():
                table = pa.Table.from_batches([batch], file.schema_arrow)
                values = [tokens.get(n, n) for n in table.column(at).to_pylist()]
                replaced = pa.array(values, pa.string())
                writer.write_table(table.set_column(at, file.schema_arrow.field(at), replaced))
            out.flush()
            os.fsync(out.fileno())
    return True


def _put_in_place(connection: psycopg.Connection[Any], folder: Path) -> Iterator[Path]:
    """Put new files in their places, if a new manifest says that all of them are there."""
    manifest = folder / (MANIFEST + _NEW)
    if not manifest.exists():
        return
    _enter(connection, folder, manifest)
    for draft in sorted(folder.glob(f"*.parquet{_NEW}")):
        path = draft.with_name(draft.name.removesuffix(_NEW))
        draft.replace(path)
        yield path
    manifest.replace(folder / MANIFEST)


def _enter(connection: psycopg.Connection[Any], folder: Path, manifest: Path) -> None:
    """Let the ledger have the checksums of a folder as its new manifest has them."""
    files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
    values = {
        "archive_folder": folder.name,
        "manifest_sha256": sha256_of(manifest),
        "file_names": [file["file_name"] for file in files],
        "checksums": [file["sha256"] for file in files],
        "sizes": [file["size_bytes"] for file in files],
    }
    run(connection, "access/erasure.enter_archive", values)
