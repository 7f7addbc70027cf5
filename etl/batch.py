"""Batches: folders of the inbox, their files and what the sender's manifest says of them."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from etl.contract import Source
from etl.errors import BatchError
from etl.senders import contracts_of
from etl.sources import FEEDS

MANIFEST = "manifest.json"
_BLOCK = 1 << 20
_YEARS = range(1900, 2200)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the manifest says of a file; ``None`` where it says nothing.

    ``contract``: the name of the contract under which the file comes.
    """

    kind: str = "delta"
    rows: int | None = None
    checksum: str | None = None
    totals: dict[str, Decimal] = field(default_factory=dict)
    contract: str | None = None


@dataclass(frozen=True, slots=True)
class FeedFile:
    """One file of a batch. ``size_bytes`` and ``modified_ns`` are those of the file on disk."""

    source: Source
    path: Path
    expected: Expected
    size_bytes: int
    modified_ns: int

    def checksum(self) -> str:
        """xxh3_128 of the bytes on disk, 32 hexadecimal digits."""
        digest = xxhash.xxh3_128()
        try:
            with self.path.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        except OSError as error:
            raise self._unreadable(error.strerror or "it is damaged") from error
        return digest.hexdigest()

    def blocks(self) -> Iterator[bytes]:
        """The file's bytes, unpacked, a block at a time; ``BatchError`` if gzip is damaged."""
        try:
            with self._open() as file:
                while block := file.read(_BLOCK):
                    yield block
        except (EOFError, zlib.error, OSError) as error:  # BadGzipFile is an OSError
            # The text of the library's error can quote the file.
            why = "it is cut short" if isinstance(error, EOFError) else "it is damaged"
            raise self._unreadable(why) from error

    def _unreadable(self, why: str) -> BatchError:
        return BatchError(
            f"{self.path.name} of batch {self.path.parent.name} cannot be read to its end: {why}.",
            "See that the file may be read, or ask the sender for it again; nothing was loaded.",
        )

    def _open(self) -> BinaryIO:
        if self.path.suffix == ".gz":
            return gzip.open(self.path, "rb")
        return self.path.open("rb")

    def unchanged(self) -> bool:
        """Whether the file on disk is still the one that was looked at first."""
        try:
            stat = self.path.stat()
        except OSError:
            return False
        return (stat.st_size, stat.st_mtime_ns) == (self.size_bytes, self.modified_ns)


@dataclass(frozen=True, slots=True)
class Batch:
    """A folder of the inbox. ``as_of``: when its facts became true, UTC."""

    batch_id: str
    as_of: datetime
    files: tuple[FeedFile, ...]

    @property
    def folder(self) -> str:
        """Name of the folder in the inbox."""
        return self.files[0].path.parent.name if self.files else self.batch_id


def find_batches(inbox: Path) -> list[Batch]:
    """Every batch of the inbox in ``as_of`` order; hidden folders are not batches.

    Raises the ``BatchError`` of the first that cannot be read.
    """
    batches, refused = look_through(inbox)
    if refused:
        raise refused[0]
    return batches


def look_through(inbox: Path) -> tuple[list[Batch], list[BatchError]]:
    """The batches of the inbox in ``as_of`` order, and why the others cannot be read."""
    batches, refused = [], []
    for folder in sorted(inbox.iterdir()) if inbox.is_dir() else ():
        if not folder.is_dir() or folder.name[0] in "._":
            continue
        try:
            batches.append(read_batch(folder))
        except BatchError as error:
            error.folder = folder.name
            refused.append(error)
    batches.sort(key=lambda b: (b.as_of, b.batch_id))
    return [b for b in batches if b.files], refused


def in_order_of_knowing(
    batches: list[Batch], known: Iterable[tuple[int, str, str]]
) -> list[tuple[int | None, Batch, list[FeedFile]]]:
    """The files of these batches in the order in which a warehouse came to know them.

    Args:
        batches: The batches in their own order.
        known: (load, batch_id, feed) of files that the warehouse has, in the order of its loads.

    Returns:
        What to load one after the other: for each of the loads those of its files that are still
        there, then, without a load, whatever none had, batch by batch. A file is told once, where
        it came first.
    """
    waiting: dict[tuple[str, str], list[tuple[int, FeedFile]]] = {}
    for number, batch in enumerate(batches):
        for file in batch.files:
            waiting.setdefault((batch.batch_id, file.source.name), []).append((number, file))
    # Two folders may bear one batch_id: such files are told apart, so that each keeps its batch.
    told: dict[tuple[int | None, int], list[FeedFile]] = {}
    for load_id, batch_id, feed in known:
        if files := waiting.get((batch_id, feed)):
            number, file = files.pop(0)
            told.setdefault((load_id, number), []).append(file)
    left = {id(file) for files in waiting.values() for _, file in files}
    for number, batch in enumerate(batches):
        if files := [file for file in batch.files if id(file) in left]:
            told[None, number] = files
    return [(load_id, batches[number], files) for (load_id, number), files in told.items()]


