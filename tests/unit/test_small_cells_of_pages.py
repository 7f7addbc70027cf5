"""Small cells of pages: whoever subtracts what is shown from sums learns nothing of few persons."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.reports.small_cells import ALL, Count, Hidden, hide

FEW = range(1, 11)


def counted(persons: int) -> Count:
    return Count(persons, persons > 0)


def table(rows: list[list[int]]) -> dict[tuple[str, str], list[Count]]:
    """A table of one month: a row a state, a column a tier."""
    return {
        (f"S{s}", f"T{t}"): [counted(persons)]
        for s, row in enumerate(rows)
        for t, persons in enumerate(row)
    }


def disclosed(rows: list[list[int]], hidden: Hidden) -> list[tuple[list[tuple[int, int]], int]]:
    """Sets of cells of 1 to 10 persons together whose sum follows from what is shown.

    What is shown are equations in the cells. A sum of cells follows from them where it is a linear
    combination of theirs.
    """
    keys = list(product(range(len(rows)), range(len(rows[0]))))
    states = [ALL, *(f"S{s}" for s in range(len(rows)))]
    tiers = [ALL, *(f"T{t}" for t in range(len(rows[0])))]
    equations = [
        [state in (ALL, f"S{s}") and tier in (ALL, f"T{t}") for s, t in keys]
        for state, tier in product(states, tiers)
        if not hidden.covers(state, tier)
    ]
    shown = [n for n, (s, t) in enumerate(keys) if not hidden.covers(f"S{s}", f"T{t}")]
    # A shown cell adds a known number: only sums of hidden ones are worth asking for.
    asked = [n for n in range(len(keys)) if n not in shown]
    sums = np.array(list(product((0, 1), repeat=len(asked)))[1:], dtype=float)
    if not len(sums) or not equations:
        return []
    wanted = np.zeros((len(sums), len(keys)))
    wanted[:, asked] = sums
    matrix = np.array(equations, dtype=float)
    projected = wanted @ np.linalg.pinv(matrix) @ matrix
    follows = np.abs(projected - wanted).max(axis=1) < 1e-9
    found = []
    for which in np.flatnonzero(follows):
        cells = [keys[n] for n in np.flatnonzero(wanted[which])]
        persons = sum(rows[s][t] for s, t in cells)
        if persons in FEW:
            found.append((cells, persons))
    return found


PERSONS = st.one_of(st.just(0), st.integers(1, 10), st.integers(11, 13), st.integers(20, 400))


@st.composite
def tables(draw: st.DrawFn) -> list[list[int]]:
    states, tiers = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    return [[draw(PERSONS) for _ in range(tiers)] for _ in range(states)]


@given(tables())
@settings(max_examples=400, deadline=None)
def test_no_sum_of_few_persons_follows_from_what_is_shown(rows: list[list[int]]) -> None:
    hidden = hide(table(rows))
    assert disclosed(rows, hidden) == []
    for (state, tier), (count,) in table(rows).items():
        assert hidden.covers(state, tier) or count.persons not in FEW


def test_the_attack_succeeds_where_only_small_cells_are_hidden() -> None:
    rows = [[3, 40], [50, 60]]
    naive = Hidden(rows=frozenset({"S0"}), columns=frozenset({"T0"}))
    assert disclosed(rows, naive) == [([(0, 0)], 3)]


@pytest.mark.parametrize(
    ("rows", "hidden"),
    [
        ([[20, 30], [0, 40]], Hidden()),
        ([[3, 0], [0, 4]], Hidden(everything=True)),
        # A small cell takes three others with it.
        (
            [[3, 40, 70], [50, 60, 90], [200, 300, 400]],
            Hidden(rows=frozenset({"S0", "S1"}), columns=frozenset({"T0", "T1"})),
        ),
        # Small states show their sums alone, and leave more to be seen of the large ones.
        (
            [[3, 3, 20], [3, 3, 20], [900, 5, 900], [900, 900, 900]],
            Hidden(
                undivided=frozenset({"S0", "S1"}),
                rows=frozenset({"S0", "S1", "S2"}),
                columns=frozenset({"T0", "T1"}),
            ),
        ),
        # A small state is hidden with the smallest of the others.
        ([[4, 4], [30, 30], [99, 99]], Hidden(states=frozenset({"S0", "S1"}))),
        # One state: its cells are the sums by tier.
        ([[4, 30, 50]], Hidden(tiers=frozenset({"T0", "T1"}))),
    ],
)
def test_as_little_is_hidden_as_the_rule_needs(rows: list[list[int]], hidden: Hidden) -> None:
    assert hide(table(rows)) == hidden


def test_months_that_are_hidden_together_are_hidden_by_the_smallest() -> None:
    cells = {
        ("S0", "T0"): [counted(50), counted(3)],
        ("S0", "T1"): [counted(50), counted(50)],
        ("S1", "T0"): [counted(50), counted(50)],
        ("S1", "T1"): [counted(50), counted(50)],
    }
    hidden = hide(cells)
    assert all(hidden.covers(*key) for key in cells)
    assert not hidden.covers("S0", ALL)
    assert not hidden.covers(ALL, "T0")


def test_a_cell_with_something_but_no_person_of_its_own_is_small() -> None:
    many, few = [Count(50, has_any=True)], [Count(0, has_any=True)]
    hidden = hide({("S0", "T0"): few, ("S0", "T1"): many, ("S1", "T0"): many, ("S1", "T1"): many})
    assert hidden.covers("S0", "T0")
    assert hide({("S0", "T0"): [Count(0, has_any=False)]}) == Hidden()
    assert hide({}) == Hidden()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_cell_of_few_follows_from_months_and_years_together(data: st.DataObject) -> None:
    """The sums of a year, which are hidden by themselves, give no month away, nor the reverse."""
    months, states, tiers = 2, 4, 3
    shape = (months, states, tiers)
    persons = np.array([data.draw(PERSONS) for _ in range(months * states * tiers)]).reshape(shape)
    # Of a year are at least those of its largest month: the others may be the same persons.
    of_year = persons.max(axis=0)
    by_month = hide({k: [counted(int(n)) for n in persons[:, *at]] for k, at in keyed(persons[0])})
    by_year = hide({k: [counted(int(of_year[at]))] for k, at in keyed(persons[0])})
    equations = [
        masks(shape, [month], state, tier)
        for state, tier in product(range(-1, states), range(-1, tiers))
        for month in range(months)
        if not by_month.covers(named("S", state), named("T", tier))
    ] + [
        masks(shape, range(months), state, tier)
        for state, tier in product(range(-1, states), range(-1, tiers))
        if not by_year.covers(named("S", state), named("T", tier))
    ]
    matrix = np.array([e.ravel() for e in equations], dtype=float).reshape(-1, persons.size)
    project = np.linalg.pinv(matrix) @ matrix
    for state, tier in product(range(-1, states), range(-1, tiers)):
        for of_months in ([0], [1], [0, 1]):
            wanted = masks(shape, of_months, state, tier)
            is_year = len(of_months) == months
            count = int(of_year[wanted[0]].sum() if is_year else persons[wanted].sum())
            if count in FEW:
                flat = wanted.ravel().astype(float)
                assert np.abs(flat @ project - flat).max() > 1e-9


def keyed(cells: np.ndarray) -> list[tuple[tuple[str, str], tuple[int, int]]]:
    return [((f"S{s}", f"T{t}"), (s, t)) for s, t in product(*map(range, cells.shape))]


def named(prefix: str, number: int) -> str:
    return ALL if number < 0 else f"{prefix}{number}"


def masks(shape: tuple[int, int, int], months: Iterable[int], state: int, tier: int) -> np.ndarray:
    """Which cells a sum is made of; -1 for all states or tiers."""
    found = np.zeros(shape, dtype=bool)
    rows = range(shape[1]) if state < 0 else [state]
    columns = range(shape[2]) if tier < 0 else [tier]
    found[np.ix_(list(months), list(rows), list(columns))] = True
    return found
