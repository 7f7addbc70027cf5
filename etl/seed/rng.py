"""Random numbers that are the same on every machine.

Every draw comes from a stream named by the seed and a path such as ``("claims", 2024, 3, 0)``,
so that one part of the world can be drawn again without the others. Only raw integers are
taken from numpy, and shapes are put on them with integer tables: numpy's own ``lognormal`` and
``exp`` go through vector units whose last bit differs between processors, and one such bit at
a rounding edge would change a cent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import xxhash
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_BITS = 32
_TABLE_BITS = 12


def stream(seed: int, *path: int | str) -> np.random.Generator:
    """The generator of this seed and path; the same arguments always give the same numbers."""
    words = [p if isinstance(p, int) else xxhash.xxh32_intdigest(p.encode()) for p in path]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *words])))


def below(rng: np.random.Generator, limit: int | Ints, size: int) -> Ints:
    """``size`` whole numbers from 0 to ``limit`` - 1; ``limit`` may differ by row (<= 2**31)."""
    if isinstance(limit, int):
        return rng.integers(0, limit, size, dtype=np.int64)
    return (rng.integers(0, 1 << _BITS, size, dtype=np.int64) * limit) >> _BITS


def chance(rng: np.random.Generator, per_mille: int | Ints, size: int) -> NDArray[np.bool_]:
    """Whether each of ``size`` events with this probability in thousandths happens."""
    return rng.integers(0, 1000, size, dtype=np.int64) < per_mille


class Weighted:
    """Draws positions of a list in proportion to whole-number weights."""

    def __init__(self, weights: Sequence[int]) -> None:
        self._edges = np.cumsum(np.asarray(weights, dtype=np.int64))

    def draw(self, rng: np.random.Generator, size: int) -> Ints:
        """``size`` positions."""
        point = rng.integers(0, int(self._edges[-1]), size, dtype=np.int64)
        return np.searchsorted(self._edges, point, side="right").astype(np.int64)


class Lognormal:
    """Whole numbers with a lognormal shape: ``median``, and ``sigma`` of the logarithm.

    Drawn by linear interpolation between 4,097 quantiles. The table is made with the C library
    and rounded to integers, far coarser than any difference between C libraries. The last cell
    ends at the quantile ``1 - 2**-tail_bits``, which bounds the largest value.
    """

    def __init__(self, median: int, sigma: float, *, tail_bits: int = 20) -> None:
        cells = 1 << _TABLE_BITS
        edge = 2.0**-tail_bits
        normal = NormalDist()
        points = [min(max(i / cells, edge), 1 - edge) for i in range(cells + 1)]
        values = [round(median * math.exp(sigma * normal.inv_cdf(p))) for p in points]
        self._table = np.array(values, dtype=np.int64)

    def draw(self, rng: np.random.Generator, size: int) -> Ints:
        """``size`` values."""
        point = rng.integers(0, 1 << _BITS, size, dtype=np.int64)
        cell = point >> (_BITS - _TABLE_BITS)
        # 16 bits of the way through the cell: products stay far below 2**63.
        part = (point >> (_BITS - _TABLE_BITS - 16)) & 0xFFFF
        low = self._table[cell]
        return low + (((self._table[cell + 1] - low) * part) >> 16)


class Counts:
    """Poisson counts for a fixed list of means, by inverse distribution function.

    A row is drawn by ``level``, the position of its mean in the list. At most ``limit`` is
    returned.
    """

    def __init__(self, means: Sequence[float], *, limit: int) -> None:
        table = np.empty((len(means), limit), dtype=np.int64)
        for row, mean in enumerate(means):
            term = total = math.exp(-mean)
            for k in range(limit):
                table[row, k] = round(total * (1 << _BITS))
                term *= mean / (k + 1)
                total += term
        self._table = table

    def draw(self, rng: np.random.Generator, level: Ints) -> Ints:
        """A count for each row of ``level``."""
        point = rng.integers(0, 1 << _BITS, len(level), dtype=np.int64)
        count = np.zeros(len(level), dtype=np.int64)
        rows = np.arange(len(level))
        # Few rows have high counts, so each step looks only at those not settled before.
        for k in range(self._table.shape[1]):
            more = point[rows] >= self._table[level[rows], k]
            rows = rows[more]
            if not len(rows):
                break
            count[rows] += 1
        return count
