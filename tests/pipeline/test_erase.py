"""Members who are erased: nothing names them, everything else is as it was, and stays so."""

from __future__ import annotations

import pytest

from etl.errors import UsageError
from etl.db.connection import set_search_path
from etl.pipeline import commands, holds
from etl.pipeline.erase import erase
from etl.quality.runner import run_sql_checks
from etl.warehouse.tables import LIVE
from tests.support import erasure
from tests.support.erasure import CHILD, ERASED, LATE, MARRIED, REJECTED
from tests.support.warehouse import Warehouse

WHY = "request of the member"


def checks(warehouse: Warehouse) -> dict[str, object]:
    """What each check in SQL finds."""
    return {
        check.name: found and (found.rows_checked, found.rows_failed)
        for check, found in run_sql_checks(warehouse.connection, LIVE)
    }


def test_nothing_names_an_erased_member_and_all_else_stays(warehouse: Warehouse) -> None:
    erasure.send_first(warehouse)
    warehouse.incremental(1)
    exports = erasure.export_all(warehouse)
    assert len(exports) == 2
    before = erasure.state(warehouse)
    checked = checks(warehouse)
    everything = erasure.dump(warehouse) + erasure.files(warehouse)
    assert erasure.found(everything) == erasure.values_of(ERASED)
    for member in ERASED:
        warehouse.run(erase, member, WHY)

    def is_gone() -> None:
        assert erasure.found(erasure.dump(warehouse)) == []
        assert erasure.found(erasure.files(warehouse)) == []

    is_gone()
    assert erasure.state(warehouse) == before
    assert checks(warehouse) == checked
    warehouse.rebuild(1)
    is_gone()
    assert erasure.state(warehouse)["totals"] == before["totals"]
    assert checks(warehouse) == checked
