"""Whether any key comes twice in a file, seen while its records go past.

The server would have to read and sort every key for that once more; here it costs time that the
stream spends waiting for the server.
"""

from __future__ import annotations

import tempfile
from array import array
from typing import IO

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.int64]

# So many hashes are in memory, 32 MB; the others are on disk, in runs of as many, each in order.
_IN_MEMORY = 4 << 20
# Between these lie the 64 spans of all hashes, about as many in each.
_EDGES = np.linspace(-(2.0**63), 2.0**63, 65)[1:-1].astype(np.int64)


class Keys:
    """The keys of the records seen so far, by their 64-bit hashes; ``at``: the key's field.

    Errs on the side of caution: two keys may be taken for one, and never one for two, for which
    reason nothing is said of a file with quotes before or around a key.
    """

    def __init__(self, at: int) -> None:
        self._at = at
        self._hashes = array("q")
        self._disk: IO[bytes] | None = None
        # Where on disk the spans of each run begin, and where the last one ends.
        self._begins: list[list[int]] = []
        self._is_complete = True

    def see(self, records: list[bytes]) -> None:
        """Take in sound records as they are sent."""
        if not self._is_complete:
            return
        keys = [record.split(b",", self._at + 1)[self._at] for record in records]
        # A quote before the key may contain a comma.
        quotable = records if self._at else keys
        if b'"' in b"".join(quotable):
            self._give_up()
            return
        self._hashes.extend(map(hash, keys))
        if len(self._hashes) >= _IN_MEMORY:
            self._put_down()

    def differ(self) -> bool:
        """Whether each record certainly has a key of its own. To be asked once, at the end."""
        if self._disk is None:
            return self._is_complete and _are_distinct(_in_order(self._hashes))
        self._put_down()
        with self._disk as disk:
            return self._is_complete and all(
                _are_distinct(self._span(disk, number)) for number in range(len(_EDGES) + 1)
            )

    def _put_down(self) -> None:
        run = _in_order(self._hashes)
        try:
            # Open from block to block until differ() closes it; without a name, so that it goes
            # with a process that is killed.
            self._disk = self._disk or tempfile.TemporaryFile()  # noqa: SIM115
            begin = self._disk.tell() // run.itemsize
            self._disk.write(run.data)
            self._disk.flush()
        except OSError:  # no room: the server counts
            self._give_up()
        else:
            edges = [0, *np.searchsorted(run, _EDGES).tolist(), len(run)]
            self._begins.append([begin + edge for edge in edges])
            self._hashes = array("q")

    def _span(self, disk: IO[bytes], number: int) -> Hashes:
        """The hashes of one span, from all runs, in order."""
        pieces = []
        for begins in self._begins:
            begin, end = begins[number : number + 2]
            disk.seek(begin * self._hashes.itemsize)
            pieces.append(disk.read((end - begin) * self._hashes.itemsize))
        return _in_order(bytearray().join(pieces))

    def _give_up(self) -> None:
        self._is_complete = False
        self._hashes = array("q")


def _in_order(hashes: array[int] | bytearray) -> Hashes:
    found = np.frombuffer(hashes, np.int64)
    found.sort()
    return found


def _are_distinct(hashes: Hashes) -> bool:
    return not bool((hashes[1:] == hashes[:-1]).any())
