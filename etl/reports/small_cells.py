"""Which cells of a table of states by metal tiers are hidden, so that none of few persons shows.

Persons of few are 1 to 10, as in schema ``safe_harbor``. A page has the cells of the table and its
sums by state, by tier and of all, so that what is hidden must not come out of a sum less the rest:

- States of few are hidden with another state, until the hidden ones together are not few; tiers
  likewise. The hidden ones are one row, and one column, of what follows.
- Cells of few are hidden together with all cells of the same rows and columns that have some: a
  rectangle. From sums less shown cells follow the sums of a rectangle's rows and of its columns
  and nothing smaller, and it grows until none of these is few.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, TypeVar

from etl.schema.masked import FEWEST_PERSONS

# All states together, or all tiers.
ALL = "all"
Key = tuple[str, str]
# What a table is of: a number of persons for each month, or whatever is counted apart.
_T = TypeVar("_T")


class Count(NamedTuple):
    """Persons, each in one cell of the table alone, and whether anything at all is in the cell."""

    persons: int = 0
    has_any: bool = False

    @property
    def is_few(self) -> bool:
        """Whether there is something and it is of fewer persons than may be shown."""
        return self.has_any and self.persons < FEWEST_PERSONS

    @staticmethod
    def total(counts: Iterable[Count]) -> Count:
        """The count of cells together."""
        listed = list(counts)
        return Count(sum(c.persons for c in listed), any(c.has_any for c in listed))


Counts = Sequence[Count]
Table = Mapping[Key, Counts]


@dataclass(frozen=True, slots=True)
class Hidden:
    """What of a table is hidden: all of it, states, tiers, or the cells of a rectangle."""

    everything: bool = False
    states: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    rows: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()

    def covers(self, state: str, tier: str) -> bool:
        """Whether the cell is hidden; ``ALL`` for a state or tier asks for a sum."""
        if self.everything or state in self.states or tier in self.tiers:
            return True
        return state in self.rows and tier in self.columns


def hide(table: Table) -> Hidden:
    """What to hide of a table; every cell has as many counts, which are hidden together."""
    if not table:
        return Hidden()
    states = sorted({state for state, _ in table})
    tiers = sorted({tier for _, tier in table})
    none = (Count(),) * len(next(iter(table.values())))
    table = {key: table.get(key, none) for key in product(states, tiers)}
    if _is_few(_sum(table.values())):
        return Hidden(everything=True)
    few_states = _hidden_sums(states, lambda s: _sum(table[k] for k in table if k[0] in s))
    few_tiers = _hidden_sums(tiers, lambda t: _sum(table[k] for k in table if k[1] in t))
    rows = _groups(states, few_states)
    columns = _groups(tiers, few_tiers)
    cells = {
        (row, column): _sum(table[k] for k in product(row, column))
        for row, column in product(rows, columns)
    }
    hidden_rows, hidden_columns = _rectangle(rows, columns, cells)
    return Hidden(
        states=few_states,
        tiers=few_tiers,
        rows=frozenset(state for row in hidden_rows for state in row),
        columns=frozenset(tier for column in hidden_columns for tier in column),
    )


def _sum(cells: Iterable[Counts]) -> tuple[Count, ...]:
    return tuple(map(Count.total, zip(*cells, strict=True)))


def _is_few(counts: Counts) -> bool:
    return any(count.is_few for count in counts)


def _size(counts: Counts) -> int:
    return sum(count.persons for count in counts)


def _hidden_sums(
    names: Sequence[str], sum_of: Callable[[Collection[str]], Counts]
) -> frozenset[str]:
    """The states or tiers of few, with others so that their sum is not of few either."""
    hidden = {name for name in names if _is_few(sum_of({name}))}
    others = sorted(set(names) - hidden, key=lambda name: (_size(sum_of({name})), name))
    while hidden and others and (len(hidden) < 2 or _is_few(sum_of(hidden))):
        hidden.add(others.pop(0))
    return frozenset(hidden)


def _groups(names: Sequence[str], hidden: frozenset[str]) -> list[tuple[str, ...]]:
    shown: list[tuple[str, ...]] = [(name,) for name in names if name not in hidden]
    return [*shown, tuple(sorted(hidden))] if hidden else shown


def _rectangle(
    rows: Sequence[_T], columns: Sequence[_T], cells: Mapping[tuple[_T, _T], Counts]
) -> tuple[set[_T], set[_T]]:
    """The rows and columns whose cells are hidden."""
    few = [key for key, counts in cells.items() if _is_few(counts)]
    in_rows, in_columns = {row for row, _ in few}, {column for _, column in few}
    if len(rows) == 1 or len(columns) == 1:  # then cells are sums, which are not of few
        return set(), set()

    def row_sum(row: _T, of: Iterable[_T]) -> Counts:
        return _sum(cells[row, column] for column in of)

    def column_sum(column: _T, of: Iterable[_T]) -> Counts:
        return _sum(cells[row, column] for row in of)

    while few:
        wants_column = any(_is_few(row_sum(row, in_columns)) for row in in_rows)
        wants_row = any(_is_few(column_sum(column, in_rows)) for column in in_columns)
        more_columns = [column for column in columns if column not in in_columns]
        more_rows = [row for row in rows if row not in in_rows]
        if (wants_column or len(in_columns) < 2) and more_columns:
            in_columns.add(min(more_columns, key=lambda c: _size(column_sum(c, rows))))
        elif (wants_row or len(in_rows) < 2) and more_rows:
            in_rows.add(min(more_rows, key=lambda r: _size(row_sum(r, columns))))
        else:
            break
    return in_rows, in_columns
