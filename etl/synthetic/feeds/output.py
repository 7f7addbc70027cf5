"""Writing a batch folder: CSV files, checksums as the bytes pass, manifest, rename at the end."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import date
from io import BufferedIOBase, BufferedWriter
from pathlib import Path
from typing import Any

import xxhash

MANIFEST = "manifest.json"
# Low: the feeds are read once or twice, and the higher levels cost more than they save.
_GZIP_LEVEL = 3


class _Hashed(BufferedWriter):
    """A file that knows the checksum of what was written to it."""

    def __init__(self, raw: Any) -> None:
        super().__init__(raw, buffer_size=1 << 20)
        self.digest = xxhash.xxh3_128()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return super().write(data)


@contextmanager
def _opened(path: Path, *, compressed: bool) -> Iterator[tuple[BufferedIOBase, _Hashed]]:
    with path.open("xb", buffering=0) as raw, _Hashed(raw) as file:
        if compressed:
            # No name and no time in the header: the same feed gives the same bytes.
            with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
                yield packed, file
        else:
            yield file, file


class BatchWriter:
    """A batch that is written next to the inbox's batches and appears whole, or not at all.

    Its files grow side by side, piece by piece; they are described when all are closed.
    """

    def __init__(self, inbox: Path, day: date, *, compressed: bool) -> None:
        self._folder = inbox / day.isoformat()
        self._partial = inbox / f".{day.isoformat()}.partial"
        self._compressed = compressed
        self._files: dict[str, dict[str, Any]] = {}
        self._open, self._writing = ExitStack(), ThreadPoolExecutor(1)
        self._opened: dict[str, tuple[BufferedIOBase, _Hashed]] = {}
        self._under_way: Future[int] | None = None

    def __enter__(self) -> BatchWriter:
        # What an earlier, killed run left is worth nothing: it is written again from the seed.
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._writing.shutdown()
        self._open.close()
        if kind is not None:
            shutil.rmtree(self._partial, ignore_errors=True)

    @property
    def checksums(self) -> dict[str, str]:
        """Checksum of each closed file by name, as it was written."""
        return {name: entry["xxh3_128"] for name, entry in self._files.items()}

    def path(self, file_name: str) -> Path:
        """Where a feed's file is until the batch appears."""
        return self._partial / (file_name + (".gz" if self._compressed else ""))

    def write(self, file_name: str, data: bytes) -> None:
        """Add to a feed's file, while the caller makes the next piece."""
        if file_name not in self._opened:
            file = _opened(self.path(file_name), compressed=self._compressed)
            self._opened[file_name] = self._open.enter_context(file)
        self._written()
        self._under_way = self._writing.submit(self._opened[file_name][0].write, data)

    def _written(self) -> None:
        """Wait for the last piece."""
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None

    def close(self) -> None:
        """Close all files; nothing may be added to them any more."""
        self._written()
        self._open.close()
        for file_name, (_, file) in self._opened.items():
            self._files[self.path(file_name).name] = {"xxh3_128": file.digest.hexdigest()}

    def describe(self, file_name: str, kind: str, rows: int, cents: dict[str, int]) -> None:
        """Say in the manifest what a file contains; ``cents``: its control totals."""
        entry = self._files[self.path(file_name).name]
        totals = {c: f"{n // 100}.{n % 100:02d}" for c, n in cents.items()}
        checksum = entry.pop("xxh3_128")
        entry.update({"kind": kind, "rows": rows, "xxh3_128": checksum, "totals": totals})

    def finish(self) -> Path:
        """Write the manifest and let the batch appear; returns its folder."""
        manifest = {
            "batch_id": self._folder.name,
            "as_of": f"{self._folder.name}T00:00:00Z",
            "files": self._files,
        }
        text = json.dumps(manifest, indent=2) + "\n"
        (self._partial / MANIFEST).write_text(text, encoding="utf-8")
        self._partial.rename(self._folder)
        return self._folder
