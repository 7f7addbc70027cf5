"""Random numbers that are the same on every machine and do not disturb one another.

Every attribute is drawn from a stream of its own, named by the seed and a path such as
``("claims", 2024, 3, 0, "lag")``. So a part of the world can be drawn again without the rest,
a new attribute changes no other, and drawing for more rows leaves the first rows as they were.

A draw is a whole number from 0 to 2**32 - 1, and whole-number tables give it a shape: numpy's
own ``lognormal`` and ``exp`` go through vector units whose last bit differs between processors,
and one such bit at a rounding edge would change a cent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import xxhash
from numpy.typing import NDArray

Ints = NDArray[np.int64]

BITS = 32
_CELL_BITS = 12


class Dice:
    """The streams below one path: ``dice("lag", 100)`` draws 100 rows of attribute ``lag``."""

    def __init__(self, seed: int, *path: int | str) -> None:
        self._words = [seed, *map(_word, path)]

    def __call__(self, attribute: str, size: int) -> Ints:
        """``size`` whole numbers from 0 to 2**32 - 1."""
        sequence = np.random.SeedSequence([*self._words, _word(attribute)])
        raw = np.random.Philox(sequence).random_raw((size + 1) // 2)
        # Low half first, on machines of either byte order.
        halves = raw.astype("<u8").view("<u4")
        return halves[:size].astype(np.int64)


def _word(part: int | str) -> int:
    return part if isinstance(part, int) else xxhash.xxh32_intdigest(part.encode())


def below(draw: Ints, limit: int | Ints) -> Ints:
    """Draws as whole numbers from 0 to ``limit`` - 1 (limit at most 2**31, may differ by row)."""
    return (draw * limit) >> BITS


def chance(draw: Ints, per_mille: int | NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether events of this probability in thousandths happen."""
    return below(draw, 1000) < per_mille


def mixed(draw: Ints, number: Ints | int) -> Ints:
    """Further draws that follow from one: another for each number, below 2**32.

    For what a row has several of, such as the lines of a claim (the finalizer of MurmurHash3).
    """
    mixture = (draw + number * np.int64(0x9E3779B9)).astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixture ^= mixture >> np.uint32(shift)
        mixture *= np.uint32(factor)
    mixture ^= mixture >> np.uint32(16)
    return mixture.astype(np.int64)


class Weighted:
    """Positions of a list, in proportion to whole-number weights (their sum below 2**31)."""

    def __init__(self, weights: Sequence[int]) -> None:
        self._edges = np.cumsum(np.asarray(weights, dtype=np.int64))

    def __call__(self, draw: Ints) -> Ints:
        """A position for each draw."""
        point = below(draw, int(self._edges[-1]))
        return np.searchsorted(self._edges, point, side="right").astype(np.int64)


class WeightedBy:
    """Positions of one of several lists of weights, each as in ``Weighted``."""

    def __init__(self, lists: Sequence[Sequence[int]]) -> None:
        sizes = [len(weights) for weights in lists]
        self._first = np.cumsum(sizes) - sizes
        self._total = np.array([sum(weights) for weights in lists], dtype=np.int64)
        self._offset = np.cumsum(self._total) - self._total
        # All lists end to end: one search serves every row, whichever list it draws from.
        self._edges = np.cumsum(np.concatenate([np.asarray(w, dtype=np.int64) for w in lists]))

    def __call__(self, draw: Ints, which: NDArray[np.integer]) -> Ints:
        """A position in list number ``which`` for each draw; its weights must not all be zero."""
        point = self._offset[which] + below(draw, self._total[which])
        return np.searchsorted(self._edges, point, side="right") - self._first[which]


class Lognormal:
    """Whole numbers with a lognormal shape: ``median``, and ``sigma`` of the logarithm.

    Interpolates between 4,097 quantiles. The table is made with the C library and rounded to
    integers, far coarser than any difference between C libraries. The outermost cells end at the
    quantiles ``2**-tail_bits`` and ``1 - 2**-tail_bits``, which bounds the values.
    """

    def __init__(self, median: int, sigma: float, *, tail_bits: int = 20) -> None:
        cells = 1 << _CELL_BITS
        edge = 2.0**-tail_bits
        normal = NormalDist()
        points = [min(max(i / cells, edge), 1 - edge) for i in range(cells + 1)]
        values = [round(median * math.exp(sigma * normal.inv_cdf(p))) for p in points]
        self._table = np.array(values, dtype=np.int64)

    def __call__(self, draw: Ints) -> Ints:
        """A value for each draw."""
        cell = draw >> (BITS - _CELL_BITS)
        # 16 bits of the way through the cell: products stay far below 2**63.
        part = (draw >> (BITS - _CELL_BITS - 16)) & 0xFFFF
        low = self._table[cell]
        return low + (((self._table[cell + 1] - low) * part) >> 16)


class Counts:
    """Poisson counts for a fixed list of means, at most ``limit``.

    A row names its mean by ``level``, the position in the list.
    """

    def __init__(self, means: Sequence[float], *, limit: int) -> None:
        table = np.empty((len(means), limit), dtype=np.int64)
        for row, mean in enumerate(means):
            term = total = math.exp(-mean)
            for k in range(limit):
                table[row, k] = min(round(total * (1 << BITS)), (1 << BITS) - 1)
                term *= mean / (k + 1)
                total += term
        # Ascending over all levels, so that one search serves every row.
        self._table = (table + (np.arange(len(means)) << BITS)[:, None]).ravel()
        self._limit = limit

    def __call__(self, draw: Ints, level: NDArray[np.integer]) -> Ints:
        """A count for each draw."""
        where = level.astype(np.int64)
        found = np.searchsorted(self._table, draw + (where << BITS), side="right")
        return found - where * self._limit
