"""Every query that the documentation shows runs on a loaded warehouse."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from etl.config import ROOT
from etl.docs import report_queries
from etl.synthetic.generate import generate
from tests.support.warehouse import Warehouse

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    inbox = tmp_path_factory.mktemp("readme") / "inbox"
    generate(inbox, members=500)
    return inbox


def test_documented_queries_run(warehouse: Warehouse, feeds: Path) -> None:
    shutil.copytree(feeds, warehouse.inbox, dirs_exist_ok=True)
    warehouse.incremental()
    warehouse.find_tables_as_readers()
    ran = 0
    for page in PAGES:
        for query in report_queries.queries(page):
            with warehouse.connection.transaction(force_rollback=True):
                warehouse.connection.execute(query)
            ran += 1
    assert ran >= 5
