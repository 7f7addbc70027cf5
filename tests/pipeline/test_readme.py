"""Every query that the documentation shows runs on a loaded warehouse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from etl.config import ROOT
from etl.docs import report_queries
from etl.synthetic.generate import generate
from tests.support.warehouse import Warehouse

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_QUESTION = re.compile(
    r"^### [^\n]*\?\n\n```sql\n-- name: (\w+)\n(.*?);\n```\n\nTrap: [^\n]+\. Shape: [^\n]+\.$",
    re.MULTILINE | re.DOTALL,
)
# Of the whole page of questions, so that the layer which answers them stays the easy way.
MOST_LINES = 110


@pytest.fixture(scope="module")
def loaded(module_warehouse: Warehouse) -> Warehouse:
    generate(module_warehouse.inbox, members=500)
    module_warehouse.incremental()
    module_warehouse.find_tables_as_readers()
    return module_warehouse


def questions(page: Path = report_queries.PAGE) -> dict[str, str]:
    return dict(_QUESTION.findall(page.read_text(encoding="utf-8")))


def test_documented_queries_run(loaded: Warehouse) -> None:
    ran = 0
    for page in PAGES:
        for query in report_queries.queries(page):
            with loaded.connection.transaction(force_rollback=True):
                loaded.connection.execute(query)
            ran += 1
    assert ran >= 5


def test_each_question_has_one_short_query_a_trap_a_shape_and_an_answer(
    loaded: Warehouse,
) -> None:
    asked = questions()
    assert len(asked) == 20
    assert sum(len(query.splitlines()) for query in asked.values()) <= MOST_LINES
    for name, query in asked.items():
        assert loaded.rows(query), name
