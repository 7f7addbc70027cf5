"""Deferred: records that are sent after all others, kept on disk where they are many."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

_IN_MEMORY = 16 << 20
_BLOCK = 1 << 20


@dataclass(slots=True)
class Deferred:
    """Records as COPY takes them. ``rows``: how many."""

    rows: int = 0
    _kept: IO[bytes] | None = field(default=None)

    def put(self, text: bytes, rows: int) -> None:
        """Keep so many records."""
        if self._kept is None:
            # Open until they are taken; without a name, so that it goes with a killed process.
            self._kept = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        self._kept.write(text)
        self.rows += rows

    def take(self) -> Iterator[bytes]:
        """All that was kept, a block at a time; after that there is nothing more."""
        if self._kept is None:
            return
        with self._kept as kept:
            kept.seek(0)
            while block := kept.read(_BLOCK):
                yield block
        self._kept = None
