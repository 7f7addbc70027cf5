"""Whether any key comes twice in a file, seen while its records go past.

The server would have to read and sort every key for that once more; here it costs time that the
stream spends waiting for the server.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Sequence
from typing import IO

import numpy as np
import numpy.typing as npt

from etl.contracts.feed import Feed
from etl.contracts.types import Type
from etl.inbox.block_scan import Layout, Marks, heads_at
from etl.inbox.readings import Direct

Hashes = npt.NDArray[np.int64]

# So many hashes are in memory, 32 MB; the others are on disk, in runs of as many, each in order.
_IN_MEMORY = 4 << 20
# Between these lie the 64 spans of all hashes, about as many in each.
_EDGES = np.linspace(-(2.0**63), 2.0**63, 65)[1:-1].astype(np.int64)
# Parts of a key that are numbers, which may be written in several ways.
_NUMBERS = (Type.KEY_NUMBER, Type.KEY_YEAR)
# No key has more bytes: what is longer is not looked at.
_LONGEST = 4 * (Type.KEY.longest or 0)
_WORD = 8
_SEED, _FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFF51AFD7ED558CCD)
_HALF = np.uint64(32)


class Keys:
    """The keys of the records seen so far, by their 64-bit hashes.

    ``fields``: those of a key; ``numbers``: those among them that are numbers. Errs on the side of
    caution: two keys may be taken for one, and never one for two, for which reason nothing is said
    of a file in which one number may be written in two ways.
    """

    def __init__(self, fields: Sequence[int], numbers: Sequence[int] = ()) -> None:
        self._fields = tuple(fields)
        self._numbers = tuple(numbers)
        self._hashes = array("q")
        self._disk: IO[bytes] | None = None
        # Where on disk the spans of each run begin, and where the last one ends.
        self._begins: list[list[int]] = []
        self._is_complete = True

    def see(self, layout: Layout, is_sent: Marks) -> None:
        """Take in the records of a block that are sent."""
        if self._is_complete:
            rows = layout if is_sent.all() else layout.of_rows(np.flatnonzero(is_sent))
            self._take_in(rows, self._fields, self._numbers)

    def see_values(self, records: Sequence[Sequence[bytes]]) -> None:
        """Take in records that are sent, each as its values without their quotes."""
        if not self._is_complete or not records:
            return
        # In a block two quotes that mean one are still two.
        keys = [record[at].replace(b'"', b'""') for record in records for at in self._fields]
        ends = np.cumsum([len(value) + 1 for value in keys], dtype=np.intp) - 1
        begins = np.concatenate((np.zeros(1, np.intp), ends[:-1] + 1))
        data = np.frombuffer(b"\n".join([*keys, b""]), np.uint8)
        shape = (len(records), len(self._fields))
        numbers = [self._fields.index(at) for at in self._numbers]
        rows = Layout(data, begins.reshape(shape), ends.reshape(shape), has_blanks=False)
        self._take_in(rows, range(len(self._fields)), numbers)

    def _take_in(self, rows: Layout, fields: Sequence[int], numbers: Sequence[int]) -> None:
        if not len(rows.begins):
            return
        is_long = any(rows.lengths(at).max() > _LONGEST for at in fields)
        if is_long or not all(_are_canonical(rows, at) for at in numbers):
            self._give_up()
            return
        self._hashes.frombytes(_hashes(rows, fields).tobytes())
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


def keys_of(feed: Feed, columns: Sequence[str], direct: Direct | None) -> Keys | None:
    """What detects repeated keys of a feed; ``None`` where bytes do not say what a key is.

    ``columns``: what each field of the file goes into, and ``direct`` what becomes of it before.
    """
    fields = [columns.index(name) for name in feed.key]
    types = [feed.column(name).type for name in feed.key]
    if not all(kind in (Type.KEY, *_NUMBERS) for kind in types):
        return None
    for reading in direct.readings if direct is not None else ():
        if reading.at in fields and not reading.keeps_differences:
            return None
    numbers = [at for at, kind in zip(fields, types, strict=True) if kind in _NUMBERS]
    return Keys(fields, numbers)


def _are_canonical(layout: Layout, at: int) -> bool:
    """Whether each number of a field, in digits alone, is written without zeros before it."""
    firsts = layout.heads(at, 1)[:, 0]
    return bool(((firsts >= ord("1")) & (firsts <= ord("9"))).all())


def _hashes(layout: Layout, fields: Sequence[int]) -> npt.NDArray[np.uint64]:
    """The hashes of the values of some fields together, taken in eight bytes at a time.

    Each step can be undone, so that keys that differ in eight bytes only always differ.
    """
    found = np.full(len(layout.begins), _SEED)
    for at in fields:
        lengths = layout.lengths(at)
        found = _mixed(found ^ lengths.astype(np.uint64))
        for past in range(0, int(lengths.max()), _WORD):
            words = heads_at(layout.data, layout.begins[:, at] + past, _WORD).view("<u8")[:, 0]
            # Bytes after the value are the upper ones of a word.
            after = (np.clip(past + _WORD - lengths, 0, _WORD) * 8).astype(np.uint64)
            if after.any():
                # A value that ended before takes no part, however long others of its block are.
                mixed = _mixed(found ^ (words << after >> after))
                found = np.where(after < _WORD * 8, mixed, found)
            else:
                found = _mixed(found ^ words)
    return found


def _mixed(found: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    found = found * _FACTOR
    return found ^ (found >> _HALF)


def _in_order(hashes: array[int] | bytearray) -> Hashes:
    found = np.frombuffer(hashes, np.int64)
    found.sort()
    return found


def _are_distinct(hashes: Hashes) -> bool:
    return not bool((hashes[1:] == hashes[:-1]).any())
