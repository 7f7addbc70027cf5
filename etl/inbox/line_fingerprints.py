"""Fingerprints of a file's rows, made as they stream past: which are those of the file before.

A row that comes again as it was, byte by byte, has the same fingerprint of 128 bits, and another
row, for all that chance can do, a different one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash

# So many rows are kept in memory, 24 bytes each; of a longer file nothing is said.
MOST_ROWS = 1 << 21
_HALVES = np.dtype([("first", "<u8"), ("second", "<u8")])


@dataclass(frozen=True, slots=True)
class FileRows:
    """Rows of a file in the order of their fingerprints: line and fingerprint of each."""

    lines: npt.NDArray[np.int64]
    fingerprints: npt.NDArray[np.void]

    def in_bytes(self) -> bytes:
        """The fingerprints, 16 bytes each, as ``lines_not_in`` of another file takes them."""
        return self.fingerprints.tobytes()

    def lines_not_in(self, in_bytes: bytes) -> list[int]:
        """Lines of the rows that the file with these fingerprints does not have, in order."""
        others = np.frombuffer(in_bytes, _HALVES)
        own, other = (np.ascontiguousarray(rows["first"]) for rows in (self.fingerprints, others))
        at = np.searchsorted(other, own)
        at[at == len(others)] = 0
        is_other = np.ones(len(own), bool)
        if len(others):
            is_other = (other[at] != own) | (others["second"][at] != self.fingerprints["second"])
        return list(np.sort(self.lines[is_other]).tolist())


class LineFingerprints:
    """Takes in the records of a file with the lines on which they are."""

    def __init__(self) -> None:
        self._lines = array("q")
        self._fingerprints = bytearray()
        self._is_complete = True

    def see(self, lines: Sequence[int], records: list[bytes]) -> None:
        """Take in records as they are sent."""
        if len(self._lines) + len(records) > MOST_ROWS:
            self._is_complete = False
            self._lines, self._fingerprints = array("q"), bytearray()
        if self._is_complete:
            self._lines.extend(lines)
            self._fingerprints += b"".join(map(xxhash.xxh3_128_digest, records))

    def without(self, lines: Iterable[int]) -> FileRows | None:
        """The rows that were sent but for these lines; ``None`` if they were too many to keep."""
        if not self._is_complete:
            return None
        sent = np.frombuffer(self._lines, np.int64)
        fingerprints = np.frombuffer(self._fingerprints, _HALVES)
        order = np.argsort(fingerprints["first"])
        gone = np.fromiter(lines, np.int64)
        if len(gone):
            order = order[~np.isin(sent[order], gone)]
        return FileRows(sent[order], fingerprints[order])
