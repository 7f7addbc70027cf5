"""Which cells of a table of states by metal tiers are hidden, so that none of few persons shows.

Persons of few are 1 to 10, as in schema ``safe_harbor``. A page has the cells of the table and its
sums by state, by tier and of all, so that what is hidden must not come out of a sum less the rest:

- States of few are hidden with another state, until the hidden ones together are not few; tiers
  likewise. The hidden ones are one row, and one column, of what follows.
- Cells of few are hidden together with all cells of the same rows and columns that have some: a
  rectangle. From sums less shown cells follow the sums of a rectangle's rows and of its columns
  and nothing smaller, and it grows until none of these is few.
- So that small states do not make the rectangle large, some of the smallest show their sum alone
  and are part of the row of hidden ones: as many as leave most persons in shown cells.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from etl.schema.masked import FEWEST_PERSONS

# All states together, or all tiers.
ALL = "all"
Key = tuple[str, str]


class Count(NamedTuple):
    """Persons, each in one cell of the table alone, and whether anything at all is in the cell."""

    persons: int = 0
    has_any: bool = False


# Of each cell what is counted apart, such as the persons of each month.
Table = Mapping[Key, Sequence[Count]]


@dataclass(frozen=True, slots=True)
class Hidden:
    """What of a table is hidden: all of it, states, tiers, or the cells of a rectangle.

    ``undivided``: states of which the sum is shown and no cell.
    """

    everything: bool = False
    states: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    undivided: frozenset[str] = frozenset()
    rows: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()

    def covers(self, state: str, tier: str) -> bool:
        """Whether the cell is hidden; ``ALL`` for a state or tier asks for a sum."""
        if self.everything or state in self.states or tier in self.tiers:
            return True
        if tier != ALL and state in self.undivided:
            return True
        return state in self.rows and tier in self.columns


def hide(table: Table) -> Hidden:
    """What to hide of a table; every cell has as many counts, which are hidden together."""
    if not table:
        return Hidden()
    states = sorted({state for state, _ in table})
    tiers = sorted({tier for _, tier in table})
    cells = _cells(table, states, tiers)
    if cells.sum(range(len(states)), range(len(tiers))).is_few:
        return Hidden(everything=True)
    by_state = cells.merged(1, [range(len(tiers))])
    by_tier = cells.merged(0, [range(len(states))])
    hidden_states, hidden_tiers = by_state.few_sums(0), by_tier.few_sums(1)
    columns = _groups(len(tiers), hidden_tiers)
    cells = cells.merged(1, columns)
    others = [int(s) for s in by_state.in_size_order(0) if s not in hidden_states]

    def with_undivided(number: int) -> tuple[int, Hidden]:
        undivided = others[:number]
        rows = _groups(len(states), {*hidden_states, *undivided})
        in_rows, in_columns, shown = cells.merged(0, rows).rectangle(
            bool(hidden_states or undivided), bool(hidden_tiers)
        )
        return shown, Hidden(
            states=frozenset(states[n] for n in hidden_states),
            tiers=frozenset(tiers[n] for n in hidden_tiers),
            undivided=frozenset(states[n] for n in undivided),
            rows=frozenset(states[n] for row in in_rows for n in rows[row]),
            columns=frozenset(tiers[n] for column in in_columns for n in columns[column]),
        )

    best = with_undivided(0)
    if best[1].rows:
        numbers = [n for n in range(1, len(others) + 1) if n + len(hidden_states) > 1]
        best = max([best, *map(with_undivided, numbers)], key=lambda one: one[0])
    return best[1]


def _groups(number: int, hidden: Collection[int]) -> list[list[int]]:
    """Each by itself, and the hidden ones together as the last."""
    shown = [[n] for n in range(number) if n not in hidden]
    return [*shown, sorted(hidden)] if hidden else shown


def _cells(table: Table, states: Sequence[str], tiers: Sequence[str]) -> _Cells:
    counts = len(next(iter(table.values())))
    persons = np.zeros((len(states), len(tiers), counts), dtype=np.int64)
    has_any = np.zeros(persons.shape, dtype=bool)
    for (state, tier), cell in table.items():
        at = states.index(state), tiers.index(tier)
        persons[at] = [count.persons for count in cell]
        has_any[at] = [count.has_any for count in cell]
    return _Cells(persons, has_any)


@dataclass(frozen=True, slots=True)
class _Cells:
    """A table as arrays: rows by columns by what is counted apart."""

    persons: npt.NDArray[np.int64]
    has_any: npt.NDArray[np.bool_]

    @property
    def is_few(self) -> bool:
        """Whether some count has something and is of few persons."""
        return bool((self.has_any & (self.persons < FEWEST_PERSONS)).any())

    def few_at(self, axis: int) -> list[int]:
        """The rows (0) or columns (1) with such a count."""
        few = self.has_any & (self.persons < FEWEST_PERSONS)
        return [int(n) for n in np.flatnonzero(few.any(axis=(1 - axis, 2)))]

    def sum(self, rows: Collection[int], columns: Collection[int]) -> _Cells:
        """Some rows and columns together, as a table of one cell."""
        at = np.ix_(list(rows), list(columns))
        return _Cells(
            self.persons[at].sum(axis=(0, 1), keepdims=True),
            np.any(self.has_any[at], axis=(0, 1), keepdims=True),
        )

    def merged(self, axis: int, groups: Sequence[Collection[int]]) -> _Cells:
        """The table with some rows (0) or columns (1) added up, a group each."""
        persons = [self.persons.take(list(g), axis).sum(axis=axis) for g in groups]
        has_any = [np.any(self.has_any.take(list(g), axis), axis=axis) for g in groups]
        return _Cells(np.stack(persons, axis), np.stack(has_any, axis))

    def in_size_order(self, axis: int) -> list[int]:
        """Rows (0) or columns (1), that of the fewest persons first."""
        sizes = self.persons.sum(axis=(1 - axis, 2))
        return [int(n) for n in np.argsort(sizes, kind="stable")]

    def few_sums(self, axis: int) -> set[int]:
        """Of a single column or row: which are of few, with others until their sum is not."""
        hidden = set(self.few_at(axis))
        more = [n for n in self.in_size_order(axis) if n not in hidden]
        while hidden and more and (len(hidden) < 2 or self.merged(axis, [hidden]).is_few):
            hidden.add(more.pop(0))
        return hidden

    def rectangle(
        self, has_hidden_row: bool, has_hidden_column: bool
    ) -> tuple[set[int], set[int], int]:
        """The rows and columns whose cells are hidden, and how many persons are in shown cells.

        ``has_hidden_row``, ``has_hidden_column``: the last one is of hidden ones, never shown.
        """
        many_rows, many_columns, _ = self.persons.shape
        rows, columns = set(self.few_at(0)), set(self.few_at(1))
        # With one row or column cells are sums, which are not of few.
        if many_rows == 1 or many_columns == 1:
            rows, columns = set(), set()
        while rows or columns:
            more_rows = [n for n in self.in_size_order(0) if n not in rows]
            more_columns = [n for n in self.in_size_order(1) if n not in columns]
            wants_column = len(columns) < 2 or self._has_few(rows, columns, 1)
            wants_row = len(rows) < 2 or self._has_few(rows, columns, 0)
            if wants_column and more_columns:
                columns.add(more_columns[0])
            elif wants_row and more_rows:
                rows.add(more_rows[0])
            else:
                break
        sizes = self.persons.sum(axis=2)
        sizes[np.ix_(list(rows), list(columns))] = 0
        shown = sizes[: many_rows - has_hidden_row, : many_columns - has_hidden_column]
        return rows, columns, int(shown.sum())

    def _has_few(self, rows: Collection[int], columns: Collection[int], axis: int) -> bool:
        """Whether a sum of the rectangle along the axis is of few."""
        at = np.ix_(list(rows), list(columns))
        persons, has_any = self.persons[at].sum(axis=axis), self.has_any[at].any(axis=axis)
        return bool((has_any & (persons < FEWEST_PERSONS)).any())
