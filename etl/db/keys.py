"""Whether any key comes twice in a file, seen while its records go past.

The server would have to read and sort every key for that once more; here it costs time that the
stream spends waiting for the server.
"""

from __future__ import annotations

from array import array

import numpy as np

# Hashes of so many keys are held, 128 MB; of a longer file it is left to the server.
_MOST = 16 << 20


class Keys:
    """The keys of the records seen so far, by their 64-bit hashes; ``at``: the key's field.

    Errs on the side of caution: two keys may be taken for one, and never one for two, for which
    reason nothing is told of a file with quotes before or around a key.
    """

    def __init__(self, at: int) -> None:
        self._at = at
        self._hashes = array("q")
        self._all_told = True

    def see(self, records: list[bytes]) -> None:
        """Take in sound records as they are sent."""
        if not self._all_told:
            return
        keys = [record.split(b",", self._at + 1)[self._at] for record in records]
        # A quote before the key may hold a comma.
        quotable = records if self._at else keys
        if b'"' in b"".join(quotable) or len(self._hashes) > _MOST:
            self._all_told = False
            self._hashes = array("q")
        else:
            self._hashes.extend(map(hash, keys))

    def differ(self) -> bool:
        """Whether each record certainly has a key of its own. To be asked once, at the end."""
        hashes = np.frombuffer(self._hashes, np.int64)
        hashes.sort()
        return self._all_told and not bool((hashes[1:] == hashes[:-1]).any())
