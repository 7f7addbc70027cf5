"""Changes to a whole block of bytes at once: words looked up, and pieces put in place of others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from etl.inbox.block_scan import Bytes, Layout, Marks, Places

_SMALL_LETTERS = np.frombuffer(bytes(range(256)).lower(), np.uint8)
_NOT_ASCII = 128


class Words:
    """Words of ASCII in small letters, each known by its place among them in order."""

    def __init__(self, words: Iterable[str]) -> None:
        # A value with any other letter is never compared with them.
        self.in_order = sorted({word.lower() for word in words if word and word.isascii()})
        self._width = max(map(len, self.in_order), default=1)
        self._words = np.array([word.encode() for word in self.in_order], f"S{self._width}")

    def find(self, layout: Layout, at: int) -> Places:
        """The place of each value of a field, without regard to case; -1 where it is none."""
        lengths = layout.lengths(at)
        if not self.in_order:
            return np.full(len(lengths), -1, np.intp)
        within = np.arange(self._width) < lengths[:, None]
        signs = np.where(within, _SMALL_LETTERS[layout.heads(at, self._width)], 0)
        values = np.ascontiguousarray(signs.astype(np.uint8)).view(self._words.dtype)[:, 0]
        places = np.searchsorted(self._words, values).clip(max=len(self._words) - 1)
        is_word = (self._words[places] == values) & (lengths > 0) & (lengths <= self._width)
        return np.where(is_word, places, -1)


def has_other_letters(layout: Layout, at: int) -> Marks:
    """Which values of a field have a byte that is not ASCII."""
    high = np.flatnonzero(layout.data >= _NOT_ASCII)
    if not len(high):
        return np.zeros(len(layout.begins), np.bool_)
    ends, begins = (np.searchsorted(high, places[:, at]) for places in (layout.ends, layout.begins))
    return ends > begins


@dataclass(frozen=True, slots=True)
class Edits:
    """Pieces of a block, from ``begins`` to before ``ends``, each with a text that replaces it.

    ``texts``: those that there are; ``which``: the place among them of each piece's.
    """

    begins: Places
    ends: Places
    texts: Sequence[bytes]
    which: Places


def replaced(data: Bytes, edits: Iterable[Edits]) -> Bytes:
    """The bytes of a block with pieces replaced, of which no two overlap."""
    pieces = [each for each in edits if len(each.begins)]
    if not pieces:
        return data
    texts = [text for each in pieces for text in each.texts]
    firsts = np.cumsum([0, *(len(each.texts) for each in pieces[:-1])])
    which = np.concatenate([e.which + first for e, first in zip(pieces, firsts, strict=True)])
    begins = np.concatenate([each.begins for each in pieces])
    ends = np.concatenate([each.ends for each in pieces])
    # Of pieces that begin at one place all but the last are empty.
    order = np.lexsort((ends, begins))
    begins, ends, which = begins[order], ends[order], which[order]
    sizes = np.array([len(text) for text in texts], np.intp)[which]
    grown = np.cumsum(sizes - (ends - begins))
    new = np.empty(len(data) + int(grown[-1]), np.uint8)
    is_new, is_old = np.zeros(len(new), np.bool_), np.zeros(len(data), np.bool_)
    at = begins + np.concatenate(([0], grown[:-1]))
    is_new[_within(at, sizes)] = True
    is_old[_within(begins, ends - begins)] = True
    new[~is_new] = data[~is_old]
    all_texts = np.frombuffer(b"".join(texts), np.uint8)
    text_at = np.cumsum([0, *map(len, texts)])[:-1]
    new[is_new] = all_texts[_within(text_at[which], sizes)]
    return new


def _within(begins: Places, sizes: Places) -> npt.NDArray[np.intp]:
    """The places of so many bytes from each beginning on, one after the other."""
    before = np.cumsum(sizes) - sizes
    return np.repeat(begins - before, sizes) + np.arange(int(sizes.sum()))
