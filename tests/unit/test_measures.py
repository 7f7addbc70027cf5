"""A measure is declared once, and its words are the same wherever people read them."""

from __future__ import annotations

from etl.access.classification import described_columns
from etl.docs import data_dictionary, measures_page
from etl.render import claim_measures
from etl.warehouse.measures import MEASURES, SUBJECTS
from etl.warehouse.tables import CUBES, MARTS, MARTS_OF_CUBES

FILES = [f"cubes/{cube}" for cube in CUBES] + [f"mart/{m}" for m in (*MARTS, *MARTS_OF_CUBES)]
COLUMNS = [(column, meaning) for file in FILES for column, _, meaning in described_columns(file)]


def test_each_measure_is_declared_once_and_some_column_has_it() -> None:
    assert len(MEASURES) == sum(map(len, SUBJECTS.values()))
    assert MEASURES.keys() - {column for column, _ in COLUMNS} == set()
    assert set(claim_measures.MEASURES) <= MEASURES.keys()


def test_formula_unit_and_filters_are_the_same_in_comments_dictionary_and_page() -> None:
    dictionary, page = data_dictionary.render(), measures_page.render()
    for name, measure in MEASURES.items():
        meanings = [meaning for column, meaning in COLUMNS if column == name]
        assert all(meaning.startswith(measure.comment()) for meaning in meanings)
        assert dictionary.count(f"\n| {name} | {measure.comment()}") == len(meanings)
        assert page.count(f"\n| `{name}` | {measure.formula} | {measure.filters} |") == 1
