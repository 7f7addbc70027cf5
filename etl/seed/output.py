"""Writing a batch folder: CSV files, checksums as the bytes pass, manifest, rename at the end."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from io import BufferedWriter
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from etl.contract import Source
from etl.seed.encode import Block, header, lines

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
def _opened(path: Path, *, compressed: bool) -> Iterator[tuple[BinaryIO, _Hashed]]:
    with path.open("xb", buffering=0) as raw, _Hashed(raw) as file:
        if compressed:
            # No name and no time in the header: the same feed gives the same bytes.
            with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
                yield packed, file
        else:
            yield file, file


class BatchWriter:
    """A batch that is written beside the inbox's batches and appears whole, or not at all."""

    def __init__(self, inbox: Path, day: date, *, compressed: bool) -> None:
        self._folder = inbox / day.isoformat()
        self._partial = inbox / f".{day.isoformat()}.partial"
        self._compressed = compressed
        self._files: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> BatchWriter:
        # What an earlier, killed run left is worth nothing: it is written again from the seed.
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self._partial, ignore_errors=True)

    @property
    def rows(self) -> dict[str, int]:
        """Rows written by file name."""
        return {name: entry["rows"] for name, entry in self._files.items()}

    def write(
        self,
        source: Source,
        blocks: Iterator[Block],
        *,
        kind: str,
        advance: Callable[[int], None] = lambda rows: None,
    ) -> None:
        """Write a feed; one without rows is left out, header and all."""
        first = next(blocks, None)
        if first is None:
            return
        name = source.file_name + (".gz" if self._compressed else "")
        rows, totals = 0, dict.fromkeys(source.money, 0)
        with _opened(self._partial / name, compressed=self._compressed) as (out, file):
            out.write(header(source))
            block: Block | None = first
            while block is not None:
                out.write(lines(block.records()))
                rows += len(block)
                for column, cents in block.totals.items():
                    totals[column] += cents
                advance(len(block))
                block = next(blocks, None)
        self._files[name] = {
            "kind": kind,
            "rows": rows,
            "xxh3_128": file.digest.hexdigest(),
            "totals": {c: f"{cents // 100}.{cents % 100:02d}" for c, cents in totals.items()},
        }

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