def read_batch(folder: Path) -> Batch:
    """Read a batch folder's names and manifest; the feeds themselves are not opened."""
    manifest = _manifest(folder)
    declared = manifest.get("files", {})
    if not isinstance(declared, dict):
        raise _manifest_error(folder, "'files' is not an object of file names")
    files = []
    for source in FEEDS.values():
        found = [
            folder / name
            for name in (source.file_name, f"{source.file_name}.gz")
            if (folder / name).is_file()
        ]
        if len(found) > 1:
            raise BatchError(
                f"Batch {folder.name} has {source.file_name} both plain and as .gz.",
                "Leave the one that is meant to be loaded.",
            )
        for path in found:
            said = declared.get(path.name, declared.get(source.file_name, {}))
            stat = path.stat()
            expected = _expected(folder, source, path.name, said)
            files.append(FeedFile(source, path, expected, stat.st_size, stat.st_mtime_ns))
    for name in declared:
        if name not in {n for f in files for n in (f.path.name, f.source.file_name)}:
            raise BatchError(
                f"The manifest of batch {folder.name} names {name}, which is not there.",
                "Ask the sender for the missing file, or take its name out of the manifest.",
            )
    return Batch(
        str(manifest.get("batch_id") or folder.name), _as_of(folder, manifest), tuple(files)
    )


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError) as error:
        raise _manifest_error(folder, f"it is not readable as JSON ({error})") from error
    if not isinstance(manifest, dict):
        raise _manifest_error(folder, "it is not a JSON object")
    return manifest


def _manifest_error(folder: Path, problem: str) -> BatchError:
    return BatchError(
        f"{MANIFEST} of batch {folder.name} cannot be used: {problem}.",
        "Mend the manifest or ask the sender for it again; nothing was loaded.",
    )


def _as_of(folder: Path, manifest: dict[str, Any]) -> datetime:
    said = manifest.get("as_of")
    if said is not None:
        try:
            moment = datetime.fromisoformat(str(said))
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            raise _manifest_error(folder, f"as_of is {said!r}, which is no ISO instant") from None
        if moment.year not in _YEARS:
            raise _manifest_error(folder, f"as_of is {said!r}, and years run from 1900 to 2199")
        return moment
    start = re.match(r"\d{4}-\d{2}-\d{2}", folder.name)
    try:
        day = date.fromisoformat(start.group()) if start else None
    except ValueError:
        day = None
    if day is None or day.year not in _YEARS:
        raise BatchError(
            f"Batch {folder.name} does not say when it became true.",
            "Begin the folder's name with an ISO date (1900 to 2199), or give as_of in its "
            "manifest.json.",
        )
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _expected(folder: Path, source: Source, name: str, said: Any) -> Expected:
    if not isinstance(said, dict):
        raise _manifest_error(folder, f"what it says of {name} is not an object")
    kind = said.get("kind", "delta")
    if kind not in ("delta", "snapshot"):
        raise _manifest_error(folder, f"kind of {name} is {kind!r}, neither delta nor snapshot")
    rows = said.get("rows")
    if rows is not None and (not isinstance(rows, int) or isinstance(rows, bool) or rows < 0):
        raise _manifest_error(folder, f"rows of {name} is {rows!r}, which is no count")
    totals = said.get("totals") or {}
    try:
        amounts = {column: Decimal(str(amount)) for column, amount in totals.items()}
    except (InvalidOperation, AttributeError):
        raise _manifest_error(folder, f"totals of {name} are not amounts") from None
    checksum = said.get("xxh3_128")
    contract = said.get("contract")
    known = [contract.name for contract in contracts_of(source)]
    if contract is not None and contract not in known:
        raise _manifest_error(
            folder, f"contract of {name} is {contract!r}, which is none of {', '.join(known)}"
        )
    return Expected(kind, rows, str(checksum).lower() if checksum else None, amounts, contract)
