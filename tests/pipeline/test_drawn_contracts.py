"""Drawn contracts over drawn files: the stage makes of them what a slow reading in Python makes.

``make test-slow ARGS='--hypothesis-profile=long tests/pipeline/test_drawn_contracts.py'`` draws
3,000 contracts, others each time.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from etl.contracts.feeds import FEEDS
from etl.contracts.sender import SenderContract
from etl.contracts.value import batch_date, of
from tests.support.contract_draws import FIELDS, Drawn, drawn
from tests.support.contract_model import Model, Reading
from tests.support.staged_files import AS_OF, rows_of, staged_of
from tests.support.warehouse import Warehouse

# Each is a file that the server reads: a long trial takes hours with more.
MOST = 3_000


def expected_rows(made: Drawn, reading: Reading) -> list[tuple[Any, ...]]:
    names = [c.name for c in made.contract.feed.staged]
    return sorted(((line, *(row[n] for n in names)) for line, row in reading.rows), key=str)


def compare(warehouse: Warehouse, made: Drawn, folder: Path) -> None:
    model = Model(made.contract, {batch_date(): "2025-03-01"}, AS_OF)
    lines = [(number, row) for number, row in enumerate(made.rows, 2)]
    reading = model.read(lines, FIELDS)
    with staged_of(warehouse, made.contract, made.text(), folder) as staged:
        rejected = {r.line: (r.column, r.reason) for r in staged.rejected}
        assert rejected.keys() == reading.rejected.keys(), [
            (line, rejected.get(line), reading.rejected.get(line))
            for line in rejected.keys() ^ reading.rejected.keys()
        ]
        for line, why in rejected.items():
            assert why in reading.rejected[line], (line, why, reading.rejected[line])
        got, wanted = (
            rows_of(warehouse.connection, made.contract.feed),
            expected_rows(made, reading),
        )
        assert [tuple(map(normal, row)) for row in got] == [tuple(map(normal, r)) for r in wanted]
        counts = staged.counts()
        assert counts["rows_filtered"] == len(reading.filtered)
        assert counts["rows_added"] == reading.added
        assert counts["rows_duplicate"] == reading.duplicates
        for column in made.contract.feed.money:
            filtered = Decimal(reading.filtered_cents[column]) / 100
            assert Decimal(staged.totals[column]["filtered"]) == filtered


def normal(found: Any) -> Any:
    """A value of which equal ones are written alike."""
    return found.normalize() if isinstance(found, Decimal) else found


def check(warehouse: Warehouse, folder: Path, share: Fraction) -> None:
    """``share``: of the examples of the profile, which says whether they are always the same."""

    @given(drawn())
    @settings(
        max_examples=min(int(settings().max_examples * share), MOST),
        deadline=None,
        # Each example is a file that the server reads: to make one smaller would take minutes.
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    def makes_the_same(made: Drawn) -> None:
        compare(warehouse, made, folder)

    makes_the_same()


def test_drawn_contracts_make_what_a_slow_reading_makes(
    module_warehouse: Warehouse, tmp_path: Path
) -> None:
    check(module_warehouse, tmp_path, Fraction(25, 100))


def test_day_before_the_first_day_of_all_is_no_date(
    module_warehouse: Warehouse, tmp_path: Path
) -> None:
    enrollments = FEEDS["enrollments"]
    named = {name: of(sign) for name, sign in zip(enrollments.required, "nktda", strict=True)}
    contract = SenderContract(
        "drawn", enrollments, "", columns={**named, "start_date": of("d").day_before()}
    )
    first, sound = "0001-01-01", "2025-01-31"
    rows = [
        dict.fromkeys(FIELDS, "1") | {"n": str(n), "d": d} for n, d in enumerate([first, sound])
    ]
    compare(module_warehouse, Drawn(contract, rows), tmp_path)


@pytest.mark.slow
def test_many_drawn_contracts_make_what_a_slow_reading_makes(
    module_warehouse: Warehouse, tmp_path: Path
) -> None:
    check(module_warehouse, tmp_path, Fraction(150, 100))
