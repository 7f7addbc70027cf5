"""Rows that have the same values in some columns, and sums over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.rng import Ints


class Groups:
    """Groups of rows, in the order of the columns ``by``; within a group the rows keep theirs.

    ``size``: how many rows each has.
    """

    def __init__(self, *by: Sequence[Any] | NDArray[Any]) -> None:
        columns = [np.asarray(column) for column in by]
        self._order = np.lexsort(columns[::-1])
        begins = np.zeros(len(self._order), dtype=bool)
        begins[:1] = True
        for column in columns:
            inside = column[self._order]
            begins[1:] |= inside[1:] != inside[:-1]
        self._begins = np.flatnonzero(begins)
        self.size: Ints = np.diff(np.append(self._begins, len(self._order)))

    def first(self, column: NDArray[Any]) -> NDArray[Any]:
        """The value of the first row of each group."""
        return column[self._order[self._begins]]

    def total(self, column: NDArray[Any]) -> Ints:
        """The sum of each group, of whole numbers or of how many are true."""
        return np.add.reduceat(column[self._order], self._begins, dtype=np.int64)

    def least(self, column: NDArray[Any]) -> NDArray[Any]:
        """The least value of each group."""
        return np.minimum.reduceat(column[self._order], self._begins)

    def most(self, column: NDArray[Any]) -> NDArray[Any]:
        """The greatest value of each group."""
        return np.maximum.reduceat(column[self._order], self._begins)

    def each(self, of_group: NDArray[Any]) -> NDArray[Any]:
        """A value of each group at each of its rows."""
        rows = np.empty(len(self._order), dtype=of_group.dtype)
        rows[self._order] = np.repeat(of_group, self.size)
        return rows
