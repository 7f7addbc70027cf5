"""The generator's draws: distributions compared with their formulas, and independence of size."""

from __future__ import annotations

import math

import numpy as np
import pytest

from etl.synthetic.core import encode
from etl.synthetic.core.rng import Counts, Dice, Lognormal, Weighted, below, chance

ROWS = 200_000


@pytest.fixture(scope="module")
def draws() -> np.ndarray:
    return Dice(1, "test")("point", ROWS)


def test_more_rows_leave_the_first_rows_unchanged():
    dice = Dice(5, "claims", 2025)
    assert np.array_equal(dice("lag", 7), dice("lag", 1_000)[:7])
    assert not np.array_equal(dice("lag", 7), dice("delay", 7))
    assert not np.array_equal(dice("lag", 7), Dice(6, "claims", 2025)("lag", 7))


def test_below_is_uniform_and_its_bound_may_differ_by_row(draws):
    assert np.bincount(below(draws, 10)) == pytest.approx(np.full(10, ROWS / 10), rel=0.03)
    limits = np.arange(1, ROWS + 1)
    assert (below(draws, limits) < limits).all()


def test_chance_and_choice_have_the_given_probabilities(draws):
    assert chance(draws, 250).mean() == pytest.approx(0.25, abs=0.005)
    share = np.bincount(Weighted((1, 0, 3))(draws), minlength=3) / ROWS
    assert share == pytest.approx([0.25, 0, 0.75], abs=0.005)


def test_lognormal_has_its_mean_and_spread(draws):
    values = Lognormal(10_000, 0.8)(draws)
    assert np.median(values) == pytest.approx(10_000, rel=0.02)
    assert values.mean() == pytest.approx(10_000 * math.exp(0.8**2 / 2), rel=0.02)
    assert np.log(values).std() == pytest.approx(0.8, rel=0.02)


def test_counts_are_poisson(draws):
    for level, mean in enumerate((0.2, 3.0)):
        counts = Counts((0.2, 3.0), limit=30)(draws, np.full(ROWS, level))
        assert counts.mean() == pytest.approx(mean, rel=0.03)
        assert counts.var() == pytest.approx(mean, rel=0.03)


@pytest.mark.parametrize("number", [0, 7, 9_999, 10_000, 10_001, 100_000_000, 123_456_789_012])
def test_numbers_are_written_as_text(number):
    assert _text(encode.whole(np.array([number]))) == str(number)
    assert _text(encode.money(np.array([number]), 3)) == f"{number // 100}.{number % 100:02d}"
    assert _text(encode.padded(np.array([number]), 3)) == f"{number:012d}"


def test_text_is_quoted_where_csv_wants_it():
    fields = encode.texts(['a, "b"', "two\nlines", "plain", "℠"])
    assert _text(fields[:1]) == '"a, ""b"""'
    assert _text(fields[1:2]) == '"two\nlines"'
    assert _text(fields[2:3]) == "plain"
    assert _text(fields[3:]) == "℠"


def test_days_and_instants_are_written_as_iso_text():
    assert _text(encode.dates(np.array([-1]))) == "1969-12-31"
    assert _text(encode.instants(np.array([86_400 + 3_661]))) == "1970-01-02T01:01:01Z"


def _text(column: encode.Column) -> str:
    return column.tobytes().translate(None, b"\0").decode()
